"""Directional derivatives, compared with differences of 70 digits, and at special values."""

import itertools
import math
from typing import Any

import mpmath
import numpy as np
import pytest
from numpy.typing import NDArray

from kl_audit import hard_inputs, oracle
from kl_audit.audit import MODERATE, SPACES
from kl_reference import Enclosure, Formula, Operand, Problem, Reduction, Side, Space, answer, gradient
from kl_reference.curvature import curvature, tangent

INF, NAN = math.inf, math.nan
P, LOG, LOGITS = Space.PROBABILITY, Space.LOG, Space.LOGITS
TARGET, MODEL = Side.TARGET, Side.MODEL
STEP = mpmath.mpf(10) ** -30
ROWS, CLASSES = 2, 3


def make_problem(p: Any, q: Any, spaces: tuple[Space, Space], formula: Formula = Formula.PLAIN, **rest: Any) -> Problem:
    """Return a problem with the given values."""
    target, model = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    return Problem(Operand.of(target, spaces[0]), Operand.of(model, spaces[1]), formula, **rest)


def drawn(rng: np.random.Generator) -> Problem:
    """Return a random problem of two rows of three classes at which all derivatives exist."""
    spaces = SPACES[int(rng.integers(len(SPACES)))]
    reduction = list(Reduction)[int(rng.integers(len(Reduction)))]
    formula = list(Formula)[int(rng.integers(len(Formula)))]
    while True:
        p, q = hard_inputs.operands(rng, str(rng.choice(MODERATE)), (ROWS, CLASSES), *spaces)
        if np.all(np.isfinite(p.values)) and (p.space is not P or np.all(p.values > 0.0)):
            return Problem(p, q, formula, reduction)


def moved(problem: Problem, side: Side, *steps: Any) -> Any:
    """Return the exact answer with the steps, arrays of mpmath numbers, added to one operand."""
    values = {each: oracle.exact(problem.side(each).values) for each in Side}
    values[side] = values[side] + sum(steps)
    (p, log_p), (q, log_q) = (_both(values[each], problem.side(each).space) for each in Side)
    terms = {
        Formula.PLAIN: p * (log_p - log_q),
        Formula.GENERALISED: p * (log_p - log_q) - p + q,
        Formula.CROSS_ENTROPY: -p * log_q,
    }[problem.formula]
    divisor = {Reduction.MEAN: ROWS * CLASSES, Reduction.BATCHMEAN: ROWS, Reduction.ROWMEAN: ROWS}
    match problem.reduction:
        case Reduction.TERMS:
            return terms
        case Reduction.ROWS:
            return np.sum(terms, axis=-1)
        case _:
            return np.asarray(np.sum(terms) / divisor.get(problem.reduction, 1), dtype=object)


def _both(values: NDArray[Any], space: Space) -> tuple[Any, Any]:
    if space is P:
        return values, oracle.log(values)
    if space is LOGITS:
        values = values - np.max(values, axis=-1, keepdims=True)
        values = values - oracle.log(np.sum(oracle.exp(values), axis=-1, keepdims=True))
    return oracle.exp(values), values


def error_ratio(result: Enclosure, truth: Any) -> float:
    """Return error ÷ radius; the difference itself is accurate to 40 digits of its operands, or to 1e-60."""
    radius = result.radius + 1e-40 * (result.scale.magnitude + 1e-60)
    enclosure = Enclosure(result.value, result.tail, radius, result.scale)
    return oracle.error_ratio(enclosure, np.asarray(truth, dtype=object))


def _small(problem: Problem, side: Side) -> Any:
    """Return a step for every element of an operand, relative to a probability or to at least 1 for a logarithm."""
    values = np.abs(problem.side(side).values)
    return oracle.exact(values if problem.side(side).space is P else np.maximum(values, 1.0)) * STEP


@pytest.mark.parametrize("side", Side)
def test_tangents_are_enclosed(side: Side, samples: int) -> None:
    """Central differences of answers, accurate to 60 digits, are within the radius."""
    rng = np.random.default_rng(1)
    with mpmath.workdps(2 * oracle.DIGITS):
        for _ in range(samples // 10):
            problem = drawn(rng)
            v = rng.normal(size=(ROWS, CLASSES))
            step = oracle.exact(v) * np.min(_small(problem, side))
            truth = (moved(problem, side, step) - moved(problem, side, -step)) / (2 * np.min(_small(problem, side)))
            assert error_ratio(tangent(problem, side, v), truth) <= 1.0, problem


@pytest.mark.parametrize("side", Side)
def test_curvatures_are_enclosed(side: Side, samples: int) -> None:
    """Second differences of answers are within the radius, entry by entry."""
    rng = np.random.default_rng(2)
    with mpmath.workdps(3 * oracle.DIGITS):
        for _ in range(samples // 40):
            problem = drawn(rng)
            v, upstream = rng.normal(size=(ROWS, CLASSES)), rng.normal(size=answer(problem).value.shape)
            result = curvature(problem, side, v, upstream)
            small = np.min(_small(problem, side))
            along = oracle.exact(v) * small
            truth = np.zeros((ROWS, CLASSES), dtype=object)
            for place in np.ndindex(ROWS, CLASSES):
                own = oracle.exact(np.zeros((ROWS, CLASSES)))
                own[place] = small
                mixed = sum(
                    a * b * moved(problem, side, a * own, b * along) for a, b in itertools.product((1, -1), repeat=2)
                )
                truth[place] = np.sum(mixed * oracle.exact(upstream)) / (4 * small * small)
            assert error_ratio(result, truth) <= 1.0, problem


@pytest.mark.parametrize("side", Side)
def test_radius_is_narrow(side: Side) -> None:
    """A radius is at most a thousandth of the float64 rounding error of the same problem."""
    rng = np.random.default_rng(3)
    for _ in range(100):
        problem, v = drawn(rng), rng.normal(size=(ROWS, CLASSES))
        for result in (tangent(problem, side, v), curvature(problem, side, v)):
            assert np.all(result.radius <= 1e-3 * 2.0**-53 * result.scale.fixed + 1e-300)


@pytest.mark.parametrize("side", Side)
def test_a_tangent_is_the_gradient_along_it(side: Side) -> None:
    """The sum of the directional derivative is the gradient times the direction."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        problem, v = drawn(rng), rng.normal(size=(ROWS, CLASSES))
        forward, reverse = tangent(problem, side, v), gradient(problem, side)
        loss = forward.scale.fixed.sum() + (reverse.scale.fixed * np.abs(v)).sum()
        assert abs(forward.value.sum() - (reverse.value * v).sum()) <= 2.0**-50 * loss


def test_the_curvature_by_logits_is_that_of_a_softmax() -> None:
    """By the logits of Q it is (diag s − s sᵀ)·Σp·v, for every log p."""
    rng = np.random.default_rng(5)
    p, x, v = rng.uniform(0.1, 1.0, (3, 7))
    s = np.exp(x) / np.exp(x).sum()
    expected = (np.diag(s) - np.outer(s, s)) @ v * p.sum()
    problem = make_problem(p, x, (P, LOGITS), reduction=Reduction.SUM)
    np.testing.assert_allclose(curvature(problem, MODEL, v).value, expected, rtol=1e-12)


CORNERS = [
    # side, spaces, p, q as received, tangent and curvature along 1: plain, generalised, cross-entropy
    (TARGET, (P, LOG), 0.0, -1.0, (-INF, INF), (-INF, INF), (1.0, 0.0)),
    (TARGET, (LOG, LOG), -INF, -1.0, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    (TARGET, (LOG, LOG), -INF, -INF, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    (TARGET, (LOG, LOG), 0.0, -3.0, (4.0, 5.0), (3.0, 4.0), (3.0, 3.0)),
    (TARGET, (P, LOG), 0.25, 0.0, (1.0 - math.log(4.0), 4.0), (-math.log(4.0), 4.0), (0.0, 0.0)),
    (MODEL, (P, LOG), 0.25, 0.0, (-0.25, 0.0), (0.75, 1.0), (-0.25, 0.0)),
    (MODEL, (P, LOG), 0.0, -INF, (0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
    (MODEL, (P, P), 0.5, 0.25, (-2.0, 8.0), (-1.0, 8.0), (-2.0, 8.0)),
    (MODEL, (P, P), 0.5, 0.0, (-INF, INF), (-INF, INF), (-INF, INF)),
    (TARGET, (P, P), NAN, 0.5, (NAN, NAN), (NAN, NAN), (math.log(2.0), 0.0)),
]


@pytest.mark.parametrize("corner", CORNERS, ids=str)
def test_corner(corner: tuple[Any, ...]) -> None:
    """At special values both derivatives are one-sided limits."""
    side, spaces, p, q, *expected = corner
    for formula, (first, second) in zip(Formula, expected, strict=True):
        problem = make_problem(p, q, spaces, formula)
        for derivative, value in ((tangent, first), (curvature, second)):
            np.testing.assert_allclose(derivative(problem, side, np.ones(())).value, value, rtol=1e-15)


@pytest.mark.parametrize(("side", "formula"), list(itertools.product(Side, Formula)))
def test_a_zero_direction_adds_nothing(side: Side, formula: Formula) -> None:
    """Along a direction of 0 all derivatives are exactly 0, even where the slope is infinite."""
    for spaces in SPACES:
        values = [np.array([0.0 if space is P else -INF, 0.25]) for space in spaces]
        problem = make_problem(values[0], values[1], spaces, formula)
        for result in (tangent(problem, side, np.zeros(2)), curvature(problem, side, np.zeros(2))):
            np.testing.assert_array_equal(result.value, 0.0)


def test_clipped_probabilities_do_not_change() -> None:
    """The derivative of a clipped probability is 0."""
    problem = make_problem([0.0, 0.25, 2.0], [0.5, 0.5, 0.5], (P, P), clip=(0.25, 1.0))
    for result in (tangent(problem, TARGET, np.ones(3)), curvature(problem, TARGET, np.ones(3))):
        np.testing.assert_array_equal(result.value != 0.0, [False, True, False])


@pytest.mark.parametrize("axis", range(-3, 3))
@pytest.mark.parametrize("reduction", Reduction)
def test_any_axis_may_be_the_class_axis(axis: int, reduction: Reduction) -> None:
    """Moving the class axis permutes the answer and changes nothing else."""
    rng = np.random.default_rng(6)
    x, y, v = rng.normal(size=(3, 2, 3, 4))
    last = make_problem(x, y, (LOGITS, LOGITS), reduction=reduction)
    if reduction is Reduction.BATCHMEAN:  # the divisor is the first axis, for every class axis
        last = make_problem(x, y, (LOGITS, LOGITS), reduction=Reduction.SUM)
    parts = [np.moveaxis(part, -1, axis) for part in (x, y, v)]
    other = make_problem(parts[0], parts[1], (LOGITS, LOGITS), reduction=reduction, axis=axis)
    share = parts[0].shape[0] if reduction is Reduction.BATCHMEAN else 1
    moved_back, expected = tangent(other, TARGET, parts[2]).value, tangent(last, TARGET, v).value / share
    if reduction is Reduction.TERMS:
        expected = np.moveaxis(expected, -1, axis)
    np.testing.assert_allclose(moved_back, expected, rtol=1e-13)
    moved_back = curvature(other, TARGET, parts[2]).value
    np.testing.assert_allclose(
        moved_back, np.moveaxis(curvature(last, TARGET, v).value, -1, axis) / share, rtol=1e-12, atol=1e-16
    )


def test_unsupported_problems_are_rejected() -> None:
    """Operands of different shapes, and probabilities to be normalised, are rejected with the reason."""
    with pytest.raises(ValueError, match="one shape, given"):
        tangent(make_problem(np.ones(3), np.zeros((2, 3)), (P, LOG)), MODEL, np.ones((2, 3)))
    with pytest.raises(ValueError, match="of normalised probabilities"):
        curvature(make_problem(np.ones(3), np.ones(3), (P, P), normalise=True), MODEL, np.ones(3))
