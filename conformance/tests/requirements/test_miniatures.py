"""Self-test of the requirements: each rejects its miniature, and none rejects a correct implementation."""

from dataclasses import replace

import pytest

from kl_cases.distributions import FAMILIES
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements.catalogue import REQUIREMENTS
from kl_conformance.requirements.miniature import Miniature, by_logits, generalised, logits_term
from kl_conformance.requirements.requirement import Requirement
from kl_conformance_testkit.subjects import LargeNumPy, evaluate
from kl_reference.convention import Formula, Space
from kl_reports.runfile.records import Column, Result, Verdict

NUMPY = LargeNumPy(256)  # miniatures have 8-bit indices
MODULES = NUMPY.load()
CELLS = [
    pytest.param(requirement, dtype, id=f"{name}-{dtype}")
    for name, requirement in REQUIREMENTS.items()
    for dtype in ("float64", "float32", "float16")
]


def evaluated(requirement: Requirement, implementation: Implementation, dtype: str, seed: int = 0) -> Result:
    """Return the result of one cell of a miniature, in the quick profile."""
    column = Column(implementation.name, "numpy", "1", "cpu", dtype, "eager")
    subject = Subject(implementation, NUMPY, MODULES, column)
    return evaluate(requirement, subject, seed=seed)


def correct(miniature: Miniature) -> Implementation:
    """Return a correct implementation with the Convention of a miniature."""
    plain = Miniature(target=miniature.target, model=miniature.model, formula=miniature.formula)
    if Space.LOGITS in miniature.model:
        plain = replace(plain, term=logits_term, by_model=by_logits)
    elif miniature.formula is Formula.GENERALISED:
        plain = replace(plain, term=generalised)
    if type(miniature.reductions) is dict:
        plain = replace(plain, reductions=miniature.reductions, default=miniature.default)
    return plain.implementation()


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=lambda each: each.id)
def test_every_requirement_rejects_its_miniature(requirement: Requirement) -> None:
    """A faulty implementation fails the requirement that describes its fault, and the witness is small."""
    miniature = requirement.miniature.implementation()
    verdicts = [evaluated(requirement, miniature, each.label) for each in miniature.dtypes]
    failed = [result for result in verdicts if result.verdict is Verdict.FAIL]
    assert failed, [f"{result.verdict.name}: {result.detail}" for result in verdicts]
    for result in failed:
        assert result.witness is not None
        if requirement.chapter != "errors":  # which is about shapes
            assert result.witness["target"]["shape"][-1] <= 4, result.witness["origin"]


@pytest.mark.parametrize(("requirement", "dtype"), CELLS)
def test_no_requirement_rejects_a_correct_implementation(requirement: Requirement, dtype: str) -> None:
    """A correct implementation passes every requirement that applies to it, in every dtype."""
    result = evaluated(requirement, correct(requirement.miniature), dtype, seed=1)
    assert result.verdict in {Verdict.PASS, Verdict.UNSUPPORTED}, result.detail


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=lambda each: each.id)
def test_every_requirement_is_described_in_full(requirement: Requirement) -> None:
    """A requirement has a sentence, a formula, a reason and a source, and its families are known."""
    assert requirement.sentence.endswith(".")
    assert requirement.reason.endswith(".")
    assert requirement.formula
    assert requirement.link == "derived" or requirement.link.startswith("https://")
    assert set(requirement.families) <= set(FAMILIES)
    assert requirement.revision >= 1
