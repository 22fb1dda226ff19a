"""Fast path in float64 for the most common sums, Σ p·(log p − log q) with log q as received, by dot products.

A chunk of rows × classes becomes eight dot products per row, in one call of BLAS: (p, 1) × (ratio, |ratio|,
|log p|, |log q|). If all of them are of moderate size, so are all of their terms (p = 0 is included); else the chunk is
evaluated term by term. The bound makes the same assumptions as :mod:`~kl_reference.evaluation.float64` and holds for
every order of summation in BLAS.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds.ball import Ball
from kl_reference.bounds.scaled import Scaled
from kl_reference.convention import Formula, Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array
from kl_reference.evaluation.blocks import BlockView, blocks
from kl_reference.evaluation.condition import plain_scale
from kl_reference.evaluation.float64 import LIBM, LIMITS, SECOND_ORDER, UNDERFLOW, Limits, MakeTerms, U, check_bounds
from kl_reference.evaluation.reduction import Terms
from kl_reference.problem import Problem

MIN_SAMPLE: Final = 1024
MAX_SAMPLE: Final = 100_000
SAMPLE_STEP: Final = 512
"""Terms compared with double-double: at least MIN_SAMPLE, about MAX_SAMPLE at most, in between one of SAMPLE_STEP."""

# Larger dot products are irregular; below it, bounds do not overflow.
HUGE: Final = 2.0**960
# p = 0 and its replacement: far below every number of a narrow dtype, and p·log p is exactly 0 in float64.
ZERO_TARGET: Final = {Space.PROBABILITY: (0.0, 2.0**-1000), Space.LOG: (-math.inf, -(2.0**200))}


def applies(problem: Problem, p: BlockView, q: BlockView, limits: Limits = LIMITS) -> bool:
    """Return whether a problem sums plain terms of operands that are contiguous in memory and used as received."""
    if limits.dot_classes is None:
        return False
    received = p.normaliser is None and q.normaliser is None and q.space is Space.LOG
    ordered = p.values.flags.c_contiguous and q.values.flags.c_contiguous
    least = limits.dot_classes if problem.reduction is Reduction.ROWS else 1
    summed = problem.reduction is not Reduction.TERMS and p.values.size > 0
    return problem.formula is Formula.PLAIN and received and ordered and summed and p.values.shape[-1] >= least


def sum_by_dot_products(
    p: BlockView,
    q: BlockView,
    reduction: Reduction,
    dtype: Dtype,
    fine: MakeTerms,
    make: MakeTerms,
    chunk: int = LIMITS.dot_chunk,
) -> Terms:
    """Return a matrix of terms summed as the reduction requires, but not yet divided.

    Parameters
    ----------
    p, q
        Operands for which :func:`applies` holds.
    reduction, dtype
        Those of the problem.
    fine
        Evaluates a block of terms in double-double: for comparison.
    make
        Evaluates a block of arbitrary terms, summed or not.
    chunk
        Number of elements in one call of BLAS.

    Raises
    ------
    ArithmeticError
        A term is outside its bound.
    """
    shape = (-1, p.values.shape[-1]) if reduction is Reduction.ROWS else (1, -1)
    p, q = (replace(side, values=side.values.reshape(shape)) for side in (p, q))
    _check_sample(p, q, dtype, fine, chunk)
    positions = list(_positions(p.values.shape, chunk))
    sums = Sums.empty(p.values.shape[0], positions[-1].number + 1)
    irregular = _fill(sums, p, q, positions, chunk)
    terms = sums.terms(p.space, dtype)
    for position in irregular:
        block = make(p.block(position.rows, position.columns), q.block(position.rows, position.columns))
        terms.write(block.sum(1), position.rows, slice(position.number, position.number + 1))
    summed = terms.sum(1)
    return Terms(summed.value, replace(summed.scale, count=p.values.shape[-1]))


@dataclass(frozen=True, slots=True)
class Position:
    """Rows and columns of a matrix, and the index of the column slice within the rows."""

    rows: slice
    columns: slice
    number: int

    def take_block(self, side: BlockView) -> NDArray[Any]:
        """Return the values of a view at this position."""
        return side.clipped(side.values[self.rows, self.columns])


@dataclass(frozen=True, slots=True)
class Sums:
    """Dot products (rows, chunks, 2, 4) of (p, 1) and (ratio, |ratio|, |log p|, |log q|), and the number of p > 0."""

    products: Array
    positive_count: Array

    @classmethod
    def empty(cls, rows: int, chunks: int) -> Sums:
        """Return uninitialised sums."""
        return cls(np.empty((rows, chunks, 2, 4)), np.empty((rows, chunks)))

    def terms(self, space: Space, dtype: Dtype) -> Terms:
        """Return the sums as terms: in any order, a sum of n products has an error of at most n·u·Σ|t|."""
        value, size, target, model = np.moveaxis(self.products[:, :, 0], -1, 0)
        _, ratio, target_log, model_log = np.moveaxis(self.products[:, :, 1], -1, 0)
        condition, logs = target + model, (target_log, model_log)
        scale = plain_scale(space, self.positive_count, condition, logs, size, dtype)
        # As in float64.term_balls: either log p or p has an error.
        function_error = LIBM * target if space is Space.PROBABILITY else LIBM * size
        error = function_error + (self.positive_count + 2.0) * size + UNDERFLOW * (ratio + self.positive_count)
        zero = np.zeros_like(value)
        ball = Ball(value, zero.copy(), error * (U * SECOND_ORDER))
        return Terms(Scaled(ball, np.zeros(zero.shape, np.intc), zero), scale)


def _positions(shape: tuple[int, ...], chunk: int) -> Iterator[Position]:
    for rows, cuts in blocks(shape, chunk):
        for number, columns in enumerate(cuts):
            yield Position(rows, columns, number)


def _fill(sums: Sums, p: BlockView, q: BlockView, positions: Sequence[Position], chunk: int) -> list[Position]:
    """Evaluate the sums at all positions, and return the positions with irregular values, whose sums are set to 0."""
    irregular: list[Position] = []
    buffer = np.empty(6 * chunk)
    for position in positions:
        target, model = position.take_block(p), position.take_block(q)
        products, positive_count = _products(p.space, target, model, buffer)
        if not np.abs(products).max() < HUGE:
            irregular.append(position)
            products, positive_count = np.zeros(()), 0.0
        sums.products[position.rows, position.number] = products
        sums.positive_count[position.rows, position.number] = positive_count
    return irregular


def _products(space: Space, target: NDArray[Any], model: NDArray[Any], buffer: Array) -> tuple[Array, Array | float]:
    """Return the dot products (rows, 2, 4) of a chunk, and the number of positive p in each row."""
    work = buffer[: 6 * target.size].reshape(6, *target.shape)
    weight, one, ratio, size, log_p, log_q = work
    given = log_p if space is Space.LOG else weight
    np.copyto(given, target)
    np.copyto(log_q, model)
    one.fill(1.0)
    positive, positive_count = given, target.shape[1]
    zero, replacement = ZERO_TARGET[space]
    # If a smaller p is in the chunk (negative or NaN), zeros are not replaced and the chunk becomes irregular.
    if given.min() == zero:
        np.greater(given, zero, out=one)
        positive, positive_count = np.maximum(given, replacement, out=log_p), one.sum(axis=1)
    if space is Space.LOG:
        np.exp(positive, out=weight)
    else:
        np.log(positive, out=log_p)
    np.subtract(log_p, log_q, out=ratio)
    np.abs(ratio, out=size)
    np.abs(log_p, out=log_p)
    np.abs(log_q, out=log_q)
    return work[:2].transpose(1, 0, 2) @ work[2:].transpose(1, 2, 0), positive_count


def _check_sample(p: BlockView, q: BlockView, dtype: Dtype, fine: MakeTerms, chunk: int) -> None:
    """Compare a sample from the whole matrix with double-double, as sums of one term each."""
    size = p.values.size
    # An odd step does not select the same few columns repeatedly.
    step = max(min(size // MIN_SAMPLE, SAMPLE_STEP), size // MAX_SAMPLE) | 1
    target, model = (side.values.reshape(-1)[::step, None] for side in (p, q))
    plain = np.isfinite(target) & np.isfinite(model) & ((target > 0.0) | (p.space is Space.LOG))
    p, q = (replace(side, values=part[plain][:, None]) for side, part in ((p, target), (q, model)))
    whole = [Position(slice(None), slice(None), 0)]
    for position in _positions(p.values.shape, chunk):
        sums = Sums.empty(position.rows.stop - position.rows.start, 1)
        p_part, q_part = (replace(side, values=position.take_block(side)) for side in (p, q))
        if not _fill(sums, p_part, q_part, whole, chunk):
            exact = fine(p.block(position.rows, position.columns), q.block(position.rows, position.columns))
            check_bounds(sums.terms(p.space, dtype), exact)
