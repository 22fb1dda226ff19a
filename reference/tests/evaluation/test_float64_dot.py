"""The commonest sums of large problems: the swift way to them agrees with the others."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from kl_audit import hard_inputs
from kl_reference import Dtype, Formula, Operand, Problem, Reduction, Side, Space, answer
from kl_reference.answer import block_view
from kl_reference.evaluation.float64 import LIMITS, Limits, U
from kl_reference.evaluation.float64_dot import applies
from kl_reference.evaluation.reduction import matrix_shape

NARROW = [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16]
SUMS = [reduction for reduction in Reduction if reduction is not Reduction.TERMS]
SPECIALS = [0.0, -0.0, -math.inf, math.inf, math.nan, -0.5, 800.0, -1e4, 1e-45]


DOTS = Limits(double_double=-1, dot_classes=1, dot_chunk=16)
"""float64 for problems of every size, by dot products of small chunks where possible."""
NO_DOTS = Limits(double_double=-1, dot_classes=None)
"""float64 for problems of every size, term by term."""


def operands(rng: np.random.Generator, family: str, target: Space, dtype: Dtype) -> tuple[Operand, Operand]:
    """Return P and log Q, where chance wills with the hardest of numbers, or zeros of P, strewn in."""
    p, q = hard_inputs.operands(rng, family, (5, 70), target, Space.LOG)
    for side in (p, q):
        strewn = rng.integers(3)
        for number in SPECIALS if strewn == 1 else []:
            side.values[rng.integers(60, size=side.values.shape) == 0] = number
        if strewn == 2 and side is p:
            p.values[rng.integers(3, size=p.values.shape) == 0] = (
                0.0 if target is Space.PROBABILITY else -np.inf
            )
    return Operand.of(p.values, target, dtype), Operand.of(q.values, Space.LOG, dtype)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("target", [Space.PROBABILITY, Space.LOG])
@pytest.mark.parametrize("family", hard_inputs.FAMILIES)
def test_all_ways_agree(family: str, target: Space, dtype: Dtype) -> None:
    """The same infinities and NaN, values within the radius, the same scales, and a small radius."""
    rng = np.random.default_rng(7)
    for reduction, _ in itertools.product(SUMS, range(3)):
        problem = Problem(*operands(rng, family, target, dtype), reduction=reduction)
        quick, rough, fine = (answer(problem, limits=limits) for limits in (DOTS, NO_DOTS, LIMITS))
        # Where one way would overflow, another may be in double-double.
        ordinary = np.isfinite(fine.value) & (fine.scale.condition < 1e200)
        for other in (rough, fine):
            finite = np.isfinite(other.value)
            np.testing.assert_array_equal(quick.value[~finite], other.value[~finite])
            difference = (quick.value[finite] - other.value[finite]) + (quick.tail - other.tail)[finite]
            assert np.all(np.abs(difference) <= (quick.radius + other.radius)[finite])
            size = quick.scale.magnitude[ordinary] - other.scale.magnitude[ordinary]
            assert np.all(np.abs(size) <= (quick.radius + other.radius)[ordinary])
            for field in ("condition", "fixed", "gradual", "flushed"):
                np.testing.assert_allclose(
                    getattr(quick.scale, field), getattr(other.scale, field), rtol=1e-9
                )
        assert quick.scale.count == fine.scale.count
        assert np.all(quick.radius[fine.radius == 0.0] == 0.0)
        small = (20.0 + fine.scale.count) * U * fine.scale.condition + 1e-280
        assert np.all((quick.radius <= small)[ordinary])


def test_dot_products_serve_the_common_sums_only() -> None:
    """Other formulas, spaces, reductions and layouts are evaluated term by term, with the same bits as before."""
    values = np.random.default_rng(8).uniform(0.1, 0.9, (40, 50)).astype(np.float32)
    p, log_q = Operand.of(values, Space.PROBABILITY), Operand.of(np.log(values), Space.LOG)
    across = Operand(np.asfortranarray(values), Space.PROBABILITY, Dtype.FLOAT32)
    common = [Problem(p, log_q, reduction=reduction) for reduction in SUMS]
    others = [
        Problem(p, log_q),
        Problem(p, p, reduction=Reduction.SUM),
        Problem(p, log_q, Formula.GENERALISED, Reduction.SUM),
        Problem(p, log_q, reduction=Reduction.SUM, normalise=True),
        Problem(p, log_q, reduction=Reduction.ROWS, axis=0),
        Problem(across, log_q, reduction=Reduction.SUM),
        Problem(p, Operand.of(log_q.values[:1], Space.LOG), reduction=Reduction.SUM),
    ]
    for problem in common + others:
        p_view, q_view = (
            block_view(problem, side).broadcast(matrix_shape(problem.shape, problem.class_axis))
            for side in Side
        )
        expected = problem in common
        assert applies(problem, p_view, q_view) is expected
        dots, terms = (answer(problem, limits=Limits(-1, classes)) for classes in (32, None))
        assert (dots.radius.tobytes() != terms.radius.tobytes()) is expected


@pytest.mark.parametrize(("function", "target"), [("log", Space.PROBABILITY), ("exp", Space.LOG)])
def test_poor_functions_are_noticed(monkeypatch: pytest.MonkeyPatch, function: str, target: Space) -> None:
    """If NumPy's log or exp were worse than assumed, even in few places, no swift answer would be given."""
    exact = getattr(np, function)

    def poor(values: Any, **out: Any) -> Any:
        result = exact(values, **out)
        return np.multiply(result, np.where(np.abs(values) < 0.2, 1.0 + 1e-14, 1.0), **out)

    p = np.random.default_rng(9).uniform(0.1, 0.9, (50, 50)).astype(np.float32)
    log_q = Operand.of(np.log(p.T), Space.LOG)
    operand = Operand.of(p if target is Space.PROBABILITY else np.log(p), target)
    problem, limits = Problem(operand, log_q, reduction=Reduction.SUM), Limits(double_double=-1)
    answer(problem, limits=limits)
    monkeypatch.setattr(np, function, poor)
    with pytest.raises(ArithmeticError, match="4 ulp"):
        answer(problem, limits=limits)
