"""Zeros, infinities and NaN."""

import math
from typing import Any

import numpy as np
import pytest

from kl_reference import Enclosure, Formula, Operand, Problem, Reduction, Space, answer

INF, NAN = math.inf, math.nan
PLAIN, GENERALISED, CROSS_ENTROPY = Formula.PLAIN, Formula.GENERALISED, Formula.CROSS_ENTROPY
GIVEN = (Space.PROBABILITY, Space.LOG)


def evaluate(
    p: Any,
    q: Any,
    formula: Formula = PLAIN,
    spaces: tuple[Space, Space] = (Space.PROBABILITY, Space.PROBABILITY),
    **rest: Any,
) -> Enclosure:
    """Return the answer to a problem with probabilities as input, converted to the given spaces."""

    def operand(values: Any, space: Space) -> Operand:
        probabilities = np.asarray(values, dtype=np.float64)
        if space is Space.PROBABILITY:
            return Operand.of(probabilities, space)
        with np.errstate(divide="ignore", invalid="ignore"):
            return Operand.of(np.log(probabilities), space)

    return answer(Problem(operand(p, spaces[0]), operand(q, spaces[1]), formula, **rest))


def of_logits(x: Any, y: Any, reduction: Reduction = Reduction.TERMS) -> Problem:
    """Return a problem of logits."""
    return Problem(Operand.of(x, Space.LOGITS), Operand.of(y, Space.LOGITS), reduction=reduction)


CORNERS = [
    # p, q, plain, generalised, cross-entropy
    (0.0, 0.5, 0.0, 0.5, 0.0),
    (-0.0, 0.5, 0.0, 0.5, 0.0),
    (0.0, 0.0, 0.0, 0.0, 0.0),
    (0.0, INF, 0.0, INF, 0.0),
    (0.0, NAN, NAN, NAN, NAN),
    (0.5, 0.0, INF, INF, INF),
    (5e-324, 0.0, INF, INF, INF),
    (0.5, NAN, NAN, NAN, NAN),
    (NAN, 0.5, NAN, NAN, NAN),
    (NAN, 0.0, NAN, NAN, NAN),
    (-0.5, 0.5, NAN, NAN, NAN),
    (-0.5, 0.0, NAN, NAN, NAN),
    (0.5, -0.5, NAN, NAN, NAN),
    (0.0, -0.5, NAN, NAN, NAN),
    (-INF, 1.0, NAN, NAN, NAN),
    (INF, 0.5, INF, NAN, INF),
    (INF, 2.0, INF, NAN, -INF),
    (INF, 1.0, INF, NAN, NAN),
    (0.5, INF, -INF, NAN, -INF),
    (INF, INF, NAN, NAN, -INF),
    (1.0, 1.0, 0.0, 0.0, 0.0),
]


@pytest.mark.parametrize("spaces", [(a, b) for a in GIVEN for b in GIVEN])
@pytest.mark.parametrize("corner", CORNERS, ids=str)
def test_corner(corner: tuple[float, ...], spaces: tuple[Space, Space]) -> None:
    """Where p or q is 0, infinite, negative or NaN, the term is exactly its value in the extended reals."""
    p, q, *expected = corner
    for formula, value in zip((PLAIN, GENERALISED, CROSS_ENTROPY), expected, strict=True):
        result = evaluate(p, q, formula, spaces)
        np.testing.assert_equal(result.value, value)
        # exp(log 0.5) is not exactly 0.5; the tail contains the difference.
        assert abs(result.tail) <= 2.0**-53
        if not math.isfinite(value) or value == 0.0 == p:
            assert result.radius == 0.0


def test_underflowing_probability_is_not_zero() -> None:
    """e^-10000 is positive: with q = 0 it gives +inf, with a huge −log q the exact product."""
    p = Operand.of(np.array([-1e4, -1e4, -800.0]), Space.LOG)
    q = Operand.of(np.array([-INF, -1e300, -1e100]), Space.LOG)
    result = answer(Problem(p, q))
    assert result.value[0] == INF
    assert result.value[1] == 0.0
    assert result.value[2] == pytest.approx(math.exp(-400.0) * 1e100 * math.exp(-400.0), rel=1e-12)


def test_quotient_beyond_the_range_is_harmless() -> None:
    """p·log(p/q) is correct even if p/q overflows or underflows."""
    p, q = np.array([1e300, 1e-300, 5e-324, 1.0]), np.array([1e-300, 1e300, 1e300, 5e-324])
    expected = p * (np.log(p) - np.log(q))
    np.testing.assert_allclose(evaluate(p, q).value, expected, rtol=1e-12)


def test_partial_sums_beyond_the_range_are_harmless() -> None:
    """Terms and partial sums that overflow add up to a finite sum if the exact sum is finite."""
    p = np.array([1.5e308, 1.5e308, 1.0])
    log_q = math.log(1.5e308) + np.array([-100.0, 100.0, -math.log(1.5e308)])
    target, model = Operand.of(p, Space.PROBABILITY), Operand.of(log_q, Space.LOG)
    np.testing.assert_array_equal(answer(Problem(target, model)).value[:2], [INF, -INF])
    total = answer(Problem(target, model, reduction=Reduction.SUM))
    assert abs(total.value) < 1e-13 * 1.5e308
    assert total.radius < 1e-19 * 1.5e308 * 1e4


@pytest.mark.parametrize("space", Space)
def test_nan_stays_in_its_row(space: Space) -> None:
    """A NaN gives NaN in its term and in every sum that contains it, and nowhere else."""
    values = np.log(np.full((3, 4), 0.25)) if space is not Space.PROBABILITY else np.full((3, 4), 0.25)
    spoilt = values.copy()
    spoilt[1, 2] = NAN
    for p, q in ((values, spoilt), (spoilt, values)):
        problem = Problem(Operand.of(p, space), Operand.of(q, space))
        lost = np.zeros((3, 4), dtype=np.bool_)
        lost[1, :] = space is Space.LOGITS  # every probability of the row depends on every logit
        lost[1, 2] = True
        np.testing.assert_array_equal(np.isnan(answer(problem).value), lost)
        rows = answer(Problem(problem.target, problem.model, reduction=Reduction.ROWS))
        np.testing.assert_array_equal(np.isnan(rows.value), [False, True, False])
        assert np.isnan(answer(Problem(problem.target, problem.model, reduction=Reduction.MEAN)).value)


def test_masked_classes_contribute_nothing() -> None:
    """Logits of −inf, in P alone or in both, do not change the sum over the other classes."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 3, 8))
    x[:, 5:] = -INF
    both = y.copy()
    both[:, 5:] = -INF
    inside = answer(of_logits(x[:, :5], y[:, :5], Reduction.ROWS))
    masked = answer(of_logits(x, both, Reduction.ROWS))
    assert np.all(np.abs(masked.value - inside.value) <= masked.radius + inside.radius + 1e-17)
    terms = answer(of_logits(x, y))
    assert np.all(terms.value[:, 5:] == 0.0)
    assert np.all(terms.radius[:, 5:] == 0.0)


def test_mask_of_the_model_alone_is_infinite() -> None:
    """A logit of −inf in Q where P is positive gives +inf."""
    x, y = np.zeros((2, 3)), np.array([[0.0, -INF, 0.0], [0.0, 0.0, 0.0]])
    result = answer(of_logits(x, y, Reduction.ROWS))
    np.testing.assert_equal(result.value, [INF, 0.0])


def test_rows_without_a_normalised_form_are_nan() -> None:
    """A row that cannot be normalised, with all logits −inf or all probabilities 0, is NaN."""
    x = np.array([[-INF, -INF], [INF, 0.0], [0.0, -INF]])
    logits = answer(of_logits(x, np.zeros((3, 2)), Reduction.ROWS))
    np.testing.assert_array_equal(np.isnan(logits.value), [True, True, False])
    p = np.array([[0.0, 0.0], [INF, 1.0], [-1.0, 2.0], [2.0, 6.0]])
    rows = evaluate(p, np.ones((4, 2)), normalise=True, reduction=Reduction.ROWS)
    np.testing.assert_array_equal(np.isnan(rows.value), [True, True, True, False])
    assert rows.value[3] == pytest.approx(0.25 * math.log(0.25) + 0.75 * math.log(0.75) + math.log(2.0))


def test_clipping_comes_first() -> None:
    """Clipping, to bounds rounded to the dtype, changes zeros and negative numbers, but not NaN."""
    p, q = np.array([-1.0, 0.0, NAN, 2.0], dtype=np.float32), np.array([0.5] * 4, dtype=np.float32)
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(q, Space.PROBABILITY), clip=(1e-7, 1.0))
    low = float(np.float32(1e-7))
    expected = [low * math.log(low / 0.5)] * 2 + [NAN, math.log(2.0)]
    np.testing.assert_allclose(answer(problem).value, expected, rtol=1e-14)


FAR = np.finfo(np.float64).max


@pytest.mark.parametrize("formula", [PLAIN, CROSS_ENTROPY])
@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("p", [1.0, 0.75, 0.3, 1e-300])
@pytest.mark.parametrize("space", GIVEN)
def test_logarithms_at_the_end_of_the_range(formula: Formula, sign: float, p: float, space: Space) -> None:
    """With log q = ±MAX no intermediate result of p·MAX, which is a float64, overflows."""
    log_p = math.log(p)
    target = Operand.of(np.array([p if space is Space.PROBABILITY else log_p]), space)
    result = answer(Problem(target, Operand.of(np.array([-sign * FAR]), Space.LOG), formula))
    # Compared with MAX, log p is negligible; p from log p has a relative error of 2 ulp of log p.
    slack = 0.0 if space is Space.PROBABILITY else 2.0**-52 * abs(log_p)
    assert abs(result.value[0] / FAR - sign * p) <= p * (slack + 2.0**-53)
    assert result.radius[0] <= 1e-20 * p * FAR
    if p == 1.0:
        assert (result.value[0], result.tail[0]) == (sign * FAR, 0.0)


def test_differences_of_logarithms_beyond_the_range() -> None:
    """If log p − log q overflows, the term overflows, too, or p is so small that the term is 0."""
    log_p, log_q = np.array([[-FAR, FAR, -FAR]]), np.array([[FAR, -FAR, -FAR]])
    result = answer(Problem(Operand.of(log_p, Space.LOG), Operand.of(log_q, Space.LOG)))
    np.testing.assert_array_equal(result.value, [[0.0, INF, 0.0]])
    assert np.all(result.radius <= 1e-320)
    row = Problem(Operand.of(log_p[:, :1] * 0.0, Space.LOG), Operand.of(log_q[:, :2], Space.LOG))
    total = answer(Problem(row.target, row.model, reduction=Reduction.ROWS))
    assert abs(total.value[0]) <= total.radius[0] <= 1e-25 * FAR
