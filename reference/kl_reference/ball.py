"""Numbers that carry their own bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kl_reference import double_double as dd
from kl_reference.double_double import Exponent, Pair
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


@dataclass(frozen=True, slots=True)
class Ball:
    """The exact number lies within ``high + low ± error``, element by element; all parts are finite.

    ``error`` is what the bounds above add up to in float64, short by at most a factor ``INFLATION``.
    """

    high: Array
    low: Array
    error: Array

    @classmethod
    def exact(cls, high: Array, low: Array | None = None) -> Ball:
        """Return a ball of radius 0 around high + low."""
        zero = np.zeros_like(high)
        return cls(high, zero if low is None else low, zero)

    @property
    def pair(self) -> Pair:
        """The centre."""
        return self.high, self.low

    def __neg__(self) -> Ball:
        return Ball(-self.high, -self.low, self.error)

    def __add__(self, other: Ball) -> Ball:
        high, low = dd.add(self.pair, other.pair)
        return Ball(high, low, self.error + other.error + E_ADD * np.abs(high))

    def __sub__(self, other: Ball) -> Ball:
        return self + -other

    def __mul__(self, other: Ball) -> Ball:
        high, low = dd.multiply(self.pair, other.pair)
        mixed = np.abs(self.high) * other.error + self.error * (np.abs(other.high) + other.error)
        return Ball(high, low, mixed + E_MULTIPLY * np.abs(high) + E_UNDERFLOW)

    def __truediv__(self, other: Ball) -> Ball:
        """Return the quotient; the divisor's ball must keep well away from 0."""
        high, low = dd.divide(self.pair, other.pair)
        mixed = (self.error + np.abs(high) * other.error) / (np.abs(other.high) - other.error)
        return Ball(high, low, mixed + E_DIVIDE * np.abs(high) + E_UNDERFLOW)

    def only(self, where: NDArray[np.bool_]) -> Ball:
        """Return the ball there, and exactly 0 elsewhere; mostly there is no elsewhere."""
        if np.all(where):
            return self
        return Ball(*(np.where(where, part, 0.0) for part in (self.high, self.low, self.error)))

    def reshape(self, shape: tuple[int, ...]) -> Ball:
        """Return the same balls in another shape."""
        return Ball(self.high.reshape(shape), self.low.reshape(shape), self.error.reshape(shape))

    def scaled(self, exponent: NDArray[Any]) -> Ball:
        """Return the ball times 2^exponent; bits that fall below the range go into the error."""
        if not np.any(exponent):
            return self
        exponent = exponent.astype(np.intc)
        high, low, error = (dd.shifted(part, exponent) for part in (self.high, self.low, self.error))
        lossy = (exponent != 0) & ((self.high != 0.0) | (self.error != 0.0))
        return Ball(high, low, error + np.where(lossy, E_UNDERFLOW, 0.0))

    def sum(self, axis: int) -> Ball:
        """Return the sum over an axis, which is kept with length 1."""
        (high, low), depth = dd.total(self.pair, axis)
        length = self.high.shape[axis]
        rounding = (depth + 1) * E_ADD * np.abs(self.high)
        error = np.sum(self.error + rounding, axis=axis, keepdims=True)
        return Ball(high, low, error * (1.0 + 2.0 * (length + 8) * 2.0**-53))


def concatenate(balls: Sequence[Ball], axis: int) -> Ball:
    """Join balls along an axis."""
    high, low, error = (
        np.concatenate([getattr(ball, part) for ball in balls], axis) for part in Ball.__slots__
    )
    return Ball(high, low, error)


def difference(a: Array, b: Array) -> Ball:
    """Return a − b of exact numbers; of one that overflows nothing is known but that it is huge."""
    high, low = dd.two_sum(a, -b)
    known = np.isfinite(high)
    huge = np.copysign(np.finfo(np.float64).max, high)
    return Ball(np.where(known, high, huge), np.where(known, low, 0.0), np.where(known, 0.0, np.inf))


def log(a: Ball) -> Ball:
    """Return log a; the ball must keep well away from 0."""
    high, low = dd.log(a.pair)
    spread = a.error / (a.high - 2.0 * a.error)
    return Ball(high, low, spread + E_LOG * np.abs(high) + E_UNDERFLOW)


def log_quotient(a: Array, b: Array) -> Ball:
    """Return log(a ÷ b) of exact positive numbers, without cancellation where they are neighbours."""
    high, low = dd.log_quotient((a, np.zeros_like(a)), b)
    return Ball(high, low, E_LOG * np.abs(high) + np.where(a == b, 0.0, E_UNDERFLOW))


def exp(a: Ball) -> tuple[Ball, Exponent]:
    """Return (m, k) with exp a = m·2^k and 0.99 < m < 2; an exact 0 gives an exact 1.

    Beyond ±``EXP_LIMIT`` the limit stands for the argument: such a result is out of range anyhow, and stays
    so when it is multiplied by any float64.
    """
    beyond = np.abs(a.high) > EXP_LIMIT
    high = np.clip(a.high, -EXP_LIMIT, EXP_LIMIT)
    low, error = (np.where(beyond, 0.0, part) for part in (a.low, a.error))
    (m_high, m_low), k = dd.exp((high, low))
    # exp e − 1 ≤ e + e² for 0 ≤ e ≤ 1.
    spread = np.where(error <= 1.0, error + error * error, np.inf)
    rounding = np.where((high == 0.0) & (low == 0.0), 0.0, E_EXP)
    return Ball(m_high, m_low, np.abs(m_high) * (spread + rounding)), k
