"""BlockView: P or Q as a matrix of rows and classes, from which blocks are taken."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import ball
from kl_reference.bounds.ball import Ball
from kl_reference.convention import Space
from kl_reference.enclosure import Array
from kl_reference.evaluation.distribution import Distribution, Normaliser
from kl_reference.problem import Operand

BLOCK: Final = 8192
"""Elements per block: the temporaries of double-double arithmetic then stay in the L2 cache."""

RowSum = Callable[[Distribution], Ball]
"""Returns the sum of a block's probabilities over its classes, kept with length 1."""


def sum_double_double(block: Distribution) -> Ball:
    """Return the sum of a block's probabilities over its classes, in double-double."""
    weight = block.weight()
    return weight.ball.scaled(weight.exponent).sum(1)


@dataclass(frozen=True, slots=True)
class BlockView:
    """An operand with its classes last, (*outer, classes), its normaliser, and its clipping and smoothing.

    ``values`` are as received: clipping is applied block by block, which avoids a copy of the whole operand.
    """

    values: NDArray[Any]
    space: Space
    normaliser: Normaliser | None
    clip: tuple[Any, Any] | None = None
    smoothing: float = 0.0

    @classmethod
    def of(
        cls,
        operand: Operand,
        axis: int,
        clip: tuple[float, float] | None = None,
        normalise: bool = False,
        smoothing: float = 0.0,
        row_sum: RowSum = sum_double_double,
    ) -> BlockView:
        """Clip an operand, move its class axis (counted from the end) last, and normalise or smooth its rows."""
        received = cls(classes_last(operand.values, axis), operand.space, None)
        if clip is not None and operand.space is Space.PROBABILITY:
            low, high = operand.dtype.round(np.array(clip))
            received = replace(received, clip=(low, high))
        if smoothing and operand.space is Space.PROBABILITY:
            if normalise:
                raise ValueError("label smoothing of normalised probabilities is not supported")
            return replace(received, smoothing=smoothing)
        if operand.space is Space.LOG or (operand.space is Space.PROBABILITY and not normalise):
            return received
        return replace(received, normaliser=_normaliser(received, row_sum))

    def broadcast(self, shape: tuple[int, ...]) -> BlockView:
        """Return the same view broadcast to the shape (*outer, classes)."""
        if self.values.shape == shape:
            return self
        values, normaliser = np.broadcast_to(self.values, shape), self.normaliser
        if normaliser is not None:
            normaliser = normaliser.map_arrays(lambda part: np.broadcast_to(part, (*shape[:-1], 1)))
        return replace(self, values=values, normaliser=normaliser)

    def clipped(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return some of the values after clipping."""
        return values if self.clip is None else np.clip(values, *self.clip)

    def block(self, rows: slice, columns: slice) -> Distribution:
        """Return the selected rows (of all outer axes, flattened) and columns."""
        normaliser = self.normaliser
        if normaliser is not None:
            normaliser = normaliser.map_arrays(lambda part: take_block(part, rows, slice(0, 1)))
        values = self.clipped(take_block(self.values, rows, columns))
        if self.smoothing:
            return Distribution.smoothed(values, self.smoothing, self.values.shape[-1])
        return Distribution.of(values, self.space, normaliser)

    def whole(self) -> Distribution:
        """Return everything as one block."""
        return self.block(slice(0, math.prod(self.values.shape[:-1])), slice(0, self.values.shape[-1]))


def classes_last(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return an array of at least two axes with the given axis (counted from the end) moved to the end.

    An axis beyond the array's first axis has length 1, as in broadcasting.
    """
    missing = max(-axis - values.ndim, 2 - values.ndim, 0)
    wide = values.reshape((1,) * missing + values.shape) if missing else values
    return wide if axis == -1 else np.moveaxis(wide, axis, -1)


def take_block(values: NDArray[Any], rows: slice, columns: slice) -> Array:
    """Return rows (of all outer axes, flattened) and columns of an array (*outer, classes), as float64."""
    if values.ndim == 2:
        return np.asarray(values[rows, columns], dtype=np.float64)
    row = np.unravel_index(np.arange(rows.start, rows.stop), values.shape[:-1])
    place: tuple[Any, ...] = (*row, columns)
    return np.asarray(values[place], dtype=np.float64)


def blocks(shape: tuple[int, ...], size: int = BLOCK) -> Iterator[tuple[slice, list[slice]]]:
    """Split a matrix of the shape (*outer, classes) into slices of rows, each with the slices of its columns."""
    rows, classes = math.prod(shape[:-1]), shape[-1]
    height = max(1, size // max(1, classes))
    columns = [slice(start, min(start + size, classes)) for start in range(0, classes, size)]
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows)), columns


def _normaliser(received: BlockView, row_sum: RowSum) -> Normaliser:
    """Return the normaliser of the rows of a view."""
    origin, values = _origin(received), received.values
    one = Ball.exact(np.ones(origin.shape))
    unscaled = Normaliser(origin, one, values.shape[-1])
    if values.size == 0:
        return unscaled
    view = replace(received, normaliser=unscaled)
    sums = [
        ball.concatenate([row_sum(view.block(rows, part)) for part in columns], 1).sum(1)
        for rows, columns in blocks(values.shape)
    ]
    total = ball.concatenate(sums, 0).reshape(origin.shape)
    high = np.where(np.isnan(origin), 1.0, total.high)
    return Normaliser(origin, Ball(high, total.low, total.error), values.shape[-1])


def _origin(view: BlockView) -> Array:
    """Return the largest logit, or the power of two below the largest probability; NaN without a normalised form."""
    values = view.values
    largest = view.clipped(np.max(values, axis=-1, keepdims=True, initial=-np.inf)).astype(np.float64)
    if view.space is Space.LOGITS:
        return np.where(np.isfinite(largest), largest, np.nan)
    least = view.clipped(np.min(values, axis=-1, keepdims=True, initial=np.inf))
    lost = ~(np.isfinite(largest) & (largest > 0.0) & (least >= 0.0))
    return np.where(lost, np.nan, np.ldexp(0.5, np.frexp(largest)[1]))
