"""Gradients at special values, with broadcasting and with normalisation; the audits cover the rest."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from kl_reference import Formula, Operand, Problem, Reduction, Side, Space, answer, gradient

INF, NAN = math.inf, math.nan
P, LOG, LOGITS = Space.PROBABILITY, Space.LOG, Space.LOGITS
TARGET, MODEL = Side.TARGET, Side.MODEL


def make_problem(p: Any, q: Any, spaces: tuple[Space, Space], formula: Formula = Formula.PLAIN, **rest: Any) -> Problem:
    """Return a problem with the given values."""
    target, model = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    return Problem(Operand.of(target, spaces[0]), Operand.of(model, spaces[1]), formula, **rest)


CORNERS = [
    # side, spaces, p, q as received, plain, generalised, cross-entropy
    (TARGET, (P, P), 0.0, 0.5, -INF, -INF, math.log(2.0)),
    (TARGET, (P, LOG), 0.0, -1.0, -INF, -INF, 1.0),
    (TARGET, (P, LOG), 0.0, -INF, INF, INF, INF),
    (TARGET, (P, LOG), 0.5, -INF, INF, INF, INF),
    (TARGET, (LOG, LOG), -INF, -1.0, 0.0, 0.0, 0.0),
    (TARGET, (LOG, LOG), -INF, -INF, 0.0, 0.0, 0.0),
    (TARGET, (LOG, LOG), 0.0, -INF, INF, INF, INF),
    (TARGET, (LOG, LOG), 0.0, -3.0, 4.0, 3.0, 3.0),
    (MODEL, (P, LOG), 0.0, -INF, 0.0, 0.0, 0.0),
    (MODEL, (P, LOG), 0.25, -INF, -0.25, -0.25, -0.25),
    (MODEL, (P, LOG), 0.25, 0.0, -0.25, 0.75, -0.25),
    (MODEL, (P, P), 0.0, 0.0, 0.0, 1.0, 0.0),
    (MODEL, (P, P), 0.5, 0.0, -INF, -INF, -INF),
    (MODEL, (P, P), 0.5, 0.5, -1.0, 0.0, -1.0),
    (MODEL, (P, P), 1e-300, 1e300, -0.0, 1.0, -0.0),
    (TARGET, (P, P), NAN, 0.5, NAN, NAN, math.log(2.0)),
    (TARGET, (P, P), 0.5, NAN, NAN, NAN, NAN),
    (MODEL, (P, P), 0.5, -0.5, NAN, NAN, NAN),
]


@pytest.mark.parametrize("corner", CORNERS, ids=str)
def test_corner(corner: tuple[Any, ...]) -> None:
    """At special values a gradient is the one-sided limit, and never NaN if the answer is finite."""
    side, spaces, p, q, *expected = corner
    for formula, value in zip(Formula, expected, strict=True):
        np.testing.assert_equal(float(gradient(make_problem(p, q, spaces, formula), side).value), value)


def test_tiny_gradients_are_accurate() -> None:
    """A gradient far below any absolute tolerance is accurate to its last digit."""
    p = np.array([1e-30, 3e-300, 5e-324])
    result = gradient(make_problem(p, np.full(3, -1.0), (P, LOG), reduction=Reduction.MEAN), MODEL)
    np.testing.assert_allclose(result.value[:2], -p[:2] / 3.0, rtol=1e-15)
    assert abs(result.value[2]) <= 5e-324


@pytest.mark.parametrize(("target", "model"), list(itertools.product(Space, Space)))
@pytest.mark.parametrize("reduction", Reduction)
def test_broadcast_gradient_is_summed(target: Space, model: Space, reduction: Reduction) -> None:
    """The gradient by a broadcast operand is the sum over its copies."""
    rng = np.random.default_rng(0)
    x, y = rng.uniform(0.1, 1.0, (3, 1, 4)), rng.uniform(0.1, 1.0, (2, 4))
    wide_x, wide_y = (np.array(part) for part in np.broadcast_arrays(x, y))
    narrow = make_problem(x, y, (target, model), reduction=reduction)
    wide = make_problem(wide_x, wide_y, (target, model), reduction=reduction)
    upstream = rng.normal(size=answer(narrow).value.shape)
    for side, axes in ((TARGET, (1,)), (MODEL, (0,))):
        result, whole = gradient(narrow, side, upstream), gradient(wide, side, upstream)
        summed = whole.value.sum(axes).reshape(result.value.shape)
        np.testing.assert_allclose(result.value, summed, rtol=1e-11, atol=1e-15)
        assert result.scale.fixed.shape == result.value.shape
        assert result.scale.count == whole.value.size // result.value.size


@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("formula", Formula)
def test_gradient_by_logits_sums_to_zero(side: Side, formula: Formula) -> None:
    """The gradient by logits sums to 0, because a shift of all logits does not change the answer."""
    x, y = np.random.default_rng(1).normal(size=(2, 4, 50))
    result = gradient(make_problem(x, y, (LOGITS, LOGITS), formula, reduction=Reduction.SUM), side)
    assert np.all(np.abs(result.value.sum(1)) < 1e-14)


def test_masked_logits_have_no_gradient() -> None:
    """A class masked in P and Q has gradient exactly 0; the other classes have the same gradient as without it."""
    x, y = np.random.default_rng(2).normal(size=(2, 3, 6))
    x[:, 4:] = y[:, 4:] = -INF
    for side in Side:
        masked = gradient(make_problem(x, y, (LOGITS, LOGITS), reduction=Reduction.SUM), side)
        inside = gradient(make_problem(x[:, :4], y[:, :4], (LOGITS, LOGITS), reduction=Reduction.SUM), side)
        np.testing.assert_array_equal(masked.value[:, 4:], 0.0)
        np.testing.assert_allclose(masked.value[:, :4], inside.value, rtol=1e-13, atol=1e-17)


@pytest.mark.parametrize("side", Side)
def test_normalised_probabilities_can_be_scaled(side: Side) -> None:
    """If rows are divided by their sum, the gradient is orthogonal to them."""
    p, q = np.random.default_rng(3).uniform(0.1, 1.0, (2, 5, 7))
    problem = make_problem(p, q, (P, P), normalise=True, reduction=Reduction.ROWS)
    values = p if side is TARGET else q
    assert np.all(np.abs((gradient(problem, side).value * values).sum(1)) < 1e-13)


def test_clipped_probabilities_have_no_gradient() -> None:
    """Outside the clip range the gradient is exactly 0; at its boundary it is the gradient of the inside."""
    p = np.array([-1.0, 0.0, 0.25, 0.5, 0.75, 2.0])
    problem = make_problem(p, np.full(6, 0.5), (P, P), clip=(0.25, 0.75))
    np.testing.assert_array_equal(gradient(problem, TARGET).value != 0.0, [False, False, True, True, True, False])


def test_upstream_of_zero_gives_zero() -> None:
    """An upstream gradient of 0 gives 0, even where the slope is infinite."""
    result = gradient(make_problem([0.0, 0.0], [-1.0, -1.0], (P, LOG)), TARGET, np.array([0.0, 1.0]))
    np.testing.assert_array_equal(result.value, [0.0, -INF])


def test_upstream_broadcasts_and_must_fit() -> None:
    """A scalar upstream gradient broadcasts to the answer's shape; any other shape is rejected."""
    problem = make_problem(np.ones((2, 3)), np.zeros((2, 3)), (P, LOG), reduction=Reduction.ROWS)
    np.testing.assert_array_equal(gradient(problem, MODEL, np.array(2.0)).value, -2.0)
    with pytest.raises(ValueError, match="broadcast"):
        gradient(problem, MODEL, np.ones(3))


def test_empty_gradients_are_empty() -> None:
    """The gradient of an empty operand has the operand's shape."""
    for shape in ((0, 3), (3, 0)):
        problem = make_problem(np.zeros(shape), np.zeros(shape), (P, LOGITS), reduction=Reduction.SUM)
        for side in Side:
            assert gradient(problem, side).value.shape == shape


@pytest.mark.parametrize("side", Side)
def test_class_axis_beyond_the_operand(side: Side) -> None:
    """An operand without the class axis has one class."""
    problem = make_problem(np.full((4, 3), 0.5), np.array([0.1, 0.2, 0.3]), (LOGITS, LOGITS), axis=0)
    assert gradient(problem, side).value.shape == problem.side(side).values.shape
