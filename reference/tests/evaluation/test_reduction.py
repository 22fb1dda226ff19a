"""Sums and their divisors."""

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kl_reference import Formula, Operand, Problem, Reduction, Space, answer

SHAPES: list[tuple[int, ...]] = [(), (1,), (7,), (2, 3), (3, 1), (2, 3, 4), (2, 1, 3, 2), (3, 9000), (2000, 5)]


def halves(shape: tuple[int, ...]) -> tuple[Problem, NDArray[np.float64]]:
    """Return a problem with Q = P/2, and its terms p·log 2."""
    p = np.random.default_rng(0).uniform(0.1, 1.0, shape)
    operands = Operand.of(p, Space.PROBABILITY), Operand.of(p / 2.0, Space.PROBABILITY)
    return Problem(*operands), np.asarray(p * math.log(2.0))


def reduced(terms: NDArray[Any], reduction: Reduction, axis: int) -> Any:
    """Return the reduction by its definition."""
    match reduction:
        case Reduction.TERMS:
            return terms
        case Reduction.ROWS:
            return terms.sum(axis) if terms.ndim else terms
        case Reduction.SUM:
            return terms.sum()
        case Reduction.MEAN:
            return terms.mean()
        case Reduction.BATCHMEAN:
            return terms.sum() / (terms.shape[0] if terms.ndim else 1)
        case Reduction.ROWMEAN:
            return terms.sum(axis).mean() if terms.ndim else terms


@pytest.mark.parametrize("reduction", Reduction)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_reduction(shape: tuple[int, ...], reduction: Reduction) -> None:
    """Every reduction, along every axis of every shape, agrees with its definition, scales included."""
    problem, terms = halves(shape)
    for axis in range(-len(shape), len(shape)) if shape else (-1, 0):
        result = answer(Problem(problem.target, problem.model, reduction=reduction, axis=axis))
        expected = reduced(terms, reduction, axis)
        np.testing.assert_allclose(result.value, expected, rtol=1e-13)
        for part in (result.tail, result.radius, result.scale.condition, result.scale.gradual):
            assert part.shape == np.shape(expected)
        np.testing.assert_allclose(result.scale.magnitude, expected, rtol=1e-13)
        size = max(np.size(expected), 1)
        assert result.scale.count == terms.size // size


@pytest.mark.parametrize(("p_shape", "q_shape"), [((2, 3), (3,)), ((2, 3), ()), ((4, 1, 3), (2, 1)), ((3,), (2, 3))])
@pytest.mark.parametrize("reduction", Reduction)
def test_broadcasting(p_shape: tuple[int, ...], q_shape: tuple[int, ...], reduction: Reduction) -> None:
    """Operands that broadcast have the same answer as their broadcast copies."""
    rng = np.random.default_rng(1)
    p, q = rng.uniform(0.1, 1.0, p_shape), rng.uniform(0.1, 1.0, q_shape)
    wide = np.broadcast_arrays(p, q)
    for axis in range(-len(np.broadcast_shapes(p_shape, q_shape)), 0):
        results = [
            answer(
                Problem(
                    Operand.of(a, Space.PROBABILITY),
                    Operand.of(b, Space.PROBABILITY),
                    Formula.GENERALISED,
                    reduction,
                    axis,
                )
            )
            for a, b in ((p, q), wide)
        ]
        np.testing.assert_array_equal(results[0].value, results[1].value)


@pytest.mark.parametrize("space", [Space.LOGITS, Space.PROBABILITY])
def test_rows_are_normalised_before_broadcasting(space: Space) -> None:
    """Softmax and normalisation act on an operand as received, along the class axis."""
    x, y = (np.random.default_rng(2).uniform(0.5, 2.0, (2, 4, 3)), np.random.default_rng(3).uniform(1, 2, (4, 1)))
    p = np.exp(x) if space is Space.LOGITS else x
    q = np.exp(y) if space is Space.LOGITS else y
    p, q = p / p.sum(1, keepdims=True), q / q.sum(0, keepdims=True)
    result = answer(Problem(Operand.of(x, space), Operand.of(y, space), axis=1, normalise=True))
    np.testing.assert_allclose(result.value, p * np.log(p / q), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((0, 3), [0.0, math.nan, math.nan, math.nan]),
        ((3, 0), [0.0, math.nan, 0.0, 0.0]),
        ((0,), [0.0, *[math.nan] * 2, 0.0]),
    ],
    ids=str,
)
@pytest.mark.parametrize("space", Space)
def test_empty_operands(shape: tuple[int, ...], expected: list[float], space: Space) -> None:
    """An empty sum is 0, an empty mean is NaN, and no rows or no terms give empty arrays."""
    empty = Operand.of(np.zeros(shape), space)
    scalar = (Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN)
    got = [float(answer(Problem(empty, empty, reduction=reduction)).value) for reduction in scalar]
    np.testing.assert_equal(got, expected)
    assert answer(Problem(empty, empty)).value.shape == shape
    np.testing.assert_array_equal(answer(Problem(empty, empty, reduction=Reduction.ROWS)).value, np.zeros(shape[:-1]))


def test_exact_sums_are_exact() -> None:
    """With p in {0, 1} and dyadic log q every sum is exact, and its tail is 0."""
    rng = np.random.default_rng(4)
    p = rng.integers(0, 2, (3, 9001)).astype(np.float32)
    log_q = -rng.integers(1, 64, p.shape).astype(np.float32) / 8.0
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(log_q, Space.LOG), reduction=Reduction.ROWS)
    result = answer(problem)
    np.testing.assert_array_equal(result.value, -(p.astype(np.float64) * log_q).sum(1))
    np.testing.assert_array_equal(result.tail, 0.0)


def test_a_row_does_not_depend_on_the_others() -> None:
    """A row's answer has the same bits with any other rows."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(2, 300, 37))
    whole = answer(Problem(Operand.of(x, Space.LOGITS), Operand.of(y, Space.LOGITS), reduction=Reduction.ROWS))
    part = answer(
        Problem(Operand.of(x[250:], Space.LOGITS), Operand.of(y[250:], Space.LOGITS), reduction=Reduction.ROWS)
    )
    np.testing.assert_array_equal(whole.value[250:], part.value)
    np.testing.assert_array_equal(whole.tail[250:], part.tail)
