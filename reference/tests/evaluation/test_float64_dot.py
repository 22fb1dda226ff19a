"""Dot products for the most common sums of large problems agree with the evaluation term by term."""

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
    """Return P and log Q; in some problems special values or zeros of P are inserted at random."""
    p, q = hard_inputs.operands(rng, family, (5, 70), target, Space.LOG)
    for side in (p, q):
        kind = rng.integers(3)
        for number in SPECIALS if kind == 1 else []:
            side.values[rng.integers(60, size=side.values.shape) == 0] = number
        if kind == 2 and side is p:
            p.values[rng.integers(3, size=p.values.shape) == 0] = 0.0 if target is Space.PROBABILITY else -np.inf
    return Operand.of(p.values, target, dtype), Operand.of(q.values, Space.LOG, dtype)


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("target", [Space.PROBABILITY, Space.LOG])
@pytest.mark.parametrize("family", hard_inputs.FAMILIES)
def test_all_methods_agree(family: str, target: Space, dtype: Dtype) -> None:
    """The methods give the same infinities and NaN, values within the radius, the same scales, and a small radius."""
    rng = np.random.default_rng(7)
    for reduction, _ in itertools.product(SUMS, range(3)):
        problem = Problem(*operands(rng, family, target, dtype), reduction=reduction)
        by_dots, by_terms, fine = (answer(problem, limits=limits) for limits in (DOTS, NO_DOTS, LIMITS))
        # Where one method would overflow, another may use double-double.
        ordinary = np.isfinite(fine.value) & (fine.scale.condition < 1e200)
        for other in (by_terms, fine):
            finite = np.isfinite(other.value)
            np.testing.assert_array_equal(by_dots.value[~finite], other.value[~finite])
            difference = (by_dots.value[finite] - other.value[finite]) + (by_dots.tail - other.tail)[finite]
            assert np.all(np.abs(difference) <= (by_dots.radius + other.radius)[finite])
            size = by_dots.scale.magnitude[ordinary] - other.scale.magnitude[ordinary]
            assert np.all(np.abs(size) <= (by_dots.radius + other.radius)[ordinary])
            for field in ("condition", "fixed", "gradual", "flushed"):
                np.testing.assert_allclose(getattr(by_dots.scale, field), getattr(other.scale, field), rtol=1e-9)
        assert by_dots.scale.count == fine.scale.count
        assert np.all(by_dots.radius[fine.radius == 0.0] == 0.0)
        small = (20.0 + fine.scale.count) * U * fine.scale.condition + 1e-280
        assert np.all((by_dots.radius <= small)[ordinary])


def test_dot_products_serve_the_common_sums_only() -> None:
    """Other formulas, spaces, reductions and memory layouts are evaluated term by term."""
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
            block_view(problem, side).broadcast(matrix_shape(problem.shape, problem.class_axis)) for side in Side
        )
        expected = problem in common
        assert applies(problem, p_view, q_view) is expected
        dots, terms = (answer(problem, limits=Limits(-1, classes)) for classes in (32, None))
        assert (dots.radius.tobytes() != terms.radius.tobytes()) is expected


@pytest.mark.parametrize(("function", "target"), [("log", Space.PROBABILITY), ("exp", Space.LOG)])
def test_inaccurate_functions_are_detected(monkeypatch: pytest.MonkeyPatch, function: str, target: Space) -> None:
    """An inaccurate NumPy log or exp, even for few arguments, raises an error instead of giving an answer."""
    exact = getattr(np, function)

    def inaccurate(values: Any, **out: Any) -> Any:
        result = exact(values, **out)
        return np.multiply(result, np.where(np.abs(values) < 0.2, 1.0 + 1e-14, 1.0), **out)

    p = np.random.default_rng(9).uniform(0.1, 0.9, (50, 50)).astype(np.float32)
    log_q = Operand.of(np.log(p.T), Space.LOG)
    operand = Operand.of(p if target is Space.PROBABILITY else np.log(p), target)
    problem, limits = Problem(operand, log_q, reduction=Reduction.SUM), Limits(double_double=-1)
    answer(problem, limits=limits)
    monkeypatch.setattr(np, function, inaccurate)
    with pytest.raises(ArithmeticError, match="4 ulp"):
        answer(problem, limits=limits)
