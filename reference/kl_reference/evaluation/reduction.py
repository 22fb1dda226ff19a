"""Sums and divides terms, and rounds them to an Enclosure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final, assert_never

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import scaled
from kl_reference.bounds.ball import INFLATION, Ball
from kl_reference.bounds.double_double import ZEROS, full
from kl_reference.bounds.scaled import Scaled
from kl_reference.convention import Reduction
from kl_reference.enclosure import Array, Enclosure, Scale
from kl_reference.evaluation.blocks import BLOCK, blocks

# A block is reduced to at most this number of partial sums; those of _BANDS bands are then summed together.
_MAX_PARTIAL_SUMS: Final = 256
_BANDS: Final = 32


@dataclass(frozen=True, slots=True)
class Terms:
    """A matrix of terms, (rows, classes), or of sums of terms, with the scales of their errors."""

    value: Scaled
    scale: Scale

    @property
    def shape(self) -> tuple[int, ...]:
        """(rows, classes)."""
        return self.value.ball.high.shape

    def sum(self, axis: int) -> Terms:
        """Return the sum over an axis, which is kept with length 1."""
        if self.shape[axis] == 1:
            return self
        return Terms(self.value.sum(axis), self._summed_scale(axis))

    def partial_sums(self, count: int) -> Terms:
        """Return at most ``count`` columns with the same sums over classes, and scales that are summed already."""
        if self.shape[1] == 1:
            return self
        return Terms(self.value.partial_sums(count), self._summed_scale(1))

    def _summed_scale(self, axis: int) -> Scale:
        summed = self.scale.map_arrays(lambda part: np.sum(part, axis=axis, keepdims=True))
        return replace(summed, count=self.scale.count * self.shape[axis])

    def divided(self, count: int) -> Terms:
        """Return everything divided by a count; values divided by 0 are NaN."""
        if count == 0:
            return Terms(self.value.divided(0), self.scale)
        return Terms(self.value.divided(count), self.scale.map_arrays(lambda part: part / count))

    def reshape(self, shape: tuple[int, ...]) -> Terms:
        """Return the same terms in another shape."""
        return Terms(self.value.reshape(shape), self.scale.map_arrays(lambda part: part.reshape(shape)))

    def write(self, part: Terms, rows: slice, columns: slice) -> None:
        """Write other terms into rows and columns of these."""
        mine, theirs = self._arrays, part._arrays
        for array, other in zip(mine, theirs, strict=True):
            array[rows, columns] = other

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        value, scale = self.value, self.scale
        numbers = value.ball.high, value.ball.low, value.ball.error, value.exponent, value.special
        return *numbers, *scale.arrays

    def enclosure(self, shaped: Callable[[Array], Array] = np.asarray) -> Enclosure:
        """Return the terms rounded to float64, with ``shaped`` applied to every array."""
        number, special = self.value.ball.scaled(self.value.exponent), self.value.special
        value, tail = number.high, full(number.low, number.high)
        radius = full(number.error, number.high) * INFLATION
        finite = np.isfinite(value)
        ordinary = special is ZEROS and np.all(finite) and np.all(np.isfinite(tail))
        if not ordinary:
            # A midpoint that overflowed has the sign of the exact number; after inf − inf nothing is known.
            lost = np.isnan(value)
            value = np.where(special == 0.0, np.where(lost, 0.0, value), special)
            finite = np.isfinite(value)
            tail = np.where(finite & np.isfinite(tail), tail, 0.0)
            radius = np.where(lost, np.inf, radius)

        def bounded(part: Array) -> Array:
            known = not np.isnan(np.max(part, initial=0.0))
            return shaped(part if ordinary and known else np.where(finite, _nan_to_inf(part), 0.0))

        return Enclosure(shaped(value), shaped(tail), bounded(radius), self.scale.map_arrays(bounded))


def _nan_to_inf(part: Array) -> Array:
    return np.where(np.isnan(part), np.inf, part)


def summed_axes(reduction: Reduction) -> tuple[int, ...]:
    """Return the axes of a matrix, (rows, classes), over which a reduction sums, the classes first."""
    return {Reduction.TERMS: (), Reduction.ROWS: (1,)}.get(reduction, (1, 0))


def evaluate_terms(
    shape: tuple[int, ...],
    make: Callable[[slice, slice], Terms],
    size: int = BLOCK,
    shaped: Callable[[Array], Array] = np.asarray,
) -> Enclosure:
    """Evaluate a matrix of terms, (*outer, classes), block by block, and round each block to float64 at once.

    Parameters
    ----------
    shape, make, size
        As for :func:`evaluate_sums`.
    shaped
        Gives every array, (rows, classes), its shape.
    """
    value, tail, radius, *scale = (np.empty(_matrix(shape)) for _ in range(8))
    whole = Enclosure(value, tail, radius, Scale(scale[0], scale[1], scale[2], scale[3], scale[4], 1))
    for rows, columns in blocks(shape, size):
        for part in columns:
            whole.write(make(rows, part).enclosure(), rows, part)
    return whole.map_arrays(shaped)


def evaluate_sums(
    shape: tuple[int, ...], make: Callable[[slice, slice], Terms], reduction: Reduction, size: int = BLOCK
) -> Terms:
    """Evaluate a matrix of terms block by block, summed as the reduction requires but not yet divided.

    Parameters
    ----------
    shape
        (*outer, classes).
    make
        Returns the terms of the given rows and columns, summed already or not.
    reduction
        ``TERMS`` keeps everything, ``ROWS`` sums over classes, every other over both.
    size
        Number of terms in a block.
    """
    axes, matrix = summed_axes(reduction), _matrix(shape)
    if math.prod(shape) == 0:
        return _summed(zero_terms(*matrix), axes)
    if not axes:
        whole = zero_terms(*matrix)
        for rows, columns in blocks(shape, size):
            for part in columns:
                whole.write(make(rows, part), rows, part)
        return whole
    bands = blocks(shape, size)
    sums = [_summed(_row_sums(some, make), axes[1:]) for some in iter(lambda: list(islice(bands, _BANDS)), [])]
    total = _summed(concatenate(sums, 0), axes[1:])
    # These are sums of sums: the number of terms in each is known only here.
    return Terms(total.value, replace(total.scale, count=math.prod(matrix[axis] for axis in axes)))


def _row_sums(bands: list[tuple[slice, list[slice]]], make: Callable[[slice, slice], Terms]) -> Terms:
    """Return the sums over classes of several bands of rows.

    Every block is reduced to partial sums at once. The last levels of the summation tree are too short to be worth one
    call per band and are evaluated for all bands together.
    """
    rows, columns = bands[0]
    count = max(1, _MAX_PARTIAL_SUMS // (rows.stop - rows.start))
    parts = [concatenate([make(rows, part).partial_sums(count) for rows, _ in bands], 0).sum(1) for part in columns]
    return concatenate(parts, 1).sum(1)


def zero_terms(rows: int, classes: int) -> Terms:
    """Return a matrix of zeros, to be written to."""
    high, low, error, special, *scale = (np.zeros((rows, classes)) for _ in range(9))
    value = Scaled(Ball(high, low, error), np.zeros((rows, classes), np.intc), special)
    return Terms(value, Scale(scale[0], scale[1], scale[2], scale[3], scale[4], 1))


def concatenate(matrices: Sequence[Terms], axis: int) -> Terms:
    """Join matrices of terms along an axis."""
    value = scaled.concatenate([matrix.value for matrix in matrices], axis)
    scales = [matrix.scale for matrix in matrices]
    scale = Scale(
        np.concatenate([scale.condition for scale in scales], axis),
        np.concatenate([scale.fixed for scale in scales], axis),
        np.concatenate([scale.magnitude for scale in scales], axis),
        np.concatenate([scale.gradual for scale in scales], axis),
        np.concatenate([scale.flushed for scale in scales], axis),
        scales[0].count,
    )
    return Terms(value, scale)


def divisor(reduction: Reduction, shape: tuple[int, ...], axis: int) -> int:
    """Return the divisor of the sum of all terms, given the broadcast shape and a negative class axis."""
    match reduction:
        case Reduction.TERMS | Reduction.ROWS | Reduction.SUM:
            return 1
        case Reduction.MEAN:
            return math.prod(shape)
        case Reduction.BATCHMEAN:
            return shape[0] if shape else 1
        case Reduction.ROWMEAN:
            return math.prod(outer_shape(shape, axis))
        case _:
            assert_never(reduction)


def outer_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape without its class axis (a scalar has none)."""
    classes = len(shape) + axis
    return tuple(length for place, length in enumerate(shape) if place != classes)


def _classes_last_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape with its class axis moved to the end."""
    return (*outer_shape(shape, axis), shape[axis]) if shape else ()


def matrix_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape (*outer, classes) of the matrix, which has at least one outer axis."""
    moved = _classes_last_shape(shape, axis)
    return (1,) * (2 - len(moved)) + moved


def restore_shape(part: Array, matrix: tuple[int, ...], axis: int, shape: tuple[int, ...]) -> Array:
    """Return the elements of a matrix of the shape (*outer, classes) in their original shape."""
    return (part if axis == -1 else np.moveaxis(part.reshape(matrix), -1, axis)).reshape(shape)


def _matrix(shape: tuple[int, ...]) -> tuple[int, int]:
    return math.prod(shape[:-1]), shape[-1]


def _summed(terms: Terms, axes: tuple[int, ...]) -> Terms:
    for axis in axes:
        terms = terms.sum(axis)
    return terms
