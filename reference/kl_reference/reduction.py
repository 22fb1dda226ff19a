"""What becomes of the terms: summed, divided, and written down as an Enclosure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, assert_never

import numpy as np
from numpy.typing import NDArray

from kl_reference import scaled
from kl_reference.ball import INFLATION
from kl_reference.convention import Reduction
from kl_reference.enclosure import Array, Enclosure, Scale
from kl_reference.scaled import Scaled
from kl_reference.sheet import BLOCK, blocks


@dataclass(frozen=True, slots=True)
class Terms:
    """A sheet of terms, (rows, classes), or of sums of terms, with the scales of their errors."""

    value: Scaled
    scale: Scale

    def sum(self, axis: int) -> Terms:
        """Return the sum over an axis, which is kept with length 1."""
        if self.value.special.shape[axis] == 1:
            return self
        summed = self.scale.each(lambda part: np.sum(part, axis=axis, keepdims=True))
        scale = replace(summed, count=self.scale.count * self.value.special.shape[axis])
        return Terms(self.value.sum(axis), scale)

    def divided(self, count: int) -> Terms:
        """Return everything divided by a count; what is divided by 0 is NaN."""
        if count == 0:
            return Terms(self.value.divided(0), self.scale)
        return Terms(self.value.divided(count), self.scale.each(lambda part: part / count))

    def reshape(self, shape: tuple[int, ...]) -> Terms:
        """Return the same terms in another shape."""
        return Terms(self.value.reshape(shape), self.scale.each(lambda part: part.reshape(shape)))

    def put(self, part: Terms, rows: slice, columns: slice) -> None:
        """Write other terms over those in a place."""
        mine, theirs = self._arrays, part._arrays
        for array, other in zip(mine, theirs, strict=True):
            array[rows, columns] = other

    @property
    def _arrays(self) -> tuple[NDArray[Any], ...]:
        value, scale = self.value, self.scale
        numbers = value.ball.high, value.ball.low, value.ball.error, value.exponent, value.special
        return *numbers, scale.condition, scale.fixed, scale.magnitude, scale.gradual, scale.flushed

    def enclosure(self, shaped: Callable[[Array], Array]) -> Enclosure:
        """Return the terms rounded to float64, every array in the shape that ``shaped`` gives it."""
        number, special = self.value.ball.scaled(self.value.exponent), self.value.special
        # A centre that overflowed has the sign of the exact number; one lost to inf − inf tells nothing.
        lost = np.isnan(number.high)
        value = np.where(special == 0.0, np.where(lost, 0.0, number.high), special)
        finite = np.isfinite(value)

        def bounded(part: Array) -> Array:
            return shaped(np.where(finite, np.where(np.isnan(part), np.inf, part), 0.0))

        tail = np.where(finite & np.isfinite(number.low), number.low, 0.0)
        radius = np.where(lost, np.inf, number.error * INFLATION)
        return Enclosure(shaped(value), shaped(tail), bounded(radius), self.scale.each(bounded))


def summed_axes(reduction: Reduction) -> tuple[int, ...]:
    """Return the axes of a sheet, (rows, classes), that a reduction sums over, the classes first."""
    return {Reduction.TERMS: (), Reduction.ROWS: (1,)}.get(reduction, (1, 0))


def gathered(
    shape: tuple[int, ...],
    make: Callable[[slice, slice], Terms],
    reduction: Reduction,
    size: int = BLOCK,
) -> Terms:
    """Make a sheet of terms block by block, summed as the reduction says but not yet divided.

    Parameters
    ----------
    shape
        (*outer, classes).
    make
        Returns the terms of the rows and columns it is given, summed already or not.
    reduction
        ``TERMS`` keeps everything, ``ROWS`` sums over classes, every other over both.
    size
        Number of terms in a block.
    """
    axes = summed_axes(reduction)
    if math.prod(shape) == 0:
        return _summed(nothing(*_sheet(shape)), axes)
    bands = [
        _summed(concatenate([_summed(make(rows, part), axes) for part in columns], 1), axes)
        for rows, columns in blocks(shape, size)
    ]
    whole = _summed(concatenate(bands, 0), axes[1:])
    # Sums of sums: only here is it known how many terms went into each.
    return Terms(whole.value, replace(whole.scale, count=math.prod(_sheet(shape)[axis] for axis in axes)))


def nothing(rows: int, classes: int) -> Terms:
    """Return a sheet of zeros."""
    zero = np.zeros((rows, classes))
    return Terms(Scaled.exact(zero), Scale(zero, zero, zero, zero, zero, 1))


def concatenate(sheets: Sequence[Terms], axis: int) -> Terms:
    """Join sheets along an axis."""
    value = scaled.concatenate([sheet.value for sheet in sheets], axis)
    scales = [sheet.scale for sheet in sheets]
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
    """Return what the sum of all terms is divided by, given the broadcast shape and a negative class axis."""
    match reduction:
        case Reduction.TERMS | Reduction.ROWS | Reduction.SUM:
            return 1
        case Reduction.MEAN:
            return math.prod(shape)
        case Reduction.BATCHMEAN:
            return shape[0] if shape else 1
        case Reduction.ROWMEAN:
            return math.prod(outer(shape, axis))
        case _:
            assert_never(reduction)


def outer(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape without its class axis (a scalar has none)."""
    classes = len(shape) + axis
    return tuple(length for place, length in enumerate(shape) if place != classes)


def classes_last(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape with its class axis moved to the end."""
    return (*outer(shape, axis), shape[axis]) if shape else ()


def sheet_shape(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """Return the shape (*outer, classes) of the sheet, which has at least one outer axis."""
    moved = classes_last(shape, axis)
    return (1,) * (2 - len(moved)) + moved


def restored(part: Array, sheet: tuple[int, ...], axis: int, shape: tuple[int, ...]) -> Array:
    """Return the elements of a sheet of the shape (*outer, classes) in the shape it was made of."""
    return np.moveaxis(part.reshape(sheet), -1, axis).reshape(shape)


def _sheet(shape: tuple[int, ...]) -> tuple[int, int]:
    return math.prod(shape[:-1]), shape[-1]


def _summed(terms: Terms, axes: tuple[int, ...]) -> Terms:
    for axis in axes:
        terms = terms.sum(axis)
    return terms
