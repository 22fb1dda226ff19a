"""Numbers held as an unevaluated sum of two float64, good to about 100 bits.

Only ``+ − × ÷``, ``frexp``, ``ldexp``, ``rint`` and bit masks are used, one ufunc an operation: nothing can
be contracted and no libm is asked, so the bits are the same on every IEEE 754 machine. Arguments are finite
and far from overflow; whoever calls sees to that. Bounds are relative, in u = 2^-53, and hold where nothing
underflows.

Source: Joldes, Muller, Popescu, "Tight and rigorous error bounds for basic building blocks of double-word
arithmetic", ACM TOMS 44 (2017), algorithms 1, 2, 6, 9, 11, 15, 17; tables as in Tang, "Table-driven
implementation of the logarithm function", ACM TOMS 16 (1990).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kl_reference import tables
from kl_reference.enclosure import Array

Pair = tuple[Array, Array]
Exponent = NDArray[np.int64]

SQRT_HALF: Final = 0.7071067811865476
LOW_BITS: Final = 27
LOG_TAIL: Final = tuple((-1.0) ** (n - 1) / n for n in range(11, 2, -1))
EXP_TAIL: Final = tuple(1.0 / n for n in (3628800, 362880, 40320, 5040, 720, 120, 24, 6))


def two_sum(a: Array, b: Array) -> Pair:
    """Return a + b exactly."""
    s = a + b
    t = s - a
    rest = s - t
    # In place: what stays in the cache costs half.
    rest = np.subtract(a, rest, out=rest)
    rest += np.subtract(b, t, out=t)
    return s, rest


def quick_two_sum(a: Array, b: Array) -> Pair:
    """Return a + b exactly, given |a| ≥ |b| or a = 0."""
    s = a + b
    rest = s - a
    return s, np.subtract(b, rest, out=rest)


def split(a: Array) -> Pair:
    """Return a exactly as a head and a rest of at most 26 bits each (no overflow, unlike Veltkamp's)."""
    bits = np.ascontiguousarray(a).view(np.int64) + (1 << (LOW_BITS - 1))
    bits &= -1 << LOW_BITS
    head = bits.view(np.float64)
    return head, a - head


def two_prod(a: Array, b: Array) -> Pair:
    """Return a × b exactly."""
    p = a * b
    a_head, a_rest = split(a)
    b_head, b_rest = (a_head, a_rest) if b is a else split(b)
    rest = a_head * b_head
    rest -= p
    part = a_head * b_rest
    rest += part
    rest += np.multiply(a_rest, b_head, out=part)
    rest += np.multiply(a_rest, b_rest, out=part)
    return p, rest


def add(a: Pair, b: Pair) -> Pair:
    """Return a + b to 3u²."""
    high, rest = two_sum(a[0], b[0])
    low, dust = two_sum(a[1], b[1])
    high, rest = quick_two_sum(high, rest + low)
    return quick_two_sum(high, dust + rest)


def multiply(a: Pair, b: Pair) -> Pair:
    """Return a × b to 5u²."""
    high, low = two_prod(a[0], b[0])
    return quick_two_sum(high, low + (a[0] * b[1] + a[1] * b[0]))


def divide(a: Pair, b: Pair) -> Pair:
    """Return a ÷ b to 15u² + 56u³."""
    quotient = a[0] / b[0]
    high, low = two_prod(b[0], quotient)
    high, rest = quick_two_sum(high, b[1] * quotient)
    high, low = quick_two_sum(high, rest + low)
    return quick_two_sum(quotient, ((a[0] - high) + (a[1] - low)) / b[0])


def divide_single(a: Pair, b: Array) -> Pair:
    """Return a ÷ b to 3u² for a single float64 b."""
    quotient = a[0] / b
    high, low = two_prod(quotient, b)
    return quick_two_sum(quotient, ((a[0] - high) - low + a[1]) / b)


def total(a: Pair, axis: int) -> tuple[Pair, int]:
    """Return the sum over an axis (kept, of length 1) by a tree of ``add``, and the depth of the tree."""
    high, low = (np.moveaxis(part, axis, 0) for part in a)
    if high.shape[0] == 0:
        high, low = np.zeros((2, 1, *high.shape[1:]))
    depth = 0
    while (length := high.shape[0]) > 1:
        half = length // 2
        paired = add((high[:half], low[:half]), (high[half : 2 * half], low[half : 2 * half]))
        odd = high[2 * half :], low[2 * half :]
        high, low = (
            (np.concatenate(parts) for parts in zip(paired, odd, strict=True)) if length % 2 else paired
        )
        depth += 1
    return (np.moveaxis(high, 0, axis), np.moveaxis(low, 0, axis)), depth


def log_quotient(a: Pair, b: Array) -> Pair:
    """Return log(a ÷ b) to 2^-66, for positive a and b of any size.

    With a/b = 2^k·f, f in [√½, √2], and a table's c ≈ 1/f: log(a/b) = k·log 2 − log c + log(1 + r), where
    r = c·f − 1 is small and comes without cancellation, so that quotients next to 1 lose nothing either.
    """
    b, b_exponent = np.frexp(b)
    m, exponent = np.frexp(a[0])
    low = np.ldexp(a[1], -exponent)
    f = m / b
    # One halving or doubling centres f, so that all quotients near 1 share the cell with c = 1, k = 0.
    step = (f > 2.0 * SQRT_HALF).astype(np.intc) - (f < SQRT_HALF).astype(np.intc)
    m, low, f = (np.ldexp(part, -step) for part in (m, low, f))
    k = (exponent - b_exponent + step).astype(np.float64)
    cell = np.rint(f * 128.0).astype(np.intp) - tables.FIRST_CELL
    c = tables.RECIPROCAL[cell]
    # c has 16 bits and m's pieces 26: both products are exact, and so is the difference of near neighbours.
    head, rest = split(m)
    high, rest = two_sum(c * head - b, c * rest)
    r = divide_single(two_sum(high, rest + c * low), b)
    # Both are multiples of 2^-41 below 2^11: exact.
    high = k * tables.LN2_HIGH + tables.MINUS_LOG_HIGH[cell]
    low = k * tables.LN2_LOW + tables.MINUS_LOG_LOW[cell]
    return _plus_series((high, low), r, -0.5, LOG_TAIL)


def log(a: Pair) -> Pair:
    """Return log a to 2^-66, for positive a of any size."""
    return log_quotient(a, np.ones_like(a[0]))


def exp(a: Pair) -> tuple[Pair, Exponent]:
    """Return (m, k) with exp a = m·2^k and 0.99 < m < 2, to 2^-72, for |a| ≤ 2^15.

    With n the nearest integer to a·64/log 2, j = n mod 64: exp a = 2^(n div 64)·2^(j/64)·exp r.
    """
    n = np.rint(a[0] * tables.STEPS_PER_UNIT)
    # n has 22 bits and each of the first two pieces of the step 31: both products are exact.
    high, rest_1 = two_sum(a[0], -n * tables.STEP_1)
    high, rest_2 = two_sum(high, -n * tables.STEP_2)
    r = two_sum(high, rest_1 + rest_2 + (a[1] - n * tables.STEP_3))
    whole = n.astype(np.int64)
    cell = whole & 63
    one = np.ones_like(n), np.zeros_like(n)
    power = tables.POWER_HIGH[cell], tables.POWER_LOW[cell]
    return multiply(power, _plus_series(one, r, 0.5, EXP_TAIL)), whole >> 6


def _plus_series(start: Pair, r: Pair, half: float, tail: Sequence[float]) -> Pair:
    """Return start + r + half·r² + r³·tail(r): the first three in full, the rest in float64."""
    square = two_prod(r[0], r[0])
    series = np.full_like(r[0], tail[0])
    for coefficient in tail[1:]:
        series *= r[0]
        series += coefficient
    series *= square[0] * r[0]
    high, rest_1 = two_sum(start[0], r[0])
    high, rest_2 = two_sum(high, half * square[0])
    low = r[1] + half * (square[1] + 2.0 * r[0] * r[1]) + start[1]
    return quick_two_sum(high, rest_1 + rest_2 + low + series)


def shifted(a: Array, exponent: NDArray[Any]) -> Array:
    """Return a·2^exponent (exact unless it leaves the range), for |exponent| < 2^31.

    NumPy's ldexp by C ints is a dozen times as fast as that by longs.
    """
    return np.ldexp(a, exponent.astype(np.intc, copy=False))
