"""Error allowed for approximate log, exp and division, in answers and gradients."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from kl_reference.answer import block_view
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.enclosure import Array, Slope
from kl_reference.evaluation.blocks import BlockView, blocks, classes_last, take_block
from kl_reference.evaluation.distribution import Distribution, masked
from kl_reference.evaluation.float64 import sum_float64
from kl_reference.evaluation.reduction import divisor, matrix_shape, outer_shape, restore_shape, summed_axes
from kl_reference.problem import Problem

NEAR: Final = 0.7
"""Largest |log x| for which x counts as an element of [1/2, 2]; more than log 2, since x may itself be rounded."""


@dataclass(frozen=True, slots=True)
class FastMathError:
    """Errors of log, exp and division beyond those that the scales of an Enclosure assume, in u.

    Parameters
    ----------
    relative
        Relative error of log and exp beyond :data:`~kl_reference.evaluation.condition.ELEMENTARY`.
    near_one
        Absolute error of log on [1/2, 2].
    steepness
        Relative error of exp(x), ÷ |x|.
    division
        Relative error of a division beyond one rounding.
    """

    relative: Array
    near_one: Array
    steepness: Array
    division: Array

    @classmethod
    def separate(cls, relative: float, near_one: float, steepness: float, division: float) -> FastMathError:
        """Return the four errors separated along a first axis: all results are linear in them."""
        return cls(*np.diag([relative, near_one, steepness, division])[..., np.newaxis, np.newaxis])

    def term(self, formula: Formula, p: Distribution, q: Distribution) -> Array:
        """Return the errors of terms, (4, rows, classes); ``relative`` is part of their condition and not included.

        p·near_one for every logarithm near 1, steepness·|log p|·p·(|log p| + |log q|) if p is an
        exponential, and the error of log-softmax or normalisation. log(p/q) needs no more: if p/q is near 1
        and neither p nor q is, |log p| + |log q| ≥ 1.4.
        """
        both = p.ordinary & q.ordinary
        log_p, log_q = (masked(both, np.abs(side.approximate_log)) for side in (p, q))
        weight, factor = (
            masked(both, p.approximate),
            1.0 + masked(both, np.abs(p.approximate_log - q.approximate_log)),
        )
        sizes = log_p + log_q
        if q.space is Space.PROBABILITY:
            sizes = np.maximum(sizes, factor)
        if formula is Formula.CROSS_ENTROPY:
            sizes, factor = log_q, log_q
        elif formula is Formula.GENERALISED:
            sizes = sizes + 1.0
        error = factor * self._pipeline(p) + self._pipeline(q) + sizes * self._exponential(p) + self._near_one(q)
        if formula is not Formula.CROSS_ENTROPY:
            error = error + self._near_one(p)
        if p.space is not Space.PROBABILITY and q.space is Space.PROBABILITY:
            error = error + self.relative * log_q
        error = weight * error
        if formula is Formula.GENERALISED:
            error = error + q.approximate * (self._pipeline(q) + self._exponential(q))
        return error + np.zeros((4, *weight.shape))

    def slope(self, formula: Formula, side: Side, logarithmic: bool, p: Distribution, q: Distribution) -> Array:
        """Return the errors of slopes and, last, a bound of the slopes themselves, (5, rows, classes).

        As :func:`~kl_reference.evaluation.condition.slope_scale`, for an upstream gradient of 1.
        """
        log_p, log_q = (masked(each.ordinary, np.abs(each.approximate_log)) for each in (p, q))
        weight, model_weight = p.approximate, q.approximate
        if side is Side.TARGET:
            size = log_q if formula is Formula.CROSS_ENTROPY else log_p + log_q + 1.0
            error = self._logarithm(q) + (0.0 if formula is Formula.CROSS_ENTROPY else self._logarithm(p))
            if logarithmic:
                error = weight * (error + size * self._weight(p))
                size = weight * size
        elif logarithmic:
            size, error = weight, weight * self._weight(p)
        else:
            size = weight / np.where(q.ordinary, model_weight, 1.0)
            error = size * (self._weight(p) + self._weight(q) + self.division)
        if side is Side.MODEL and formula is Formula.GENERALISED:
            other = model_weight if logarithmic else np.ones_like(weight)
            size, error = size + other, error + other * self._weight(q)
        return np.concatenate([error + np.zeros((4, *size.shape)), size[np.newaxis]])

    def divided(self, slopes: Array) -> Array:
        """Return errors and sizes of slopes after one more division."""
        return np.concatenate([slopes[:-1] + self.division * slopes[-1], slopes[-1:]])

    def through_softmax(self, own: Distribution, by_log: Array) -> Array:
        """Return errors and sizes of G − softmax·ΣG, given those of G."""
        total = own.approximate * by_log.sum(-1, keepdims=True)
        total[:-1] += (self._weight(own) + self.division) * total[-1]
        return np.asarray(by_log + total)

    def _pipeline(self, side: Distribution) -> Array:
        """Return the absolute error of log p from the normalisation of its rows.

        For logits it is the error of Σ e^(x − max x), where |x − max x| is at most ln n in the mean, and of its
        logarithm; for probabilities the error of a division.
        """
        if side.normaliser is None:
            return np.zeros((4, 1, 1))
        if side.space is Space.PROBABILITY:
            return self.division
        spread = math.log(max(side.normaliser.classes, 1))
        return (self.relative + self.steepness) * spread + self.relative + self.near_one

    def _near_one(self, side: Distribution) -> Array:
        """Return the absolute error of the logarithms of probabilities near 1."""
        near = side.ordinary & (np.abs(side.approximate_log) <= NEAR) & (side.space is Space.PROBABILITY)
        return self.near_one * near

    def _exponential(self, side: Distribution) -> Array:
        """Return the relative error of the exponentials of logarithms, without ``relative``."""
        if side.space is Space.PROBABILITY:
            return np.zeros((4, 1, 1))
        return self.steepness * masked(side.ordinary, np.abs(side.approximate_log))

    def _logarithm(self, side: Distribution) -> Array:
        """Return the absolute error of log p, in any space."""
        if side.space is not Space.PROBABILITY:
            return self._pipeline(side)
        own = self._near_one(side) + self.relative * masked(side.ordinary, np.abs(side.approximate_log))
        return self._pipeline(side) + own

    def _weight(self, side: Distribution) -> Array:
        """Return the relative error of p, in any space."""
        if side.space is Space.PROBABILITY:
            return self._pipeline(side)
        return self._pipeline(side) + self._exponential(side) + self.relative


def answer_error(problem: Problem, extra: FastMathError) -> Array:
    """Return the additional error of an answer, in u: (4, *its shape), one entry for each error of ``extra``."""
    formula, reduction, shape, axis = problem.formula, problem.reduction, problem.shape, problem.class_axis
    matrix = matrix_shape(shape, axis)
    p, q = (block_view(problem, side, sum_float64).broadcast(matrix) for side in (Side.TARGET, Side.MODEL))

    def make(rows: slice, columns: slice) -> Array:
        return extra.term(formula, p.block(rows, columns), q.block(rows, columns))

    errors = _evaluate_blocks(matrix, 4, make)
    for each in summed_axes(reduction):
        errors = errors.sum(each - 2, keepdims=True)
    errors = errors / divisor(reduction, shape, axis)
    match reduction:
        case Reduction.TERMS:
            return np.stack([restore_shape(part, matrix, axis, shape) for part in errors])
        case Reduction.ROWS:
            return errors.reshape(4, *outer_shape(shape, axis))
        case _:
            return errors.reshape(4)


def gradient_error(problem: Problem, slope: Slope, extra: FastMathError) -> Array:
    """Return the additional error of a gradient, in u: (4, *its operand's shape)."""
    operand, axis = problem.side(slope.side), problem.class_axis
    views = {side: block_view(problem, side, sum_float64) for side in Side}
    own = views[slope.side]
    incoming = _incoming(problem, slope)

    def by(logarithmic: bool) -> Array:
        return _slopes(problem, views, slope.side, logarithmic, incoming, extra)

    if own.normaliser is None:
        errors = by(operand.space is Space.LOG)
    elif operand.space is Space.LOGITS:
        errors = extra.through_softmax(own.whole(), by(True))
    else:
        sums = own.normaliser.origin * own.normaliser.total.high
        total = by(True).sum(-1, keepdims=True)
        errors = extra.divided(by(False) + total) / sums.reshape(-1, 1)
    return np.stack([restore_shape(part, own.values.shape, axis, operand.values.shape) for part in errors[:-1]])


def _evaluate_blocks(matrix: tuple[int, ...], depth: int, make: Callable[[slice, slice], Array]) -> Array:
    """Return (depth, rows, classes) of a matrix (*outer, classes), evaluated block by block."""
    whole = np.zeros((depth, math.prod(matrix[:-1]), matrix[-1]))
    for rows, cuts in blocks(matrix):
        for columns in cuts:
            whole[:, rows, columns] = make(rows, columns)
    return whole


def _incoming(problem: Problem, slope: Slope) -> Array:
    """Return |upstream gradient| ÷ the reduction's divisor, for every term: (*outer, classes)."""
    shape, axis = problem.shape, problem.class_axis
    matrix = matrix_shape(shape, axis)
    given = np.abs(np.asarray(1.0 if slope.upstream is None else slope.upstream, dtype=np.float64))
    if problem.reduction is Reduction.TERMS:
        given = classes_last(np.broadcast_to(given, shape), axis)
    elif problem.reduction is Reduction.ROWS:
        given = np.broadcast_to(given, outer_shape(shape, axis)).reshape((*matrix[:-1], 1))
    return np.broadcast_to(given / divisor(problem.reduction, shape, axis), matrix)


def _slopes(
    problem: Problem, views: dict[Side, BlockView], side: Side, logarithmic: bool, incoming: Array, extra: FastMathError
) -> Array:
    """Return errors and sizes of slope × upstream, summed to the operand's shape: (5, rows, classes)."""
    p, q = (views[each].broadcast(incoming.shape) for each in (Side.TARGET, Side.MODEL))

    def make(rows: slice, columns: slice) -> Array:
        g, p_block, q_block = (take_block(incoming, rows, columns), p.block(rows, columns), q.block(rows, columns))
        unit = extra.slope(problem.formula, side, logarithmic, p_block, q_block)
        return np.where(g == 0.0, 0.0, g * unit)

    slopes = _evaluate_blocks(incoming.shape, 5, make)
    if divisor(problem.reduction, problem.shape, problem.class_axis) != 1:
        slopes = extra.divided(slopes)
    slopes = slopes.reshape(5, *incoming.shape)
    own = views[side].values.shape
    padded = (1,) * (incoming.ndim - len(own)) + own
    wide = tuple(at + 1 for at, (have, keep) in enumerate(zip(incoming.shape, padded, strict=True)) if keep < have)
    return np.asarray(slopes.sum(wide)).reshape(5, -1, own[-1])
