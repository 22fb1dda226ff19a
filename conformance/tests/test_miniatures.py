"""How the judge is judged: every requirement stops its own miniature, and accuses no right implementation."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kl_cases.distributions import FAMILIES
from kl_cases.problems import Profile
from kl_conformance.catalogue import REQUIREMENTS
from kl_conformance.cell import Cell
from kl_conformance.framework import Modules, ones
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.implementation import Implementation
from kl_conformance.requirement import Requirement
from kl_conformance.sketch import Sketch, by_logits, generalised, logits_term
from kl_conformance.subject import Subject
from kl_reference.convention import Formula, Space
from kl_reference.problem import Operand
from kl_reports.result import Column, Result, Verdict


class Desk(NumPy):
    """NumPy where 256 rows are large: miniatures have indices of 8 bits."""

    def fits_large_tensors(self, device: str) -> bool:
        """Say that there is room."""
        return True

    def large_tensor(self, modules: Modules, operand: Operand, device: str) -> Any:
        """Hand an operand over as the last rows of a tensor that is large for a miniature."""
        tail = self.tensor(modules, operand, device, "contiguous")
        return self.prepend_rows(modules, tail, 256, ones(operand.space))


DESK = Desk()
MODULES = DESK.load()
ASKED = [
    pytest.param(requirement, dtype, id=f"{name}-{dtype}")
    for name, requirement in REQUIREMENTS.items()
    for dtype in ("float64", "float32", "float16")
]


def settled(requirement: Requirement, implementation: Implementation, dtype: str, seed: int = 0) -> Result:
    """Return the verdict on a sketch in one dtype, in the quick profile."""
    column = Column(implementation.name, "numpy", "1", "cpu", dtype, "eager")
    subject = Subject(implementation, DESK, MODULES, column)
    return Cell(requirement, subject, Profile.QUICK, seed).settle()


def right(wrong: Sketch) -> Implementation:
    """Return a right implementation that takes and offers what the miniature does."""
    plain = Sketch(target=wrong.target, model=wrong.model, formula=wrong.formula)
    if Space.LOGITS in wrong.model:
        plain = replace(plain, term=logits_term, by_model=by_logits)
    elif wrong.formula is Formula.GENERALISED:
        plain = replace(plain, term=generalised)
    if type(wrong.reductions) is dict:
        plain = replace(plain, reductions=wrong.reductions, default=wrong.default)
    return plain.implementation()


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=lambda each: each.id)
def test_every_requirement_stops_its_miniature(requirement: Requirement) -> None:
    """A wrong implementation fails the requirement written for its fault, and the witness is small."""
    miniature = requirement.miniature.implementation()
    verdicts = [settled(requirement, miniature, each.label) for each in miniature.dtypes]
    failed = [result for result in verdicts if result.verdict is Verdict.FAIL]
    assert failed, [f"{result.verdict.name}: {result.detail}" for result in verdicts]
    for result in failed:
        assert result.witness is not None
        if requirement.chapter != "errors":  # there the shapes are the question
            assert result.witness["target"]["shape"][-1] <= 4, result.witness["origin"]


@pytest.mark.parametrize(("requirement", "dtype"), ASKED)
def test_no_requirement_accuses_a_right_implementation(requirement: Requirement, dtype: str) -> None:
    """A right implementation holds every requirement that can be put to it, in every dtype."""
    result = settled(requirement, right(requirement.miniature), dtype, seed=1)
    assert result.verdict in {Verdict.PASS, Verdict.UNSUPPORTED}, result.detail


@pytest.mark.parametrize("requirement", REQUIREMENTS.values(), ids=lambda each: each.id)
def test_every_requirement_is_said_in_full(requirement: Requirement) -> None:
    """A requirement has a sentence, a formula, a reason and a source, and asks about known families."""
    assert requirement.sentence.endswith(".")
    assert requirement.reason.endswith(".")
    assert requirement.formula
    assert requirement.link == "derived" or requirement.link.startswith("https://")
    assert set(requirement.families) <= set(FAMILIES)
    assert requirement.revision >= 1
