"""Condition numbers: bounds of the error of a straightforward evaluation of a term, from which tolerances are built.

Everything here is plain float64: a scale needs a few digits, not a bound.
"""

import math
from typing import Final, assert_never

import numpy as np

from kl_reference.convention import Formula, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array, Scale
from kl_reference.evaluation.distribution import Distribution, masked

ELEMENTARY: Final = 4.0
"""Relative error of log and exp, in u, assumed by the scales of pipelines and gradients."""


def summation_growth(count: int) -> float:
    """Return h(n) = min(n − 1, 2√n), the growth of the rounding error in a sum of n terms.

    It bounds every sum in √n blocks, and it is the two-sigma estimate for a sequential sum.
    """
    return min(max(count - 1.0, 0.0), 2.0 * math.sqrt(count))


def term_scale(formula: Formula, p: Distribution, q: Distribution, magnitude: Array, dtype: Dtype) -> Scale:
    """Return the scales of a block of terms whose absolute values are ``magnitude``."""
    both = p.ordinary & q.ordinary
    log_p, log_q = (masked(both, side.approximate_log) for side in (p, q))
    weight, model_size = masked(both, p.approximate), np.abs(log_q)
    ratio, sizes = np.abs(log_p - log_q), np.abs(log_p) + model_size
    if q.space is Space.PROBABILITY:
        # An implementation may compute log(p/q) or log p − log q: take the larger error.
        sizes = np.maximum(sizes, 1.0 + ratio)
    match formula:
        case Formula.PLAIN:
            condition = weight * sizes
        case Formula.CROSS_ENTROPY:
            condition = weight * model_size
        case Formula.GENERALISED:
            condition = weight * (sizes + 1.0) + q.approximate
        case _:
            assert_never(formula)
    fixed = np.zeros(weight.shape)
    if p.normaliser is not None or q.normaliser is not None or p.mixture is not None:
        target, model = log_error(p), log_error(q)
        fixed = weight * ((model_size if formula is Formula.CROSS_ENTROPY else ratio + 1.0) * target + model)
        if formula is Formula.GENERALISED:
            fixed = fixed + q.approximate * model
    if p.space is not Space.PROBABILITY and q.space is Space.PROBABILITY:
        # The exponential p and the logarithm of q both have an error; the condition covers one of them.
        fixed = fixed + weight * ELEMENTARY * model_size
    gradual = np.full(weight.shape, 2.0)
    if p.space is not Space.PROBABILITY:
        gradual = 0.5 * sizes + 3.5
    if p.mixture is not None:  # the product and the sum of the mixture may be subnormal
        gradual = gradual + sizes
    flushed = model_size + (abs(math.log(dtype.least_subnormal)) + 4.0)
    if q.normaliser is not None and q.space is Space.PROBABILITY:
        # A probability divided by its sum may become subnormal: its logarithm then has an error of log(1 ± SUB/2q),
        # at most log 2 while q > 0. It is a multiple of u, since a multiple of SUB would overflow.
        lost = np.minimum(0.5 * np.exp(math.log(dtype.least_subnormal) - log_q), 0.5)
        fixed = fixed + weight * (1.4 / dtype.roundoff) * masked(both, lost)
        gradual = gradual + 0.5 * (ratio + 1.0)
    gradual, flushed = masked(both, gradual), masked(both, flushed)
    if formula is Formula.GENERALISED:
        flushed = flushed + 2.0
    return Scale(condition, fixed, magnitude, gradual, flushed, 1)


def plain_scale(
    space: Space, positive_count: Array, condition: Array, logs: tuple[Array, Array], magnitude: Array, dtype: Dtype
) -> Scale:
    """Return the sum of ``term_scale`` where P and log Q are used as they were received.

    Parameters
    ----------
    space
        That of P; Q is given by logarithms.
    positive_count
        Number of terms with p > 0; the others have no error.
    condition, magnitude
        S and T.
    logs
        Sums of |log p| and of |log q|.
    dtype
        That of P.
    """
    target, model = logs
    gradual = 2.0 * positive_count
    if space is not Space.PROBABILITY:
        gradual = gradual + 0.5 * (3.0 * positive_count + target + model)
    flushed = (abs(math.log(dtype.least_subnormal)) + 4.0) * positive_count + model
    return Scale(condition, np.zeros_like(magnitude), magnitude, gradual, flushed, 1)


def slope_scale(
    formula: Formula, side: Side, logarithmic: bool, p: Distribution, q: Distribution, dtype: Dtype
) -> Scale:
    """Return the scales of a block of slopes, by p or q or their logarithms, for an upstream gradient of 1.

    All of the error is in ``fixed``: 3·p by log q, 4·p/q by q, (a + 3)·(|log p| + 1 + |log q|) by p and
    (a + 4)·p times the same by log p, plus the errors of p and q from exp or from a pipeline.
    ``magnitude`` bounds the slope; it may be somewhat larger if the slope is a difference.
    """
    log_p, log_q = (masked(d.ordinary, np.abs(d.approximate_log)) for d in (p, q))
    weight, model_weight = p.approximate, q.approximate
    sizes = log_q if formula is Formula.CROSS_ENTROPY else log_p + log_q + 1.0
    pipeline = log_error(p) + log_error(q)
    # The factor of an underflow of p.
    factor = np.ones_like(weight)
    match side, logarithmic:
        case Side.TARGET, False:
            size, error = sizes, (ELEMENTARY + 3.0) * sizes + pipeline
        case Side.TARGET, True:
            size, factor = weight * sizes, sizes
            error = weight * ((ELEMENTARY + 4.0) * sizes + (sizes + 1.0) * pipeline)
        case Side.MODEL, False:
            factor = 1.0 / np.where(q.ordinary, model_weight, 1.0)
            size = weight * factor
            error = size * (4.0 + weight_error(p) + weight_error(q))
        case _:
            size, error = weight, weight * (3.0 + weight_error(p))
    if side is Side.MODEL and formula is Formula.GENERALISED:
        other = model_weight if logarithmic else np.ones_like(weight)
        size, error = size + other, error + other * (3.0 + weight_error(q))
    ones = np.where(size > 0.0, 1.0, 0.0)
    flushed = factor * (abs(math.log(dtype.least_subnormal)) + log_q + 4.0)
    return Scale(np.zeros_like(size), error, size, ones * (factor + 2.0), ones * flushed, 1)


def weight_error(side: Distribution) -> Array:
    """Return the relative error of p, in u: of exp if logarithms are given, and of normalisation."""
    return log_error(side) + (0.0 if side.space is Space.PROBABILITY else ELEMENTARY)


def log_error(side: Distribution) -> Array:
    """Return the absolute error of log p, in u, from the normalisation or smoothing of its rows.

    For logits: 2·|log p| + (a + 1)·ln n + a + h(n), since |x − max x| ≤ |log p|, and its mean under the
    softmax is at most ln n. For probabilities divided by their sum: h(n) + 2; for smoothed ones, computed from 1 − ε, a
    product and a sum: 3.
    """
    if side.normaliser is None:
        return np.full((), 0.0 if side.mixture is None else 3.0)
    if side.space is Space.PROBABILITY:
        return np.full((), summation_growth(side.normaliser.classes) + 2.0)
    log_p = masked(side.ordinary, np.abs(side.approximate_log))
    return 2.0 * log_p + softmax_error(side.normaliser.classes)


def softmax_error(classes: int) -> float:
    """Return the part of the error of log-softmax, in u, that is the same for every class."""
    return (ELEMENTARY + 1.0) * math.log(max(classes, 1)) + ELEMENTARY + summation_growth(classes)
