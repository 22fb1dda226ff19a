"""Ball: a number with an error radius, and its arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import double_double as dd
from kl_reference.bounds.double_double import ZEROS, Exponent, Pair, full
from kl_reference.enclosure import Array

# Relative error of each operation; every constant is larger than the bound proven for the operation.
U2: Final = 2.0**-106
E_ADD: Final = 4.0 * U2
E_MULTIPLY: Final = 8.0 * U2
E_DIVIDE: Final = 20.0 * U2
E_LOG: Final = 2.0**-66
E_EXP: Final = 2.0**-72
# Absolute error of a product with a partial product below the normal range of float64.
E_UNDERFLOW: Final = 8.0 * 2.0**-1074
# Bounds are computed in float64, too: this factor covers 2^12 successive roundings of a bound.
INFLATION: Final = 1.0 + 2.0**-40
# Largest argument of exp; beyond it the result is below, or above, the square of every float64.
EXP_LIMIT: Final = 32768.0
# Numbers below this limit can be split and multiplied by a significand without overflow.
HUGE: Final = 2.0**960


@dataclass(frozen=True, slots=True)
class Ball:
    """The exact number lies within ``high + low ± error``, element by element; all parts are finite.

    ``error`` is a sum of the bounds above, rounded in float64; the exact sum is larger by at most a factor
    ``INFLATION``. ``low`` and ``error`` may be ``ZEROS``.
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
        """The midpoint."""
        return self.high, self.low

    @property
    def is_below_huge(self) -> bool:
        """Whether all absolute values are below ``HUGE``."""
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
        """Return the error of a product that comes from the error of this factor (or from the errors of both)."""
        if self.error is ZEROS:
            return ZEROS
        return other.magnitude * self.error

    def __truediv__(self, other: Ball) -> Ball:
        """Return the quotient; the divisor's ball must be well separated from 0."""
        high, low = dd.divide(self.pair, other.pair)
        mixed = (self.error + np.abs(high) * other.error) / (np.abs(other.high) - other.error)
        return Ball(high, low, mixed + E_DIVIDE * np.abs(high) + E_UNDERFLOW)

    def masked(self, where: NDArray[np.bool_]) -> Ball:
        """Return the ball where the mask is true, and exactly 0 elsewhere."""
        if where.all():
            return self
        return self.map_arrays(lambda part: np.where(where, part, 0.0))

    def map_arrays(self, change: Callable[[Array], Array]) -> Ball:
        """Return the balls with a function applied to each array that is not ``ZEROS``."""
        low, error = (part if part is ZEROS else change(part) for part in (self.low, self.error))
        return Ball(change(self.high), low, error)

    def reshape(self, shape: tuple[int, ...]) -> Ball:
        """Return the same balls in another shape."""
        return self.map_arrays(lambda part: part.reshape(shape))

    def scaled(self, exponent: Exponent) -> Ball:
        """Return the ball times 2^exponent; bits lost to underflow are added to the error."""
        if not exponent.any():
            return self
        moved = self.map_arrays(lambda part: np.ldexp(part, exponent))
        lost = np.full((), E_UNDERFLOW)
        if self.error is ZEROS or not self.error.all():
            lost = np.where((exponent != 0) & (self.magnitude > 0.0), lost, 0.0)
        return Ball(moved.high, moved.low, moved.error + lost)

    def partial_sums(self, count: int) -> Ball:
        """Return at most ``count`` columns with the same row sums, by the first levels of the tree of :meth:`sum`."""
        ball = self
        while (length := ball.high.shape[1]) > count:
            half = length // 2
            paired = ball.columns(0, half) + ball.columns(half, 2 * half)
            ball = concatenate([paired, ball.columns(2 * half, length)], 1) if length % 2 else paired
        return ball

    def columns(self, start: int, stop: int) -> Ball:
        """Return a range of columns of balls with two axes."""
        return self.map_arrays(lambda part: part[:, start:stop])

    def sum(self, axis: int) -> Ball:
        """Return the sum over an axis, which is kept with length 1."""
        (high, low), depth = dd.total((self.high, full(self.low, self.high)), axis)
        length = self.high.shape[axis]
        error = np.sum(rounding((depth + 1) * E_ADD, self.high, self.error), axis=axis, keepdims=True)
        return Ball(high, low, error * (1.0 + 2.0 * (length + 8) * 2.0**-53))


def rounding(rate: float, size: Array, *errors: Array) -> Array:
    """Return the sum of some errors and of a rate times the absolute value of the result."""
    bound = np.abs(size)
    bound *= rate
    for error in errors:
        if error is not ZEROS:
            bound += error
    return bound


def plus(a: Array, b: Array) -> Array:
    """Return a + b, where either may be ``ZEROS``."""
    if a is ZEROS or b is ZEROS:
        return b if a is ZEROS else a
    return a + b


def minus(a: Array) -> Array:
    """Return −a, where a may be ``ZEROS``."""
    return a if a is ZEROS else -a


def concatenate(balls: Sequence[Ball], axis: int) -> Ball:
    """Join balls along an axis."""
    low, error = (
        join_arrays([getattr(ball, part) for ball in balls], [ball.high for ball in balls], axis)
        for part in ("low", "error")
    )
    return Ball(np.concatenate([ball.high for ball in balls], axis), low, error)


def join_arrays(parts: Sequence[Array], like: Sequence[Array], axis: int) -> Array:
    """Concatenate arrays, some of which may be ``ZEROS``; ``like`` gives their shapes."""
    if all(part is ZEROS for part in parts):
        return ZEROS
    return np.concatenate([full(part, each) for part, each in zip(parts, like, strict=True)], axis)


def difference(a: Array, b: Array) -> Ball:
    """Return a − b of exact numbers; where a − b overflows, the result has an infinite radius."""
    high, low = dd.two_sum(a, -b)
    finite = np.isfinite(high)
    if np.all(finite):
        return Ball(high, low, ZEROS)
    huge = np.copysign(np.finfo(np.float64).max, high)
    return Ball(np.where(finite, high, huge), np.where(finite, low, 0.0), np.where(finite, 0.0, np.inf))


def log(a: Ball) -> Ball:
    """Return log a; the ball must be well separated from 0."""
    high, low = dd.log(a.pair)
    error = rounding(E_LOG, high)
    if a.low is ZEROS and a.error is ZEROS:
        # For single float64 arguments only significands are multiplied, and no product underflows.
        return Ball(high, low, error)
    error += a.error / (a.high - 2.0 * a.error)
    error += E_UNDERFLOW
    return Ball(high, low, error)


def log_quotient(a: Array, b: Array) -> Ball:
    """Return log(a ÷ b) of exact positive numbers, without cancellation where a ≈ b."""
    high, low = dd.log_quotient((a, ZEROS), b)
    return Ball(high, low, rounding(E_LOG, high))


def exp(a: Ball) -> tuple[Ball, Exponent]:
    """Return (m, k) with exp a = m·2^k and 0.99 < m < 2; an exact 0 gives an exact 1.

    Arguments beyond ±``EXP_LIMIT`` are replaced by the limit: the result is out of range in either case, and remains
    out of range after multiplication by any float64.
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
