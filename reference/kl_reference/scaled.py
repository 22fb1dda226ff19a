"""Extended real numbers with a bound: balls times powers of two, and beside them infinities and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference import ball
from kl_reference.ball import Ball
from kl_reference.double_double import Exponent, shifted
from kl_reference.enclosure import Array

_FAR: Final = 2**20


@dataclass(frozen=True, slots=True)
class Scaled:
    """The number ball × 2^exponent, or ``special`` where that is ±inf or NaN (the ball is then 0).

    The power of two keeps products of tiny and huge numbers in range until the very end.
    Arithmetic is that of the extended reals: inf − inf, 0 × inf, 0 ÷ 0 and inf ÷ inf are NaN.
    """

    ball: Ball
    exponent: Exponent
    special: Array

    @classmethod
    def of(cls, ball: Ball, special: Array) -> Scaled:
        """Return a ball as it is, and the special values beside it."""
        return cls(ball.only(special == 0.0), np.zeros(special.shape, np.int64), special)

    @classmethod
    def exact(cls, values: Array) -> Scaled:
        """Return exact numbers, infinities and NaN included."""
        finite = np.isfinite(values)
        high, exponent = np.frexp(np.where(finite, values, 0.0))
        return cls(Ball.exact(high), exponent.astype(np.int64), np.where(finite, 0.0, values))

    def __neg__(self) -> Scaled:
        return Scaled(-self.ball, self.exponent, -self.special)

    def __add__(self, other: Scaled) -> Scaled:
        common = np.maximum(self.size, other.size)
        total = self.ball.scaled(self.exponent - common) + other.ball.scaled(other.exponent - common)
        special = self.special + other.special
        return Scaled(total.only(special == 0.0), common, special)

    def __mul__(self, other: Scaled) -> Scaled:
        real = (self.special == 0.0) & (other.special == 0.0)
        special = np.zeros(real.shape)
        if not np.all(real):
            special = np.where(real, 0.0, self.extended * other.extended)
        return Scaled((self.ball * other.ball).only(real), self.exponent + other.exponent, special)

    def __truediv__(self, other: Scaled) -> Scaled:
        real = (self.special == 0.0) & (other.special == 0.0) & (other.ball.high != 0.0)
        special = np.where(real, 0.0, self.extended / np.abs(other.extended))
        one = np.where(real, other.ball.high, 1.0)
        divisor = Ball(one, other.ball.low, np.where(real, other.ball.error, 0.0))
        return Scaled((self.ball / divisor).only(real), self.exponent - other.exponent, special)

    @property
    def extended(self) -> Array:
        """The special value, or else the sign, −1, 0 or 1."""
        return np.where(self.special == 0.0, np.sign(self.ball.high), self.special)

    @property
    def size(self) -> Exponent:
        """The binary exponent of the largest number in the ball; far below all others for an exact 0."""
        extent = np.abs(self.ball.high) + self.ball.error
        return self.exponent + np.where(extent > 0.0, np.frexp(extent)[1], -_FAR)

    @property
    def rough(self) -> Array:
        """The number rounded to float64."""
        return np.where(self.special == 0.0, shifted(self.ball.high, self.exponent), self.special)

    def replaced(self, where: NDArray[np.bool_], special: float) -> Scaled:
        """Return the same numbers with 0, ±inf or NaN put there."""
        if not np.any(where):
            return self
        return Scaled(self.ball.only(~where), self.exponent, np.where(where, special, self.special))

    def reshape(self, shape: tuple[int, ...]) -> Scaled:
        """Return the same numbers in another shape."""
        return Scaled(self.ball.reshape(shape), self.exponent.reshape(shape), self.special.reshape(shape))

    def sum(self, axis: int) -> Scaled:
        """Return the sum over an axis, which is kept with length 1."""
        common = np.max(self.size, axis=axis, keepdims=True, initial=-_FAR)
        total = self.ball.scaled(self.exponent - common).sum(axis)
        return Scaled(total, common, np.sum(self.special, axis=axis, keepdims=True))

    def divided(self, count: int) -> Scaled:
        """Return the numbers divided by a count; what is divided by 0 is NaN."""
        if count == 1:
            return self
        if count == 0:
            return self.replaced(np.ones(self.special.shape, np.bool_), np.nan)
        divisor = Ball.exact(np.full(self.special.shape, float(count)))
        return Scaled(self.ball / divisor, self.exponent, self.special / count)


def concatenate(parts: Sequence[Scaled], axis: int) -> Scaled:
    """Join along an axis."""
    return Scaled(
        ball.concatenate([part.ball for part in parts], axis),
        np.concatenate([part.exponent for part in parts], axis),
        np.concatenate([part.special for part in parts], axis),
    )
