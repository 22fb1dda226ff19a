"""Extended real numbers with a bound: balls times powers of two, and beside them infinities and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference import ball
from kl_reference.ball import Ball, minus, plus
from kl_reference.double_double import NOTHING, Exponent
from kl_reference.enclosure import Array

UNSCALED: Final = np.zeros((), np.intc)
"""The exponent of numbers that are what their balls are."""
UNSCALED.flags.writeable = False

_FAR: Final = 2**20


@dataclass(frozen=True, slots=True)
class Scaled:
    """The number ball × 2^exponent, or ``special`` where that is ±inf or NaN (the ball is then 0).

    The power of two keeps products of tiny and huge numbers in range until the very end; it broadcasts.
    ``special`` is ``NOTHING`` where all numbers are real, as they mostly are.
    Arithmetic is that of the extended reals: inf − inf, 0 × inf, 0 ÷ 0 and inf ÷ inf are NaN.
    """

    ball: Ball
    exponent: Exponent
    special: Array

    @classmethod
    def of(cls, ball: Ball, special: Array) -> Scaled:
        """Return a ball as it is, and the special values beside it; huge numbers are scaled, or products overflow."""
        if ball.moderate:
            return cls.beside(ball, UNSCALED, special)
        exponent = np.frexp(ball.high)[1]
        return cls.beside(ball.scaled(-exponent), exponent, special)

    @classmethod
    def beside(cls, ball: Ball, exponent: Exponent, special: Array) -> Scaled:
        """Return ball × 2^exponent, but the special values wherever there are any."""
        return cls(ball if special is NOTHING else ball.only(special == 0.0), exponent, special)

    @classmethod
    def exact(cls, values: Array) -> Scaled:
        """Return exact numbers, infinities and NaN included."""
        finite = np.isfinite(values)
        special = NOTHING
        if not finite.all():
            values, special = np.where(finite, values, 0.0), np.where(finite, 0.0, values)
        high, exponent = np.frexp(values)
        return cls(Ball.exact(high), exponent, special)

    def __neg__(self) -> Scaled:
        return Scaled(-self.ball, self.exponent, minus(self.special))

    def __add__(self, other: Scaled) -> Scaled:
        common = np.maximum(self.size, other.size)
        total = self.ball.scaled(self.exponent - common) + other.ball.scaled(other.exponent - common)
        return Scaled.beside(total, common, plus(self.special, other.special))

    def __mul__(self, other: Scaled) -> Scaled:
        product, exponent = self.ball * other.ball, self.exponent + other.exponent
        if self.special is NOTHING and other.special is NOTHING:
            return Scaled(product, exponent, NOTHING)
        real = (self.special == 0.0) & (other.special == 0.0)
        special = np.where(real, 0.0, self.extended * other.extended)
        return Scaled(product.only(real), exponent, special)

    def __truediv__(self, other: Scaled) -> Scaled:
        real = (self.special == 0.0) & (other.special == 0.0) & (other.ball.high != 0.0)
        exponent = self.exponent - other.exponent
        if np.all(real):
            return Scaled(self.ball / other.ball, exponent, NOTHING)
        special = np.where(real, 0.0, self.extended / np.abs(other.extended))
        one = np.where(real, other.ball.high, 1.0)
        divisor = Ball(one, other.ball.low, np.where(real, other.ball.error, 0.0))
        return Scaled((self.ball / divisor).only(real), exponent, special)

    @property
    def extended(self) -> Array:
        """The special value, or else the sign, −1, 0 or 1."""
        return np.where(self.special == 0.0, np.sign(self.ball.high), self.special)

    @property
    def size(self) -> Exponent:
        """The binary exponent of the largest number in the ball; far below all others for an exact 0."""
        extent = self.ball.extent
        own = np.frexp(extent)[1]
        own += self.exponent
        if not extent.all():
            own[extent == 0.0] = -_FAR
        return own

    @property
    def rough(self) -> Array:
        """The number rounded to float64."""
        rounded = np.ldexp(self.ball.high, self.exponent)
        return rounded if self.special is NOTHING else np.where(self.special == 0.0, rounded, self.special)

    def replaced(self, where: NDArray[np.bool_], special: float) -> Scaled:
        """Return the same numbers with 0, ±inf or NaN put there."""
        if not where.any():
            return self
        return Scaled(self.ball.only(~where), self.exponent, np.where(where, special, self.special))

    def reshape(self, shape: tuple[int, ...]) -> Scaled:
        """Return the same numbers in another shape."""
        own = self.ball.high.shape
        special = self.special if self.special is NOTHING else self.special.reshape(shape)
        return Scaled(self.ball.reshape(shape), np.broadcast_to(self.exponent, own).reshape(shape), special)

    def sum(self, axis: int) -> Scaled:
        """Return the sum over an axis, which is kept with length 1."""
        common = self._common(axis)
        return Scaled(self.ball.scaled(self.exponent - common).sum(axis), common, self._special_sum(axis))

    def folded(self, few: int) -> Scaled:
        """Return (rows, few or fewer classes) with the same sums; special values are in the first."""
        common = self._common(1)
        ball, special = self.ball.scaled(self.exponent - common).folded(few), NOTHING
        if self.special is not NOTHING:
            special = np.zeros(ball.high.shape)
            special[:, :1] = self._special_sum(1)
        return Scaled.beside(ball, common, special)

    def _common(self, axis: int) -> Exponent:
        """Return an exponent under which the numbers along an axis, which is kept with length 1, can be added."""
        return np.asarray(np.max(self.size, axis=axis, keepdims=True, initial=-_FAR))

    def _special_sum(self, axis: int) -> Array:
        special = self.special
        return special if special is NOTHING else np.sum(special, axis=axis, keepdims=True)

    def divided(self, count: int) -> Scaled:
        """Return the numbers divided by a count; what is divided by 0 is NaN."""
        if count == 1:
            return self
        if count == 0:
            return self.replaced(np.ones(self.ball.high.shape, np.bool_), np.nan)
        divisor = Ball.exact(np.full(self.ball.high.shape, float(count)))
        return Scaled(self.ball / divisor, self.exponent, self.special)


def concatenate(parts: Sequence[Scaled], axis: int) -> Scaled:
    """Join along an axis."""
    highs = [part.ball.high for part in parts]
    exponents = [np.broadcast_to(part.exponent, part.ball.high.shape) for part in parts]
    return Scaled(
        ball.concatenate([part.ball for part in parts], axis),
        np.concatenate(exponents, axis),
        ball.joined([part.special for part in parts], highs, axis),
    )
