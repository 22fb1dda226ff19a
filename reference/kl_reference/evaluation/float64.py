"""float64 evaluation with a proven bound, for problems too large for double-double.

The bound assumes that each IEEE 754 operation is rounded once and that NumPy's log and exp have an error of at most
4 ulp. NumPy does not guarantee the latter, so blocks 1, 2, 4, 8, … are evaluated in double-double, too, and compared.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kl_reference.bounds.ball import Ball
from kl_reference.bounds.double_double import ZEROS
from kl_reference.bounds.scaled import UNSCALED, Scaled
from kl_reference.convention import Formula, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array
from kl_reference.evaluation.condition import term_scale
from kl_reference.evaluation.distribution import Distribution, masked
from kl_reference.evaluation.reduction import Terms
from kl_reference.problem import Problem

BLOCK: Final = 16_384
"""Elements per block."""

U: Final = 2.0**-53
LIBM: Final = 8.0
"""Relative error of np.log and np.exp, in u."""

# Factor of first-order bounds: it covers all products of two roundings, n·u ≤ 2^-20 included.
SECOND_ORDER: Final = 1.0 + 2.0**-10
# Exceeds by far the underflow error of a probability below the normal range; a subnormal bound would be slow.
UNDERFLOW: Final = 2.0**-960


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes at which the evaluation of an answer changes its method.

    Parameters
    ----------
    double_double
        Number of elements up to which everything is evaluated in double-double.
    dot_classes
        Least number of classes in a row for which a call of BLAS pays off; None: no dot products at all.
    dot_chunk
        Number of elements in one call of BLAS.
    """

    double_double: int = 2_000_000
    dot_classes: int | None = 32
    dot_chunk: int = 8192


LIMITS: Final = Limits()

MakeTerms = Callable[[Distribution, Distribution], Terms]
"""Evaluates a block of terms from the same block of P and Q."""


def applies(problem: Problem, limits: Limits = LIMITS) -> bool:
    """Return whether a problem is large, and its operands have at most half of float64's significand bits."""
    narrow = Dtype.FLOAT64 not in (problem.target.dtype, problem.model.dtype) and not problem.smoothing
    return narrow and math.prod(problem.shape) > limits.double_double


def checked_terms(fine: MakeTerms, formula: Formula, dtype: Dtype, axes: tuple[int, ...]) -> MakeTerms:
    """Return a function that evaluates terms in float64, summed over the axes.

    Parameters
    ----------
    fine
        The same in double-double, not summed: for comparison, and for blocks that overflow float64.
    formula, dtype
        Those of the problem.
    axes
        Axes to sum over, kept with length 1.

    Raises
    ------
    ArithmeticError
        In the returned function: a term is outside its bound.
    """
    number = itertools.count(1)

    def make(p: Distribution, q: Distribution) -> Terms:
        terms = _terms(formula, p, q, dtype)
        if not np.all(np.isfinite(terms.value.ball.error)):
            return fine(p, q)
        if next(number).bit_count() == 1:
            check_bounds(terms, fine(p, q))
        return _summed(terms, axes)

    return make


def sum_float64(block: Distribution) -> Ball:
    """Return the sum of a block's probabilities over its classes, in float64."""
    if block.normaliser is None:
        raise ValueError("sum_float64 needs normalised rows")
    if block.space is Space.PROBABILITY:
        weight = np.where(block.ordinary, block.values / block.normaliser.origin, 0.0)
    else:
        weight = block.approximate
    total = np.sum(weight, axis=1, keepdims=True)
    return Ball(total, ZEROS, total * (_total_error(block.normaliser.classes) * U))


def term_balls(formula: Formula, p: Distribution, q: Distribution) -> Ball:
    """Return the terms, each with a bound; arbitrary numbers where a term is not real."""
    log_p, log_q = masked(p.ordinary, p.approximate_log), masked(q.ordinary, q.approximate_log)
    weight, target, model = p.approximate, _log_error(p, log_p), _log_error(q, log_q)
    if formula is Formula.CROSS_ENTROPY:
        ratio, ratio_error = -log_q, model
    else:
        ratio = log_p - log_q
        ratio_error = target + model + np.abs(ratio)
    value, size = weight * ratio, np.abs(ratio)
    error = weight * (ratio_error + size * (_weight_error(p, target) + 1.0))
    error = error + masked(p.ordinary, UNDERFLOW * (size + 1.0))
    if formula is Formula.GENERALISED:
        other = q.approximate
        error = error + weight * (_weight_error(p, target) + 2.0) + other * (_weight_error(q, model) + 1.0)
        error = error + 2.0 * np.abs(value) + masked(q.ordinary, np.full_like(other, UNDERFLOW))
        value = (value - weight) + other
    return Ball(value, ZEROS, error * (U * SECOND_ORDER))


def special_terms(formula: Formula, p: Distribution, q: Distribution) -> Array:
    """Return the terms that are ±inf or NaN, as :func:`~kl_reference.evaluation.term.term` does, and 0 elsewhere."""
    both = p.ordinary & q.ordinary
    if np.all(both):
        return ZEROS
    # For signs and infinities an ordinary probability can be replaced by 1.
    p_size, q_size = np.exp(p.extended), np.exp(q.extended)
    difference = -q.approximate_log if formula is Formula.CROSS_ENTROPY else p.approximate_log - q.approximate_log
    vanishing = (p.extended == -np.inf) & ~np.isnan(q.extended)
    value = np.where(vanishing, 0.0, p_size * difference)
    if formula is Formula.GENERALISED:
        value = value + (q_size - p_size)
    return np.where(both | np.isfinite(value), 0.0, value)


def check_bounds(terms: Terms, fine: Terms) -> None:
    """Raise an error if the double-double value of a term is outside its float64 bound."""
    exact, coarse = fine.value.ball.scaled(fine.value.exponent), terms.value.ball
    distance = np.abs((coarse.high - exact.high) - exact.low)
    mine, other = terms.value.special, fine.value.special
    same = np.all((mine == other) | (np.isnan(mine) & np.isnan(other)))
    if not (same and np.all(distance <= coarse.error + exact.error)):
        raise ArithmeticError(
            "NumPy's log or exp has an error of more than 4 ulp on this machine, or its float64 is not IEEE 754"
        )


def _terms(formula: Formula, p: Distribution, q: Distribution, dtype: Dtype) -> Terms:
    value = Scaled.with_special(term_balls(formula, p, q), UNSCALED, special_terms(formula, p, q))
    return Terms(value, term_scale(formula, p, q, np.abs(value.ball.high), dtype))


def _summed(terms: Terms, axes: tuple[int, ...]) -> Terms:
    """Return sums in float64: in any order, a sum of n terms has an error of at most (n − 1)·u·Σ|t|."""
    if not axes:
        return terms

    def total(part: Array) -> Array:
        return np.asarray(np.sum(part, axis=axes, keepdims=True))

    scale, ball = terms.scale.map_arrays(total), terms.value.ball
    high, count = total(ball.high), math.prod(ball.high.shape[axis] for axis in axes)
    error = (total(ball.error) + count * U * scale.magnitude) * SECOND_ORDER
    special = terms.value.special
    special = special if special is ZEROS else total(special)
    return Terms(Scaled.with_special(Ball(high, ZEROS, error), UNSCALED, special), scale)


def _log_error(side: Distribution, log_p: Array) -> Array:
    """Return the bound on the absolute error of ``approximate_log``, in u, to first order."""
    if side.normaliser is not None:
        # |x − origin| and |log(x/origin)| are at most |log p| + log 2n, and so is log total.
        classes = side.normaliser.classes
        constant = 2.0 * LIBM * math.log(2.0 * classes) + _total_error(classes)
        return (LIBM + 1.0) * np.abs(log_p) + constant
    return LIBM * np.abs(log_p) if side.space is Space.PROBABILITY else np.zeros(())


def _weight_error(side: Distribution, log_error: Array) -> Array:
    """Return the bound on the relative error of ``approximate``, in u."""
    return np.zeros(()) if side.exact is not None else log_error + LIBM


def _total_error(classes: int) -> float:
    """Return the bound on the relative error of a row's sum, in u.

    The exponents have an error of u·|x − max x|, whose mean under the softmax is at most u·log n.
    """
    return (classes + LIBM + math.log(max(classes, 1)) + 2.0) * SECOND_ORDER
