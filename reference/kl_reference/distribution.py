"""P or Q as the reference sees it: a sheet of rows and classes, and a block of it at work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kl_reference import ball
from kl_reference.ball import Ball
from kl_reference.convention import Space
from kl_reference.double_double import Exponent
from kl_reference.enclosure import Array
from kl_reference.problem import Operand
from kl_reference.scaled import Scaled

BLOCK: Final = 8192
"""Elements worked on at a time: the temporaries of double-double arithmetic then stay in the L2 cache."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A block of rows × classes of one operand, in float64, with what normalises its rows.

    Parameters
    ----------
    values
        What was received, (rows, classes); 1, or 0 for logarithms, where it is not ordinary.
    extended
        log p where that is −inf, +inf or NaN; 0 where p is an ordinary positive number.
    space
        What the values are.
    origin, total
        Where rows are normalised, (rows, 1): p = e^(x − origin)/total for logits x, p = x/origin/total for
        probabilities x, the origin then a power of two.
    classes
        Number of classes that are normalised together.
    """

    values: Array
    extended: Array
    space: Space
    origin: Array | None
    total: Ball | None
    classes: int

    @property
    def ordinary(self) -> NDArray[np.bool_]:
        """Where p is a positive real number."""
        return np.equal(self.extended, 0.0)

    @property
    def exact(self) -> Array | None:
        """The probabilities, where they were received as such and left as they are."""
        return self.values if self.space is Space.PROBABILITY and self.total is None else None

    def log(self) -> Ball:
        """Return log p; a number of no meaning where p is not ordinary."""
        if self.space is Space.LOG:
            return Ball.exact(self.values)
        if self.origin is None or self.total is None:
            return ball.log_quotient(self.values, np.ones_like(self.values))
        if self.space is Space.PROBABILITY:
            distance = ball.log_quotient(self.values, np.broadcast_to(self.origin, self.values.shape))
        else:
            distance = ball.difference(self.values, self.origin)
        return distance - ball.log(self.total)

    def weight(self) -> Scaled:
        """Return p."""
        if self.space is not Space.PROBABILITY:
            m, k = ball.exp(self.log())
        else:
            high, exponent = np.frexp(self.values)
            m, k = Ball.exact(high), exponent.astype(np.int64)
            if self.origin is not None and self.total is not None:
                m, k = m / self.total, k - binary_exponent(self.origin)
        special = np.where(self.extended == -np.inf, 0.0, self.extended)
        # An exact 0 with a large exponent would be rounded on that exponent's scale later.
        return Scaled(m.only(self.ordinary), np.where(self.ordinary, k, 0), special)

    def rough_log(self) -> Array:
        """Return log p to about float64, −inf, +inf and NaN included: for error scales and signs only."""
        rough = np.log(self.values) if self.space is Space.PROBABILITY else self.values
        if self.origin is not None and self.total is not None:
            origin = np.log(self.origin) if self.space is Space.PROBABILITY else self.origin
            rough = (rough - origin) - np.log(self.total.high)
        return np.where(self.ordinary, rough, self.extended)


@dataclass(frozen=True, slots=True)
class Sheet:
    """An operand with its classes last, and what normalises its rows: the source of blocks.

    ``values`` has the shape (*outer, classes); ``origin`` and ``total``, where rows are normalised,
    (*outer, 1), NaN in ``origin`` where a row has no normalised form.
    """

    values: NDArray[Any]
    space: Space
    origin: Array | None
    total: Ball | None
    classes: int

    @classmethod
    def of(cls, operand: Operand, axis: int, clip: tuple[float, float] | None, normalise: bool) -> Sheet:
        """Clip an operand, move its class axis (counted from the end) last, and normalise its rows."""
        values = operand.values
        if clip is not None and operand.space is Space.PROBABILITY:
            values = np.clip(values, *operand.dtype.round(np.array(clip)))
        values = classes_last(values, axis)
        classes = values.shape[-1]
        if operand.space is Space.LOG or (operand.space is Space.PROBABILITY and not normalise):
            return cls(values, operand.space, None, None, classes)
        origin = _origin(values, operand.space)
        return cls(values, operand.space, origin, _total(values, operand.space, origin), classes)

    def broadcast(self, shape: tuple[int, ...]) -> Sheet:
        """Return the same sheet read as if it had the shape (*outer, classes)."""
        column = (*shape[:-1], 1)
        values = np.broadcast_to(self.values, shape)
        if self.origin is None or self.total is None:
            return Sheet(values, self.space, None, None, self.classes)
        parts = (
            np.broadcast_to(part, column) for part in (self.total.high, self.total.low, self.total.error)
        )
        origin = np.broadcast_to(self.origin, column)
        return Sheet(values, self.space, origin, Ball(*parts), self.classes)

    def whole(self) -> Distribution:
        """Return everything as one block."""
        rows = int(np.prod(self.values.shape[:-1]))
        return self.block(slice(0, rows), slice(0, self.values.shape[-1]))

    def block(self, rows: slice, columns: slice) -> Distribution:
        """Return the rows (of all outer axes, flattened) and columns asked for."""
        received = cut(self.values, rows, columns)
        extended = _extended(received, self.space)
        origin = total = None
        neutral = 1.0 if self.space is Space.PROBABILITY else 0.0
        if self.origin is not None and self.total is not None:
            origin, *parts = (
                cut(part, rows, slice(0, 1))
                for part in (self.origin, self.total.high, self.total.low, self.total.error)
            )
            total = Ball(*parts)
            extended = np.where(np.isnan(origin), np.nan, extended)
            origin = np.where(np.isnan(origin), neutral, origin)
        values = np.where(extended == 0.0, received, neutral)
        return Distribution(values, extended, self.space, origin, total, self.classes)


def classes_last(values: NDArray[Any], axis: int) -> NDArray[Any]:
    """Return an array, of at least two axes, with the axis (counted from the end) moved to the end.

    An axis further out than the array reaches is one of length 1, as in broadcasting.
    """
    missing = max(-axis - values.ndim, 2 - values.ndim, 0)
    return np.moveaxis(values.reshape((1,) * missing + values.shape), axis, -1)


def cut(values: NDArray[Any], rows: slice, columns: slice) -> Array:
    """Return rows (of all outer axes, flattened) and columns of an array (*outer, classes), as float64."""
    row = np.unravel_index(np.arange(rows.start, rows.stop), values.shape[:-1])
    place: tuple[Any, ...] = (*row, columns)
    return np.asarray(values[place], dtype=np.float64)


def binary_exponent(power: Array) -> Exponent:
    """Return k of 2^k."""
    return np.frexp(power)[1].astype(np.int64) - 1


def blocks(shape: tuple[int, ...]) -> Iterator[tuple[slice, list[slice]]]:
    """Cut a sheet of the shape (*outer, classes) into rows, and columns to be worked on in turn."""
    rows, classes = int(np.prod(shape[:-1])), shape[-1]
    height = max(1, BLOCK // max(1, classes))
    columns = [slice(start, min(start + BLOCK, classes)) for start in range(0, classes, BLOCK)]
    for start in range(0, rows, height):
        yield slice(start, min(start + height, rows)), columns


def _extended(received: Array, space: Space) -> Array:
    """Return log p where it is −inf, +inf or NaN, else 0."""
    if space is not Space.PROBABILITY:
        return np.where(np.isfinite(received), 0.0, received)
    known = [received == 0.0, received == np.inf, received > 0.0]
    return np.select(known, [-np.inf, np.inf, 0.0], np.nan)


def _origin(values: NDArray[Any], space: Space) -> Array:
    """Return the largest logit, or the power of two below the largest probability; NaN for a lost row."""
    largest = np.max(values, axis=-1, keepdims=True, initial=-np.inf).astype(np.float64)
    if space is Space.LOGITS:
        return np.where(np.isfinite(largest), largest, np.nan)
    lost = ~(np.isfinite(largest) & (largest > 0.0))
    lost |= np.any(values < 0.0, axis=-1, keepdims=True)
    return np.where(lost, np.nan, np.ldexp(0.5, np.frexp(largest)[1]))


def _total(values: NDArray[Any], space: Space, origin: Array) -> Ball:
    """Return Σ e^(x − origin), or Σ x/origin, over the classes; 1 for a lost row."""
    one = Ball.exact(np.ones(origin.shape))
    if values.size == 0:
        return one
    sheet = Sheet(values, space, origin, one, values.shape[-1])
    sums = [
        ball.concatenate([_partial_total(sheet.block(rows, part)) for part in columns], 1).sum(1)
        for rows, columns in blocks(values.shape)
    ]
    joined = ball.concatenate(sums, 0)
    high, low, error = (np.reshape(part, origin.shape) for part in (joined.high, joined.low, joined.error))
    return Ball(np.where(np.isnan(origin), 1.0, high), low, error)


def _partial_total(block: Distribution) -> Ball:
    """Return the sum over a block's classes of its weights."""
    weight = block.weight()
    return weight.ball.scaled(weight.exponent).sum(1)
