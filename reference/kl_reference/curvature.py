"""Directional derivatives of the answer and of the gradient, as Enclosures."""

# Scales assume accurate log and exp: the errors in `fast_math` are derived for answers and gradients only.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.answer import block_view
from kl_reference.bounds.double_double import ZEROS
from kl_reference.bounds.ieee754 import require_ieee
from kl_reference.bounds.scaled import UNSCALED, Scaled
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.enclosure import Array, Enclosure, Scale
from kl_reference.evaluation.blocks import classes_last
from kl_reference.evaluation.condition import ELEMENTARY, slope_scale, summation_growth, weight_error
from kl_reference.evaluation.distribution import Distribution, one_minus
from kl_reference.evaluation.reduction import Terms, divisor, matrix_shape, outer_shape, restore_shape, summed_axes
from kl_reference.evaluation.term import slope
from kl_reference.problem import Problem

RULES: Final = 32.0
"""Bound on the roundings of a second derivative by p or q: three products of nine roundings each, and their sums."""
ROUTES: Final = 2.0
"""Factor of the errors for a second normalisation of quantities that are normalised already."""


def tangent(problem: Problem, side: Side, direction: NDArray[Any]) -> Enclosure:
    """Return the derivative of a problem's answer along a direction of one operand.

    With s the slope of the term, the answer's terms are s·v, reduced as the answer is; for logits, v is replaced by
    v − Σ softmax·v.

    Parameters
    ----------
    problem
        Both operands have the same shape; probabilities must not be normalised.
    side
        The operand that changes.
    direction
        v, of the operand's shape, in the operand's space.

    Returns
    -------
    Enclosure
        Of the answer's shape. A class with v = 0 adds 0, whatever its slope, and so does a probability outside the
        clip range.

    Raises
    ------
    ValueError
        The shapes differ, or probabilities are to be normalised.
    FloatingPointError
        The thread's arithmetic does not round to nearest or flushes subnormal numbers.
    """
    require_ieee()
    shape, axis, reduction = problem.shape, problem.class_axis, problem.reduction
    with np.errstate(all="ignore"):
        point = _Point.of(problem, side)
        along = _direction(problem, point, direction)
        terms = _times(point.slopes(problem), along)
        for each in summed_axes(reduction):
            terms = terms.sum(each)
        terms = terms.divided(divisor(reduction, shape, axis))
        if reduction is Reduction.TERMS:
            return terms.enclosure(lambda part: restore_shape(part, matrix_shape(shape, axis), axis, shape))
        return terms.enclosure(
            lambda part: part.reshape(outer_shape(shape, axis) if reduction is Reduction.ROWS else ())
        )


def curvature(problem: Problem, side: Side, direction: NDArray[Any], upstream: NDArray[Any] | None = None) -> Enclosure:
    """Return the derivative of a problem's gradient along a direction: the Hessian times that direction.

    With t the term, v the direction and g the upstream gradient over the reduction's divisor:

    ==================  ========================  ======================  ==================
    with respect to     ``PLAIN``                 ``GENERALISED``         ``CROSS_ENTROPY``
    ==================  ========================  ======================  ==================
    p                   v/p·g                     v/p·g                   0
    log p               p·(log p − log q + 2)·vg  p·(log p − log q + 1)·vg  −p·log q·vg
    q                   p/q²·vg                   p/q²·vg                 p/q²·vg
    log q               0                         q·vg                    0
    ==================  ========================  ======================  ==================

    By logits, with s their softmax, w = v − Σ sv, and G and D the first and second derivatives by the
    logarithm, times g: D·w − s·Σ Dw − s·w·ΣG. For Q and ``PLAIN`` that is (diag s − s sᵀ)·Σpg·v.

    Parameters
    ----------
    problem, side, direction
        As for :func:`tangent`.
    upstream
        Upstream gradient, of the answer's shape or of one that broadcasts to it; 1 if None.

    Returns
    -------
    Enclosure
        Of the operand's shape. At p = 0 the limit from the right, +inf by p. An upstream gradient of 0, and a
        direction of 0, give 0.

    Raises
    ------
    ValueError
        The shapes differ, or probabilities are to be normalised.
    FloatingPointError
        The thread's arithmetic does not round to nearest or flushes subnormal numbers.
    """
    require_ieee()
    shape, axis = problem.shape, problem.class_axis
    with np.errstate(all="ignore"):
        point = _Point.of(problem, side)
        along = _direction(problem, point, direction)
        incoming, count = _incoming(problem, upstream), divisor(problem.reduction, shape, axis)
        size = np.abs(incoming) / count
        above = _Direction(Scaled.exact(incoming).divided(count), size, 2.0 * size)
        above = above.smoothed(problem.smoothing) if point.own.mixture else above
        second_derivatives = _times(point.second_derivatives(problem), above)
        terms = _times(second_derivatives, along)
        if point.own.space is Space.LOGITS:
            terms = _through_softmax(point.own, terms, along, _times(point.slopes(problem), above))
        return terms.enclosure(lambda part: restore_shape(part, matrix_shape(shape, axis), axis, shape))


@dataclass(frozen=True, slots=True)
class _Point:
    """The point of differentiation: P and Q, (rows, classes) each, and the side of the operand that changes."""

    p: Distribution
    q: Distribution
    side: Side

    @classmethod
    def of(cls, problem: Problem, side: Side) -> _Point:
        if problem.target.values.shape != problem.model.values.shape:
            sides = f"{problem.target.values.shape} and {problem.model.values.shape}"
            raise ValueError(f"directional derivatives need operands of one shape, given {sides}")
        if problem.normalise and problem.side(side).space is Space.PROBABILITY:
            raise ValueError("directional derivatives of normalised probabilities are not supported")
        p, q = (block_view(problem, each).whole() for each in (Side.TARGET, Side.MODEL))
        return cls(p, q, side)

    @property
    def own(self) -> Distribution:
        return self.p if self.side is Side.TARGET else self.q

    @property
    def logarithmic(self) -> bool:
        return self.own.space is not Space.PROBABILITY

    def slopes(self, problem: Problem) -> Terms:
        """Return the first derivative of every term, by the logarithm unless the operand is given as probabilities."""
        value = slope(problem.formula, self.side, self.logarithmic, self.p, self.q)
        return Terms(value, self._scale(problem))

    def second_derivatives(self, problem: Problem) -> Terms:
        """Return the second derivative of every term."""
        formula, unit = problem.formula, self._scale(problem)
        first, weight = self.slopes(problem), self.own.weight()
        if self.side is Side.TARGET and self.logarithmic:
            value = first.value if formula is Formula.CROSS_ENTROPY else first.value + weight
            more = 2.0 * unit.magnitude + self.p.approximate * (weight_error(self.p) + ELEMENTARY)
            size = unit.magnitude + self.p.approximate
            return Terms(value, _bounded(unit.fixed + more, size, unit.gradual + 2.0, unit.flushed + 2.0))
        if self.logarithmic:
            if formula is not Formula.GENERALISED:
                return self._zero()
            size = self.q.approximate
            return Terms(weight, _bounded(size * (3.0 + weight_error(self.q)), size, unit.gradual, unit.flushed))
        if self.side is Side.TARGET and formula is Formula.CROSS_ENTROPY:
            return self._zero()
        upper = Scaled.exact(np.ones_like(self.p.values))
        if self.side is Side.MODEL:
            upper = -slope(Formula.PLAIN, Side.MODEL, False, self.p, self.q)
        value = upper / weight
        if self.side is Side.MODEL:  # p = 0 contributes 0 for every q
            value = value.replaced((self.p.extended == -np.inf) & ~np.isnan(self.q.extended), 0.0)
        size, inverse = (np.abs(value.approximate), 1.0 / np.where(self.own.ordinary, self.own.approximate, 1.0))
        error = size * (RULES + weight_error(self.p) + weight_error(self.q))
        steep = np.maximum(inverse, 1.0)
        return Terms(value, _bounded(error, size, steep * unit.gradual, steep * unit.flushed))

    def _zero(self) -> Terms:
        zero = np.zeros_like(self.p.values)
        return Terms(Scaled.exact(zero), _bounded(zero, zero, zero, zero))

    def _scale(self, problem: Problem) -> Scale:
        dtype = problem.target.dtype
        return slope_scale(problem.formula, self.side, self.logarithmic, self.p, self.q, dtype)


@dataclass(frozen=True, slots=True)
class _Direction:
    """The factor of the slopes: its value, a bound of its absolute value, and its error in u."""

    value: Scaled
    size: Array
    error: Array

    def smoothed(self, smoothing: float) -> _Direction:
        """Return the direction times 1 − ε: the derivative of a smoothed label."""
        share = Scaled(one_minus(smoothing), UNSCALED, ZEROS)
        return _Direction(self.value * share, self.size, self.error + 2.0 * self.size)


def _direction(problem: Problem, point: _Point, direction: NDArray[Any]) -> _Direction:
    """Return the derivative of the operand, or of the logarithm that its logits give: v, or v − Σ softmax·v."""
    own, shape = point.own, problem.shape
    given = np.broadcast_to(np.asarray(direction, dtype=np.float64), shape)
    v = classes_last(given, problem.class_axis).reshape(own.values.shape)
    if problem.clip is not None and own.space is Space.PROBABILITY:
        low, high = problem.side(point.side).dtype.round(np.array(problem.clip))
        received = classes_last(problem.side(point.side).values, problem.class_axis).reshape(v.shape)
        v = np.where((received < low) | (received > high), 0.0, v)
    value, size = Scaled.exact(v), np.abs(v)
    if own.space is not Space.LOGITS:
        along = _Direction(value, size, np.zeros_like(size))
        return along.smoothed(problem.smoothing) if own.mixture else along
    weight = own.weight()
    mean = (weight * value).sum(1)
    parts = own.approximate * size
    slack = weight_error(own) + summation_growth(own.values.shape[1]) + 2.0
    far = size + np.sum(parts, axis=1, keepdims=True)
    return _Direction(value + -mean, far, np.sum(parts * slack, axis=1, keepdims=True) + far)


def _incoming(problem: Problem, upstream: NDArray[Any] | None) -> Array:
    """Return the upstream gradient as rows × classes."""
    shape, axis = problem.shape, problem.class_axis
    given = np.ones(()) if upstream is None else np.asarray(upstream, dtype=np.float64)
    match problem.reduction:
        case Reduction.TERMS:
            wide = classes_last(np.broadcast_to(given, shape), axis)
        case Reduction.ROWS:
            rows = np.broadcast_to(given, outer_shape(shape, axis))[..., np.newaxis]
            wide = np.broadcast_to(rows, matrix_shape(shape, axis))
        case _:
            wide = np.broadcast_to(np.broadcast_to(given, ()), matrix_shape(shape, axis))
    return np.asarray(wide).reshape(-1, matrix_shape(shape, axis)[-1])


def _times(terms: Terms, along: _Direction) -> Terms:
    """Return terms times a direction; where the direction is 0 the product is 0, whatever the slope."""
    unchanged = (along.value.extended == 0.0) & ~np.isnan(terms.value.special)
    value, scale = (terms.value * along.value).replaced(unchanged, 0.0), terms.scale
    changes = np.where(unchanged, 0.0, 1.0)
    fixed = scale.fixed * along.size + scale.magnitude * (along.error + along.size)
    return Terms(
        value,
        _bounded(
            changes * fixed,
            changes * scale.magnitude * along.size,
            changes * (scale.gradual * along.size + scale.magnitude + 1.0),
            changes * (scale.flushed * along.size + scale.magnitude + 1.0),
        ),
    )


def _through_softmax(own: Distribution, bent: Terms, along: _Direction, slopes: Terms) -> Terms:
    """Return Dw − s·Σ Dw − s·w·ΣG, given Dw and G."""
    weight, growth = own.weight(), summation_growth(own.values.shape[1])
    drawn, pull = bent.sum(1), slopes.sum(1)
    value = bent.value + -(weight * (drawn.value + along.value * pull.value))
    s, slack = own.approximate, weight_error(own) + growth + 3.0
    sums = drawn.scale.magnitude + along.size * pull.scale.magnitude
    fixed = bent.scale.fixed + s * (
        drawn.scale.fixed + along.size * pull.scale.fixed + along.error * pull.scale.magnitude + slack * sums
    )
    gradual = bent.scale.gradual + s * (drawn.scale.gradual + along.size * pull.scale.gradual) + sums + 2.0
    flushed = bent.scale.flushed + s * (drawn.scale.flushed + along.size * pull.scale.flushed) + sums + 2.0
    return Terms(value, _bounded(ROUTES * fixed, bent.scale.magnitude + s * sums, gradual, flushed))


def _bounded(fixed: Array, magnitude: Array, gradual: Array, flushed: Array) -> Scale:
    """Return the scale of one summand with its whole error in ``fixed``."""
    return Scale(np.zeros_like(magnitude), fixed, magnitude, gradual, flushed, 1)
