"""Numbers that carry their own bound."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import double_double as dd
from kl_reference.bounds.double_double import ZEROS, Exponent, Pair, full
from kl_reference.enclosure import Array

# What each operation may add, relative to its result; each is larger than the bound proven for it.
U2: Final = 2.0**-106
E_ADD: Final = 4.0 * U2
E_MULTIPLY: Final = 8.0 * U2
E_DIVIDE: Final = 20.0 * U2
E_LOG: Final = 2.0**-66
E_EXP: Final = 2.0**-72
# And absolutely, where a partial product leaves the normal range of float64.
E_UNDERFLOW: Final = 8.0 * 2.0**-1074
# Bounds are added and multiplied in float64 themselves: this pays for 2^12 such roundings in a row.
INFLATION: Final = 1.0 + 2.0**-40
# exp is asked for no more than this; beyond it the result is below, or above, every float64 squared.
EXP_LIMIT: Final = 32768.0
# Numbers below this can be cut in two and multiplied by a mantissa without overflow.
HUGE: Final = 2.0**960


@dataclass(frozen=True, slots=True)
class Ball:
    """The exact number lies within ``high + low ± error``, element by element; all parts are finite.

    ``error`` is what the bounds above add up to in float64, short by at most a factor ``INFLATION``. ``low`` and
    ``error`` may be ``NOTHING``.
    """

    high: Array
    low: Array
    error: Array

    @classmethod
    def exact(cls, high: Array, low: Array = ZEROS) -> Ball:
        """Return a ball of radius 0 around high + low."""
        return cls(high, low, ZEROS)

    @property
    def pair(self) -> Pair:
        """The centre."""
        return self.high, self.low

    @property
    def is_below_huge(self) -> bool:
        """Whether all numbers are below ``HUGE``."""
        return bool(self.high.max(initial=0.0) < HUGE and self.high.min(initial=0.0) > -HUGE)

    @property
    def magnitude(self) -> Array:
        """The largest absolute value in the ball."""
        magnitude = np.abs(self.high)
        if self.error is not ZEROS:
            magnitude += self.error
        return magnitude

    def __neg__(self) -> Ball:
        return Ball(-self.high, minus(self.low), self.error)

    def __add__(self, other: Ball) -> Ball:
        high, low = dd.add(self.pair, other.pair)
        if self.low is ZEROS and other.low is ZEROS:
            return Ball(high, low, plus(self.error, other.error))
        return Ball(high, low, rounding(E_ADD, high, self.error, other.error))

    def __sub__(self, other: Ball) -> Ball:
        return self + -other

    def __mul__(self, other: Ball) -> Ball:
        high, low = dd.multiply(self.pair, other.pair)
        error = rounding(E_MULTIPLY, high, self._error_times(other), other._error_times(self))
        error += E_UNDERFLOW
        return Ball(high, low, error)

    def _error_times(self, other: Ball) -> Array:
        """Return how far a product is off because this factor is (or both are)."""
        if self.error is ZEROS:
            return ZEROS
        return other.magnitude * self.error

    def __truediv__(self, other: Ball) -> Ball:
        """Return the quotient; the divisor's ball must keep well away from 0."""
        high, low = dd.divide(self.pair, other.pair)
        mixed = (self.error + np.abs(high) * other.error) / (np.abs(other.high) - other.error)
        return Ball(high, low, mixed + E_DIVIDE * np.abs(high) + E_UNDERFLOW)

    def masked(self, where: NDArray[np.bool_]) -> Ball:
        """Return the ball there, and exactly 0 elsewhere; mostly there is no elsewhere."""
        if where.all():
            return self
        return self.map_arrays(lambda part: np.where(where, part, 0.0))

    def map_arrays(self, change: Callable[[Array], Array]) -> Ball:
        """Return balls with every array of theirs changed that is not ``NOTHING``."""
        low, error = (part if part is ZEROS else change(part) for part in (self.low, self.error))
        return Ball(change(self.high), low, error)

    def reshape(self, shape: tuple[int, ...]) -> Ball:
        """Return the same balls in another shape."""
        return self.map_arrays(lambda part: part.reshape(shape))

    def scaled(self, exponent: Exponent) -> Ball:
        """Return the ball times 2^exponent; bits that fall below the range go into the error."""
        if not exponent.any():
            return self
        moved = self.map_arrays(lambda part: np.ldexp(part, exponent))
        lost = np.full((), E_UNDERFLOW)
        if self.error is ZEROS or not self.error.all():
            lost = np.where((exponent != 0) & (self.magnitude > 0.0), lost, 0.0)
        return Ball(moved.high, moved.low, moved.error + lost)

    def partial_sums(self, few: int) -> Ball:
        """Return (rows, few or fewer classes) with the same sums, by the first levels of the tree of :meth:`sum`."""
        ball = self
        while (length := ball.high.shape[1]) > few:
            half = length // 2
            paired = ball.classes(0, half) + ball.classes(half, 2 * half)
            ball = concatenate([paired, ball.classes(2 * half, length)], 1) if length % 2 else paired
        return ball

    def classes(self, start: int, stop: int) -> Ball:
        """Return some columns of balls of two axes."""
        return self.map_arrays(lambda part: part[:, start:stop])

    def sum(self, axis: int) -> Ball:
        """Return the sum over an axis, which is kept with length 1."""
        (high, low), depth = dd.total((self.high, full(self.low, self.high)), axis)
        length = self.high.shape[axis]
        error = np.sum(rounding((depth + 1) * E_ADD, self.high, self.error), axis=axis, keepdims=True)
        return Ball(high, low, error * (1.0 + 2.0 * (length + 8) * 2.0**-53))


def rounding(rate: float, size: Array, *errors: Array) -> Array:
    """Return errors added up, and a rate times the size of the result on top."""
    bound = np.abs(size)
    bound *= rate
    for error in errors:
        if error is not ZEROS:
            bound += error
    return bound


def plus(a: Array, b: Array) -> Array:
    """Return a + b, where either may be ``NOTHING``."""
    if a is ZEROS or b is ZEROS:
        return b if a is ZEROS else a
    return a + b


def minus(a: Array) -> Array:
    """Return −a, where a may be ``NOTHING``."""
    return a if a is ZEROS else -a


def concatenate(balls: Sequence[Ball], axis: int) -> Ball:
    """Join balls along an axis."""
    low, error = (
        joined([getattr(ball, part) for ball in balls], [ball.high for ball in balls], axis)
        for part in ("low", "error")
    )
    return Ball(np.concatenate([ball.high for ball in balls], axis), low, error)


def joined(parts: Sequence[Array], like: Sequence[Array], axis: int) -> Array:
    """Join arrays along an axis, some of which may be ``NOTHING``; other arrays of their shapes stand by."""
    if all(part is ZEROS for part in parts):
        return ZEROS
    return np.concatenate([full(part, each) for part, each in zip(parts, like, strict=True)], axis)


def difference(a: Array, b: Array) -> Ball:
    """Return a − b of exact numbers; of one that overflows nothing is known but that it is huge."""
    high, low = dd.two_sum(a, -b)
    known = np.isfinite(high)
    if np.all(known):
        return Ball(high, low, ZEROS)
    huge = np.copysign(np.finfo(np.float64).max, high)
    return Ball(np.where(known, high, huge), np.where(known, low, 0.0), np.where(known, 0.0, np.inf))


def log(a: Ball) -> Ball:
    """Return log a; the ball must keep well away from 0."""
    high, low = dd.log(a.pair)
    error = rounding(E_LOG, high)
    if a.low is ZEROS and a.error is ZEROS:
        # Of single numbers nothing but mantissas is worked on, and none of their products underflows.
        return Ball(high, low, error)
    error += a.error / (a.high - 2.0 * a.error)
    error += E_UNDERFLOW
    return Ball(high, low, error)


def log_quotient(a: Array, b: Array) -> Ball:
    """Return log(a ÷ b) of exact positive numbers, without cancellation where they are neighbours."""
    high, low = dd.log_quotient((a, ZEROS), b)
    return Ball(high, low, rounding(E_LOG, high))


def exp(a: Ball) -> tuple[Ball, Exponent]:
    """Return (m, k) with exp a = m·2^k and 0.99 < m < 2; an exact 0 gives an exact 1.

    Beyond ±``EXP_LIMIT`` the limit stands for the argument: such a result is out of range anyhow, and stays
    so when it is multiplied by any float64.
    """
    beyond = np.abs(a.high) > EXP_LIMIT
    if np.any(beyond):
        limited = a.masked(~beyond)
        a = Ball(np.clip(a.high, -EXP_LIMIT, EXP_LIMIT), limited.low, limited.error)
    (high, low), k = dd.exp(a.pair)
    rate = np.full((), E_EXP)
    if not np.all(a.high):
        rate = np.where((a.high == 0.0) & (a.low == 0.0), 0.0, rate)
    if a.error is not ZEROS:
        # exp e − 1 ≤ e + e² for 0 ≤ e ≤ 1.
        rate = rate + np.where(a.error <= 1.0, a.error + a.error * a.error, np.inf)
    return Ball(high, low, high * rate), k
