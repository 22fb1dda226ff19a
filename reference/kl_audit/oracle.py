"""Answers to 70 digits from mpmath, with straightforward formulas and no code of the reference."""

import math
from typing import Any

import mpmath
import numpy as np
from numpy.typing import NDArray

from kl_reference import Enclosure, Formula, Problem, Reduction, Side, Space

DIGITS = 70

Exact = NDArray[Any]
"""An object array of mpmath numbers."""

exact: Any = np.frompyfunc(lambda value: _number(float(value)), 1, 1)
log: Any = np.frompyfunc(mpmath.log, 1, 1)
exp: Any = np.frompyfunc(mpmath.exp, 1, 1)


def _number(value: float) -> Any:
    return mpmath.mpf(value)


def answer(problem: Problem, times: Any = 1) -> Exact:
    """Return the answer to a problem of at least one axis, the classes last, without infinities or NaN.

    ``times`` is the number of occurrences of each class in its row: long rows with few different classes have
    exact answers, too.
    """
    with mpmath.workdps(DIGITS):
        target, model = (exact(problem.side(side).values) for side in (Side.TARGET, Side.MODEL))
        return _reduced(problem.reduction, _terms(problem, target, model, times), times)


def derivative(problem: Problem, side: Side, place: tuple[int, ...], upstream: NDArray[Any]) -> Any:
    """Return one entry of the gradient as a central difference, accurate to 40 digits.

    No derivative is derived here, so not even a formula is shared with the reference.
    """
    with mpmath.workdps(2 * DIGITS):
        values = {each: exact(problem.side(each).values) for each in Side}
        centre, weights = values[side][place], exact(upstream)
        # The step is relative to a probability, and relative to at least 1 for a logarithm.
        scale = centre if problem.side(side).space is Space.PROBABILITY else max(abs(centre), mpmath.mpf(1))
        step = scale * mpmath.mpf(10) ** -30
        sides: list[Any] = []
        for shifted in (centre + step, centre - step):
            values[side][place] = shifted
            reduced = _reduced(problem.reduction, _terms(problem, values[Side.TARGET], values[Side.MODEL]))
            sides.append(np.sum(np.asarray(reduced * weights, dtype=object)))
        return (sides[0] - sides[1]) / (2 * step)


def log_softmax(values: NDArray[Any]) -> Exact:
    """Return log-softmax over the last axis."""
    with mpmath.workdps(DIGITS):
        return _distribution(exact(values), Space.LOGITS, False, 1)[1]


def error_ratio(enclosure: Enclosure, truth: Exact) -> float:
    """Return the largest |truth − midpoint| ÷ radius; a value above 1 means that the enclosure is wrong."""
    parts = (enclosure.value, enclosure.tail, enclosure.radius)
    with mpmath.workdps(DIGITS):
        ratios = [_error_ratio(*number) for number in zip(*(part.flat for part in parts), truth.flat, strict=True)]
    return max(ratios, default=0.0)


def _error_ratio(value: float, tail: float, radius: float, truth: Any) -> float:
    if math.isinf(value):
        overflow = mpmath.mpf(2) ** 1024 * (1 - mpmath.mpf(2) ** -54)
        return 0.0 if truth * math.copysign(1.0, value) >= overflow else math.inf
    if math.isnan(value) or math.isinf(radius):
        return math.inf
    error = abs(truth - mpmath.mpf(value) - mpmath.mpf(tail))
    if error == 0:
        return 0.0
    return float(error / mpmath.mpf(radius)) if radius > 0.0 else math.inf


def _distribution(
    values: Exact, space: Space, normalise: bool, times: Any, smoothing: float = 0.0
) -> tuple[Exact, Exact]:
    """Return p and log p."""
    if space is Space.LOG:
        return exp(values), values
    if space is Space.LOGITS:
        shifted = values - np.max(values, axis=-1, keepdims=True)
        logs = shifted - log(np.sum(exp(shifted) * times, axis=-1, keepdims=True))
        return exp(logs), logs
    if normalise:
        values = values / np.sum(values * times, axis=-1, keepdims=True)
    if smoothing:
        classes = np.sum(np.broadcast_to(times, values.shape), axis=-1, keepdims=True)
        values = (1 - _number(smoothing)) * values + _number(smoothing) / classes
    return values, log(values)


def _terms(problem: Problem, target: Exact, model: Exact, times: Any = 1) -> Exact:
    p, log_p = _distribution(target, problem.target.space, problem.normalise, times, problem.smoothing)
    q, log_q = _distribution(model, problem.model.space, problem.normalise, times)
    p, log_p, q, log_q = np.broadcast_arrays(p, log_p, q, log_q)
    difference = -log_q if problem.formula is Formula.CROSS_ENTROPY else log_p - log_q
    terms = np.where(p == 0, 0, p * difference)
    return terms - p + q if problem.formula is Formula.GENERALISED else terms


def _reduced(reduction: Reduction, terms: Exact, times: Any = 1) -> Exact:
    if reduction is Reduction.TERMS:
        return terms
    divisors = {
        Reduction.SUM: 1,
        Reduction.MEAN: int(np.sum(np.broadcast_to(times, terms.shape))),
        Reduction.BATCHMEAN: terms.shape[0],
        Reduction.ROWMEAN: terms.size // terms.shape[-1],
    }
    if reduction is Reduction.ROWS:
        return np.asarray(np.sum(terms * times, axis=-1), dtype=object)
    return np.asarray(np.sum(terms * times) / divisors[reduction], dtype=object)
