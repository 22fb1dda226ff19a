"""The exact gradient of a problem, from analytic derivatives, as an Enclosure."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference.answer import block_view
from kl_reference.bounds.double_double import ZEROS
from kl_reference.bounds.ieee754 import require_ieee
from kl_reference.bounds.scaled import UNSCALED, Scaled
from kl_reference.convention import Reduction, Side, Space
from kl_reference.enclosure import Array, Enclosure, Scale, Slope
from kl_reference.evaluation.blocks import BlockView, classes_last, take_block
from kl_reference.evaluation.condition import log_error, slope_scale, summation_growth
from kl_reference.evaluation.distribution import binary_exponent, one_minus
from kl_reference.evaluation.intermediates import Intermediates, Slopes
from kl_reference.evaluation.reduction import Terms, divisor, evaluate_sums, matrix_shape, outer_shape, restore_shape
from kl_reference.evaluation.term import slope
from kl_reference.problem import Operand, Problem


def gradient(
    problem: Problem, side: Side, upstream: NDArray[Any] | None = None, intermediates: Intermediates | None = None
) -> Enclosure:
    """Return the exact gradient of a problem's answer with respect to one operand, in that operand's space.

    With t the term and g the upstream gradient over the reduction's divisor:

    ======================  ============================  =====================================
    with respect to         ``PLAIN``                     ``GENERALISED``; ``CROSS_ENTROPY``
    ======================  ============================  =====================================
    p                       (log p − log q + 1)·g         (log p − log q)·g; −log q·g
    log p                   p·(log p − log q + 1)·g       p·(log p − log q)·g; −p·log q·g
    q                       −p/q·g                        (1 − p/q)·g; −p/q·g
    log q                   −p·g                          (q − p)·g; −p·g
    logits                  G − softmax·ΣG, with G the gradient by the logarithm
    probabilities to be     (H − ΣG)/Σp, with H and G the gradients by the normalised probability
    normalised              and by its logarithm
    probabilities to be     (1 − ε) times the gradient by the smoothed probability
    smoothed
    ======================  ============================  =====================================

    Parameters
    ----------
    problem
        As for :func:`~kl_reference.answer.answer`.
    side
        The operand to differentiate by.
    upstream
        Upstream gradient, of the answer's shape or of one that broadcasts to it; 1 if None.
    intermediates
        Intermediate results shared with other reductions and gradients of the same problem.

    Returns
    -------
    Enclosure
        Of the operand's own shape: summed over the axes along which it was broadcast. At p = 0 the limit from
        the right: −inf by p if log p is in the formula (+inf if q = 0, too), 0 by log p, and 0 by q and
        log q (``GENERALISED``: 1 and q). Classes with a logit of −inf have the gradient G. Probabilities
        outside the clip range have gradient 0. An upstream gradient of 0 gives 0.

    Raises
    ------
    ValueError
        The shapes do not broadcast, or the class axis does not exist.
    FloatingPointError
        The thread's arithmetic does not round to nearest or flushes subnormal numbers.
    """
    require_ieee()
    intermediates = Intermediates(problem) if intermediates is None else intermediates
    operand, axis = problem.side(side), problem.class_axis
    with np.errstate(all="ignore"):
        views = {each: intermediates.view(each, partial(block_view, problem, each)) for each in Side}
        own = views[side]
        count = divisor(problem.reduction, problem.shape, axis)
        incoming = _incoming(problem, upstream)

        def by(logarithmic: bool) -> Terms:
            slopes = _slopes(intermediates, views, side, logarithmic, incoming, count)
            return _unbroadcast(slopes, incoming.shape, own.values.shape)

        if own.normaliser is None:
            terms = by(operand.space is Space.LOG)
        elif operand.space is Space.LOGITS:
            terms = _through_softmax(own, by(True))
        else:
            terms = _through_normalisation(own, by(False), by(True))
        if own.smoothing:
            terms = _through_smoothing(own.smoothing, terms)
        terms = _inside_clip(problem, operand, terms)
        terms = Terms(terms.value.divided(count), terms.scale)
        matrix, shape = own.values.shape, operand.values.shape
        enclosure = terms.enclosure(lambda part: restore_shape(part, matrix, axis, shape))
        return replace(enclosure, slope=Slope(side, upstream))


def _incoming(problem: Problem, upstream: NDArray[Any] | None) -> Array:
    """Return the upstream gradient as a matrix (*outer, classes) of the broadcast shape."""
    shape, axis = problem.shape, problem.class_axis
    matrix = matrix_shape(shape, axis)
    given = np.ones(()) if upstream is None else np.asarray(upstream, dtype=np.float64)
    match problem.reduction:
        case Reduction.TERMS:
            return np.broadcast_to(classes_last(np.broadcast_to(given, shape), axis), matrix)
        case Reduction.ROWS:
            rows = np.broadcast_to(given, outer_shape(shape, axis))
            return np.broadcast_to(rows.reshape((*matrix[:-1], 1)), matrix)
        case _:
            return np.broadcast_to(np.broadcast_to(given, ()), matrix)


def _slopes(
    intermediates: Intermediates,
    views: Mapping[Side, BlockView],
    side: Side,
    logarithmic: bool,
    incoming: Array,
    count: int,
) -> Terms:
    """Return slope × upstream of every term; the scales are those of slope × upstream ÷ count."""
    p, q = (views[each].broadcast(incoming.shape) for each in (Side.TARGET, Side.MODEL))
    formula, dtype = intermediates.problem.formula, intermediates.problem.target.dtype

    def alone(rows: slice, columns: slice) -> Slopes:
        p_block, q_block = p.block(rows, columns), q.block(rows, columns)
        unit = slope_scale(formula, side, logarithmic, p_block, q_block, dtype)
        return slope(formula, side, logarithmic, p_block, q_block), unit

    def make(rows: slice, columns: slice) -> Terms:
        rate, unit = intermediates.slopes(side, logarithmic, partial(alone, rows, columns))
        g = take_block(incoming, rows, columns)
        value = (rate * Scaled.exact(g)).replaced((g == 0.0) & ~np.isnan(rate.special), 0.0)
        return Terms(value, _times(unit, np.abs(g) / count))

    return evaluate_sums(incoming.shape, make, Reduction.TERMS)


def _times(unit: Scale, factor: Array) -> Scale:
    """Return the scale of slopes times a factor; the factor and the product may underflow."""
    zero_terms = (unit.magnitude == 0.0) | (factor == 0.0)
    own = np.where(zero_terms, 0.0, unit.magnitude + 1.0)
    fixed, magnitude = factor * unit.fixed, factor * unit.magnitude
    return Scale(unit.condition, fixed, magnitude, factor * unit.gradual + own, factor * unit.flushed + own, 1)


def _unbroadcast(terms: Terms, matrix: tuple[int, ...], own: tuple[int, ...]) -> Terms:
    """Return the terms of a matrix, summed over the axes along which the operand was broadcast."""
    terms = terms.reshape(matrix)
    padded = (1,) * (len(matrix) - len(own)) + own
    for axis, (length, kept) in enumerate(zip(matrix, padded, strict=True)):
        if kept == 1 and length != 1:
            terms = terms.sum(axis)
    return terms.reshape(own)


def _through_softmax(own: BlockView, by_log: Terms) -> Terms:
    """Return G − softmax·ΣG, given the gradient G by the log-probabilities."""
    block = own.whole()
    g = by_log.reshape(block.values.shape)
    total, weight = g.sum(1), block.weight()
    value = g.value + -(weight * total.value)
    w, growth = weight.approximate, summation_growth(block.values.shape[1])
    own_error = w * (log_error(block) + 1.0 + growth)
    scale = Scale(
        g.scale.condition,
        g.scale.fixed + w * total.scale.fixed + own_error * total.scale.magnitude,
        g.scale.magnitude + w * total.scale.magnitude,
        g.scale.gradual + w * total.scale.gradual + total.scale.magnitude + 1.0,
        g.scale.flushed + w * total.scale.flushed + total.scale.magnitude + 1.0,
        g.scale.count,
    )
    return Terms(value, scale)


def _through_normalisation(own: BlockView, by_probability: Terms, by_log: Terms) -> Terms:
    """Return (H − ΣG)/Σp, given the gradients by the normalised probabilities and by their logarithms."""
    block = own.whole()
    assert block.normaliser is not None
    origin, sums, classes = block.normaliser.origin, block.normaliser.total, block.normaliser.classes
    h, total = by_probability.reshape(block.values.shape), by_log.reshape(block.values.shape).sum(1)
    divisor = Scaled(sums, binary_exponent(origin), ZEROS)
    value = (h.value + -total.value) / divisor
    size = h.scale.magnitude + total.scale.magnitude
    scale = Scale(
        h.scale.condition,
        (h.scale.fixed + total.scale.fixed + (summation_growth(classes) + 3.0) * size) / divisor.approximate,
        size / divisor.approximate,
        (h.scale.gradual + total.scale.gradual) / divisor.approximate + 1.0,
        (h.scale.flushed + total.scale.flushed) / divisor.approximate + 1.0,
        h.scale.count,
    )
    return Terms(value, scale)


def _through_smoothing(smoothing: float, by_mixture: Terms) -> Terms:
    """Return (1 − ε)·G, given the gradient G by the smoothed probabilities; 1 − ε and the product are both rounded."""
    scale = by_mixture.scale
    value = by_mixture.value * Scaled(one_minus(smoothing), UNSCALED, ZEROS)
    return Terms(value, replace(scale, fixed=scale.fixed + 2.0 * scale.magnitude, gradual=scale.gradual + 1.0))


def _inside_clip(problem: Problem, operand: Operand, terms: Terms) -> Terms:
    """Return the gradient, replaced by 0 for probabilities outside the clip range."""
    if problem.clip is None or operand.space is not Space.PROBABILITY:
        return terms
    low, high = operand.dtype.round(np.array(problem.clip))
    received = classes_last(operand.values, problem.class_axis)
    outside = ((received < low) | (received > high)).reshape(terms.value.special.shape)
    return Terms(terms.value.replaced(outside, 0.0), terms.scale.map_arrays(lambda part: np.where(outside, 0.0, part)))
