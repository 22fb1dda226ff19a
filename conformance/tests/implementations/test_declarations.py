"""Every declared property is measured: a wrong declaration in a Convention fails a requirement."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations import loading
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements.guide import EVIDENCE
from kl_conformance.requirements.miniature import Array, Miniature, term
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reports.runfile.records import Verdict

P, LOG, LOGITS = Space.PROBABILITY, Space.LOG, Space.LOGITS
ROWS = {"none": Reduction.ROWS}
SWAPPED = (Side.MODEL, Side.TARGET)


def rows(modules: Any, call: Call) -> Any:
    """Sum p·(log p − log q) over the last axis, or the one named."""
    del modules
    return _rows(call, *call.arguments)


def clipped(modules: Any, call: Call) -> Any:
    """Return the same after clipping both to [1e-7, 1]."""
    del modules
    return _rows(call, *(np.clip(each, 1e-7, 1.0) for each in call.arguments))


def _rows(call: Call, p: Array, q: Array) -> Array:
    with np.errstate(all="ignore"):
        return np.asarray(term(p, np.log(q)).sum(call.keywords.get("axis", -1)))


def second(modules: Any, call: Call) -> Any:
    """Sum over the second axis, or over the only one, unless another is given."""
    del modules
    p, log_q = call.arguments
    return np.asarray(term(p, log_q).sum(call.keywords.get("axis", 1 if p.ndim > 1 else 0)))


def cross_entropy(modules: Any, call: Call, smoothing: float = 0.0) -> Any:
    """Return −Σ p·log softmax(x)."""
    p, x = call.arguments
    axis = call.keywords.get("axis", -1)
    p = (1.0 - smoothing) * p + smoothing / np.shape(p)[axis]
    with np.errstate(all="ignore"):
        terms = p * modules.special.log_softmax(x, axis)
    return -np.where(p == 0, 0.0, terms).sum(axis)


def smoothed(modules: Any, call: Call) -> Any:
    """Return the cross-entropy of smoothed labels."""
    return cross_entropy(modules, call, 0.1)


def made(call: Any, convention: Convention, **rest: Any) -> Implementation:
    """Return a correct implementation on NumPy arrays."""
    return Implementation("correct", "numpy", "numpy", convention, call, gradients=frozenset(), **rest)


def offering(name: str, kind: Reduction) -> Implementation:
    """Return a miniature with one reduction."""
    return Miniature(reductions={name: kind}, default=name).implementation()


REL_ENTR = loading.implementation("scipy.special.rel_entr")
KL_DIV = loading.implementation("scipy.special.kl_div")
ENTROPY = loading.implementation("scipy.stats.entropy")
MINIATURE = Miniature().implementation()
OF_PROBABILITIES = Miniature(target=(P,)).implementation()
OF_ROWS = Convention(model=(P,), reductions=ROWS, axis=-1, order=(Side.TARGET, Side.MODEL))
PLAIN, CLIPPED = made(rows, OF_ROWS), made(clipped, replace(OF_ROWS, clip=(1e-7, 1.0)))
SECOND = made(second, Convention(reductions=ROWS, axis=1, order=(Side.TARGET, Side.MODEL)), broadcasts=False)
_CROSSED = replace(OF_ROWS, formula=Formula.CROSS_ENTROPY, model=(LOGITS,))
CROSSED = made(cross_entropy, _CROSSED, needs_distributions=True)
SMOOTHED = made(smoothed, replace(_CROSSED, smoothing=0.1), needs_distributions=True)

WRONG: list[tuple[str, Implementation, Mapping[str, Any]]] = [
    ("formula", REL_ENTR, {"formula": Formula.GENERALISED}),
    ("formula", REL_ENTR, {"formula": Formula.CROSS_ENTROPY}),
    ("formula", KL_DIV, {"formula": Formula.PLAIN}),
    ("formula", CROSSED, {"formula": Formula.PLAIN}),
    ("argument order", REL_ENTR, {"order": SWAPPED}),
    ("argument order", KL_DIV, {"order": SWAPPED}),
    ("argument order", ENTROPY, {"order": SWAPPED}),
    ("argument order", CROSSED, {"order": SWAPPED}),
    ("target (P)", REL_ENTR, {"target": (LOG,)}),
    ("target (P)", REL_ENTR, {"target": (P, LOG)}),
    ("target (P)", SECOND, {"target": (P, LOG)}),
    ("target (P)", CROSSED, {"smoothing": 0.1}),
    ("target (P)", SMOOTHED, {"smoothing": 0.0}),
    ("target (P)", SMOOTHED, {"smoothing": 0.11}),
    ("model (Q)", REL_ENTR, {"model": (LOG,)}),
    ("model (Q)", REL_ENTR, {"model": (P, LOG)}),
    ("model (Q)", OF_PROBABILITIES, {"model": (P,)}),
    ("model (Q)", OF_PROBABILITIES, {"model": (LOGITS,)}),
    ("class axis", ENTROPY, {"axis": -1}),
    ("class axis", ENTROPY, {"axis": None}),
    ("class axis", PLAIN, {"axis": 0}),
    ("class axis", SECOND, {"axis": -1}),
    ("clipping", CLIPPED, {"clip": None}),
    ("clipping", CLIPPED, {"clip": (1e-8, 1.0)}),
    ("clipping", CLIPPED, {"clip": (1e-7, 2.0)}),
    ("clipping", PLAIN, {"clip": (1e-7, 1.0)}),
    ("clipping", REL_ENTR, {"clip": (1e-7, 1.0)}),
    ("normalisation", ENTROPY, {"normalise": False}),
    ("normalisation", PLAIN, {"normalise": True}),
    *(
        ("reductions", MINIATURE, {"reductions": {**MINIATURE.convention.reductions, name: kind}})
        for name, own in MINIATURE.convention.reductions.items()
        for kind in Reduction
        if kind is not own
    ),
    *(
        ("reductions", offering("only", own), {"reductions": {"only": kind}})
        for own in Reduction
        for kind in Reduction
        if kind is not own
    ),
    *(
        ("default reduction", MINIATURE, {"default": name})
        for name in MINIATURE.convention.reductions
        if name != MINIATURE.convention.default
    ),
]


VERDICTS = dict[tuple[int, str], Mapping[str, Verdict]]()


def verdicts(implementation: Implementation, property_: str) -> Mapping[str, Verdict]:
    """Return the verdicts of the requirements that measure a property."""
    key = id(implementation), property_
    if key not in VERDICTS:
        tested = subject(implementation)
        VERDICTS[key] = {name: evaluate(name, tested).verdict for name in EVIDENCE[property_]}
    return VERDICTS[key]


@pytest.mark.parametrize(("property_", "correct", "wrong"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_declaration_fails_a_requirement(
    property_: str, correct: Implementation, wrong: Mapping[str, Any]
) -> None:
    """A wrong property fails a requirement that the guide names for it, and that passed before."""
    convention = replace(correct.convention, **wrong)
    wrongly_declared = replace(correct, name="wrongly declared", convention=convention)
    tested, before = subject(wrongly_declared), verdicts(correct, property_)
    passed = (name for name in before if before[name] is not Verdict.FAIL)
    assert any(evaluate(name, tested).verdict is Verdict.FAIL for name in passed)


@pytest.mark.parametrize(("property_", "correct"), {(name, id(own)): (name, own) for name, own, _ in WRONG}.values())
def test_a_correct_declaration_is_confirmed(property_: str, correct: Implementation) -> None:
    """A correct property fails none of them, and some of them are applicable."""
    found = verdicts(correct, property_)
    assert Verdict.PASS in found.values()
    failed = [name for name, verdict in found.items() if verdict is Verdict.FAIL]
    # A clip, even a declared one, is not part of the definition.
    assert failed == (["support/tiny-model"] if property_ == "clipping" and correct is CLIPPED else [])


def test_every_property_has_a_wrong_declaration() -> None:
    """Every property that the guide names is declared wrongly in a test above."""
    assert set(EVIDENCE) - {name for name, _, _ in WRONG} == {"zeros"}
