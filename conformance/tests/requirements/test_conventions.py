"""Rare conventions: an implementation that follows one passes, and one that does not fails."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations import loading
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements.miniature import Array, Miniature, term
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reports.runfile.records import Verdict

ROWS = {"none": Reduction.ROWS}


def generalised(p: Array, log_q: Array) -> Array:
    """Return p·(log p − log q) − p + e^(log q)."""
    return np.asarray(term(p, log_q) - p + np.exp(log_q))


def halved(p: Array, log_q: Array) -> Array:
    """Return the generalised term with half of q missing."""
    return np.asarray(generalised(p, log_q) - np.exp(log_q) / 2)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_generalised_sums_over_logarithms(dtype: str) -> None:
    """Their bound includes − P + Q, and no sum is exact, because e^(log q) is rounded."""
    correct = Miniature(
        term=generalised, formula=Formula.GENERALISED, target=(Space.PROBABILITY,), reductions=ROWS, default="none"
    )
    for requirement, verdict in (("signs/gibbs", Verdict.PASS), ("values/exact-sum", Verdict.UNSUPPORTED)):
        result = evaluate(requirement, subject(correct, dtype))
        assert result.verdict is verdict, result.detail
    faulty = replace(correct, term=halved)
    assert evaluate("signs/gibbs", subject(faulty, dtype)).verdict is Verdict.FAIL


def strict(modules: Any, call: Call) -> Any:
    """Raise for rows that sum to 0, which cannot be normalised."""
    for each in (call.target, call.model):
        if (np.sum(each, call.keywords.get("axis", 0)) == 0).any():
            raise ValueError("a row sums to 0")
    return modules.stats.entropy(call.target, call.model, **call.keywords)


def without_zeros(modules: Any, call: Call) -> Any:
    """Raise for every zero in the target."""
    if (call.target == 0).any():
        raise ValueError("a probability of 0")
    return strict(modules, call)


@pytest.mark.parametrize("name", ["zero-target", "zero-over-zero", "zero-model"])
def test_rows_that_cannot_be_normalised_may_raise(name: str) -> None:
    """A row of zeros divided by its sum is undefined: an error passes as NaN does there, and nowhere else."""
    own = replace(loading.implementation("scipy.stats.entropy"), name="strict", call=strict)
    assert evaluate(f"support/{name}", subject(own)).verdict is Verdict.PASS
    if name != "zero-model":
        assert evaluate(f"support/{name}", subject(replace(own, call=without_zeros))).verdict is Verdict.FAIL


def second(modules: Any, call: Call) -> Any:
    """Sum over the given axis; by default the second, or the only one."""
    axis = call.keywords.get("axis", 1 if call.target.ndim > 1 else 0)
    return _summed(call, axis)


def last(modules: Any, call: Call) -> Any:
    """Sum over the last axis."""
    del modules
    return _summed(call, -1)


def _summed(call: Call, axis: int) -> Any:
    if call.target.shape != call.model.shape:
        raise ValueError("different shapes")
    with np.errstate(all="ignore"):
        return term(call.target, call.model).sum(axis)


def test_without_rows_the_only_axis_is_the_class_axis() -> None:
    """Cross-entropy has its classes on axis 1 of (N, C, …), and on axis 0 of (C)."""
    own = Implementation(
        name="second",
        framework="numpy",
        package="numpy",
        convention=Convention(reductions=ROWS, axis=1, order=(Side.MODEL, Side.TARGET)),
        call=second,
        gradients=frozenset(),
        broadcasts=False,
    )
    assert evaluate("reductions/axis", subject(own)).verdict is Verdict.PASS
    assert evaluate("reductions/axis", subject(replace(own, call=last))).verdict is Verdict.FAIL
