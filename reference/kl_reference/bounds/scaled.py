"""Scaled: extended real numbers with an error bound, as balls times powers of two, with infinities and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import ball
from kl_reference.bounds.ball import Ball, minus, plus
from kl_reference.bounds.double_double import ZEROS, Exponent
from kl_reference.enclosure import Array

UNSCALED: Final = np.zeros((), np.intc)
"""Exponent of numbers that equal their balls."""
UNSCALED.flags.writeable = False

_LOWEST_EXPONENT: Final = 2**20


@dataclass(frozen=True, slots=True)
class Scaled:
    """The number ball × 2^exponent, or ``special`` where that is ±inf or NaN (the ball is then 0).

    The power of two keeps products of tiny and huge numbers in range until the end of the evaluation; it broadcasts.
    ``special`` is ``ZEROS`` if all numbers are real, which is the common case.
    Arithmetic is that of the extended reals: inf − inf, 0 × inf, 0 ÷ 0 and inf ÷ inf are NaN.
    """

    ball: Ball
    exponent: Exponent
    special: Array

    @classmethod
    def of(cls, ball: Ball, special: Array) -> Scaled:
        """Return a ball with special values; huge balls get an exponent, because their products would overflow."""
        if ball.is_below_huge:
            return cls.with_special(ball, UNSCALED, special)
        exponent = np.frexp(ball.high)[1]
        return cls.with_special(ball.scaled(-exponent), exponent, special)

    @classmethod
    def with_special(cls, ball: Ball, exponent: Exponent, special: Array) -> Scaled:
        """Return ball × 2^exponent, or the special value where there is one."""
        return cls(ball if special is ZEROS else ball.masked(special == 0.0), exponent, special)

    @classmethod
    def exact(cls, values: Array) -> Scaled:
        """Return exact numbers, infinities and NaN included."""
        finite = np.isfinite(values)
        special = ZEROS
        if not finite.all():
            values, special = np.where(finite, values, 0.0), np.where(finite, 0.0, values)
        high, exponent = np.frexp(values)
        return cls(Ball.exact(high), exponent, special)

    def __neg__(self) -> Scaled:
        return Scaled(-self.ball, self.exponent, minus(self.special))

    def __add__(self, other: Scaled) -> Scaled:
        shared = np.maximum(self.max_exponent, other.max_exponent)
        total = self.ball.scaled(self.exponent - shared) + other.ball.scaled(other.exponent - shared)
        return Scaled.with_special(total, shared, plus(self.special, other.special))

    def __mul__(self, other: Scaled) -> Scaled:
        product, exponent = self.ball * other.ball, self.exponent + other.exponent
        if self.special is ZEROS and other.special is ZEROS:
            return Scaled(product, exponent, ZEROS)
        real = (self.special == 0.0) & (other.special == 0.0)
        special = np.where(real, 0.0, self.extended * other.extended)
        return Scaled(product.masked(real), exponent, special)

    def __truediv__(self, other: Scaled) -> Scaled:
        real = (self.special == 0.0) & (other.special == 0.0) & (other.ball.high != 0.0)
        exponent = self.exponent - other.exponent
        if np.all(real):
            return Scaled(self.ball / other.ball, exponent, ZEROS)
        special = np.where(real, 0.0, self.extended / np.abs(other.extended))
        one = np.where(real, other.ball.high, 1.0)
        divisor = Ball(one, other.ball.low, np.where(real, other.ball.error, 0.0))
        return Scaled((self.ball / divisor).masked(real), exponent, special)

    @property
    def extended(self) -> Array:
        """The special value, or else the sign: −1, 0 or 1."""
        return np.where(self.special == 0.0, np.sign(self.ball.high), self.special)

    @property
    def max_exponent(self) -> Exponent:
        """The binary exponent of the largest number in the ball; ``_LOWEST_EXPONENT`` for an exact 0."""
        magnitude = self.ball.magnitude
        own = np.frexp(magnitude)[1]
        own += self.exponent
        if not magnitude.all():
            own[magnitude == 0.0] = -_LOWEST_EXPONENT
        return own

    @property
    def approximate(self) -> Array:
        """The number rounded to float64."""
        rounded = np.ldexp(self.ball.high, self.exponent)
        return rounded if self.special is ZEROS else np.where(self.special == 0.0, rounded, self.special)

    def replaced(self, where: NDArray[np.bool_], special: float) -> Scaled:
        """Return the same numbers with 0, ±inf or NaN where the mask is true."""
        if not where.any():
            return self
        return Scaled(self.ball.masked(~where), self.exponent, np.where(where, special, self.special))

    def reshape(self, shape: tuple[int, ...]) -> Scaled:
        """Return the same numbers in another shape."""
        own = self.ball.high.shape
        special = self.special if self.special is ZEROS else self.special.reshape(shape)
        return Scaled(self.ball.reshape(shape), np.broadcast_to(self.exponent, own).reshape(shape), special)

    def sum(self, axis: int) -> Scaled:
        """Return the sum over an axis, which is kept with length 1."""
        shared = self._shared_exponent(axis)
        return Scaled(self.ball.scaled(self.exponent - shared).sum(axis), shared, self._special_sum(axis))

    def partial_sums(self, count: int) -> Scaled:
        """Return (rows, at most ``count`` columns) with the same row sums; special values are in the first column."""
        shared = self._shared_exponent(1)
        ball, special = self.ball.scaled(self.exponent - shared).partial_sums(count), ZEROS
        if self.special is not ZEROS:
            special = np.zeros(ball.high.shape)
            special[:, :1] = self._special_sum(1)
        return Scaled.with_special(ball, shared, special)

    def _shared_exponent(self, axis: int) -> Exponent:
        """Return an exponent at which the numbers along an axis (kept with length 1) can be added."""
        return np.asarray(np.max(self.max_exponent, axis=axis, keepdims=True, initial=-_LOWEST_EXPONENT))

    def _special_sum(self, axis: int) -> Array:
        special = self.special
        return special if special is ZEROS else np.sum(special, axis=axis, keepdims=True)

    def divided(self, count: int) -> Scaled:
        """Return the numbers divided by a count; NaN for a count of 0."""
        if count == 1:
            return self
        if count == 0:
            return self.replaced(np.ones(self.ball.high.shape, np.bool_), np.nan)
        divisor = Ball.exact(np.full(self.ball.high.shape, float(count)))
        return Scaled(self.ball / divisor, self.exponent, self.special)


def concatenate(parts: Sequence[Scaled], axis: int) -> Scaled:
    """Join numbers along an axis."""
    highs = [part.ball.high for part in parts]
    exponents = [np.broadcast_to(part.exponent, part.ball.high.shape) for part in parts]
    return Scaled(
        ball.concatenate([part.ball for part in parts], axis),
        np.concatenate(exponents, axis),
        ball.join_arrays([part.special for part in parts], highs, axis),
    )
