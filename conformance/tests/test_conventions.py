"""Conventions of which there is one implementation: who follows them is not accused, and who does not is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_conformance import registry
from kl_conformance.implementation import Call, Implementation
from kl_conformance.sketch import Array, Sketch, term
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reports.result import Verdict

ROWS = {"none": Reduction.ROWS}


def generalised(p: Array, log_q: Array) -> Array:
    """Return p·(log p − log q) − p + e^(log q)."""
    return np.asarray(term(p, log_q) - p + np.exp(log_q))


def halved(p: Array, log_q: Array) -> Array:
    """Return it with half of q forgotten."""
    return np.asarray(generalised(p, log_q) - np.exp(log_q) / 2)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
def test_generalised_sums_over_logarithms(dtype: str) -> None:
    """Their bound has − P + Q in it, and none of them is exact, as e^(log q) is rounded."""
    right = Sketch(
        term=generalised,
        formula=Formula.GENERALISED,
        target=(Space.PROBABILITY,),
        reductions=ROWS,
        default="none",
    )
    for requirement, verdict in (("signs/gibbs", Verdict.PASS), ("values/exact-sum", Verdict.UNSUPPORTED)):
        result = evaluate(requirement, subject(right, dtype))
        assert result.verdict is verdict, result.detail
    wrong = replace(right, term=halved)
    assert evaluate("signs/gibbs", subject(wrong, dtype)).verdict is Verdict.FAIL


def strict(modules: Any, call: Call) -> Any:
    """Refuse rows that add up to 0, which cannot be normalised."""
    for each in (call.target, call.model):
        if (np.sum(each, call.keywords.get("axis", 0)) == 0).any():
            raise ValueError("a row adds up to 0")
    return modules.stats.entropy(call.target, call.model, **call.keywords)


def squeamish(modules: Any, call: Call) -> Any:
    """Refuse every zero in a target."""
    if (call.target == 0).any():
        raise ValueError("a probability of 0")
    return strict(modules, call)


@pytest.mark.parametrize(
    "requirement", ["support/zero-target", "support/zero-over-zero", "support/zero-model"]
)
def test_what_cannot_be_normalised_may_be_refused(requirement: str) -> None:
    """Zeros divided by their sum are nothing defined: an error is as good as NaN there, and nowhere else."""
    own = replace(registry.implementation("scipy.stats.entropy"), name="strict", call=strict)
    assert evaluate(requirement, subject(own)).verdict is Verdict.PASS
    if requirement != "support/zero-model":
        assert evaluate(requirement, subject(replace(own, call=squeamish))).verdict is Verdict.FAIL


def second(modules: Any, call: Call) -> Any:
    """Sum over the second axis, or over the only one, unless told another."""
    axis = call.keywords.get("axis", 1 if call.target.ndim > 1 else 0)
    return _summed(call, axis)


def last(modules: Any, call: Call) -> Any:
    """Sum over the last axis."""
    del modules
    return _summed(call, -1)


def _summed(call: Call, axis: int) -> Any:
    if call.target.shape != call.model.shape:
        raise ValueError("of different shape")
    with np.errstate(all="ignore"):
        return term(call.target, call.model).sum(axis)


def test_the_second_axis_is_the_only_one_where_there_are_no_rows() -> None:
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
