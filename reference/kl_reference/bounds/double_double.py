"""Double-double arithmetic: a number is an unevaluated sum of two float64, accurate to about 100 bits.

Only ``+ − × ÷``, ``frexp``, ``ldexp``, ``rint`` and bit masks are used, one ufunc per operation: the compiler cannot
contract operations and no libm is called, so the bits are the same on every IEEE 754 machine. Arguments must be
finite and far from overflow; the caller ensures this. Bounds are relative, in u = 2^-53, and hold if nothing
underflows.

Source: Joldes, Muller, Popescu, "Tight and rigorous error bounds for basic building blocks of double-word
arithmetic", ACM TOMS 44 (2017), algorithms 1, 2, 4, 6, 7, 8, 10, 15, 17, of which the tenth has a better bound in
Muller, Rideau, "Formalization of double-word arithmetic, and comments on …", ACM TOMS 48 (2022); tables as in
Tang, "Table-driven implementation of the logarithm function", ACM TOMS 16 (1990).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import tables
from kl_reference.enclosure import Array

Pair = tuple[Array, Array]
Exponent = NDArray[np.intc]
"""C ints: NumPy's ldexp is about twelve times as fast with them as with longs."""

SQRT_HALF: Final = 0.7071067811865476
LOW_BITS: Final = 27
LOG_TAIL: Final = tuple((-1.0) ** (n - 1) / n for n in range(11, 2, -1))
EXP_TAIL: Final = tuple(1.0 / n for n in (3628800, 362880, 40320, 5040, 720, 120, 24, 6))

ZEROS: Final = np.zeros(())
"""Stands for zeros of any shape: operations skip the work for an array that is this very object."""
ZEROS.flags.writeable = False

# Adding this to f leaves the nearest multiple of 1/128 in the last bits; below, the same bits for f = 0.
_ROUNDER: Final = np.full((), 1.5 * 2.0**45)
_ROUNDED_ZERO: Final = int(_ROUNDER.view(np.int64))


def full(a: Array, like: Array) -> Array:
    """Return ``a``, or an array of zeros of the shape of ``like`` if ``a`` is ``ZEROS``."""
    return np.zeros(like.shape) if a is ZEROS else a


def two_sum(a: Array, b: Array) -> Pair:
    """Return a + b exactly."""
    s = a + b
    t = s - a
    rest = s - t
    # In place: an array that stays in the cache costs half the time.
    rest = np.subtract(a, rest, out=rest)
    rest += np.subtract(b, t, out=t)
    return s, rest


def quick_two_sum(a: Array, b: Array) -> Pair:
    """Return a + b exactly, given |a| ≥ |b| or a = 0."""
    s = a + b
    rest = s - a
    return s, np.subtract(b, rest, out=rest)


def split(a: Array) -> Pair:
    """Return a exactly as a head and a rest of at most 26 bits each (no overflow, unlike Veltkamp's splitting)."""
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
    rest += part if b is a else np.multiply(a_rest, b_head, out=part)
    rest += np.multiply(a_rest, b_rest, out=part)
    return p, rest


def add(a: Pair, b: Pair) -> Pair:
    """Return a + b to 3u²; exactly for two single float64 numbers."""
    high, rest = two_sum(a[0], b[0])
    if a[1] is ZEROS or b[1] is ZEROS:
        low = b[1] if a[1] is ZEROS else a[1]
        return (high, rest) if low is ZEROS else quick_two_sum(high, np.add(rest, low, out=rest))
    low, dust = two_sum(a[1], b[1])
    high, rest = quick_two_sum(high, np.add(rest, low, out=rest))
    return quick_two_sum(high, np.add(dust, rest, out=dust))


def multiply(a: Pair, b: Pair) -> Pair:
    """Return a × b to 5u²; exactly for two single float64 numbers."""
    high, low = two_prod(a[0], b[0])
    if a[1] is ZEROS and b[1] is ZEROS:
        return high + low, low  # 0 for −0
    if a[1] is ZEROS or b[1] is ZEROS:
        cross = a[0] * b[1] if a[1] is ZEROS else a[1] * b[0]
    else:
        cross = a[0] * b[1]
        cross += a[1] * b[0]
    return quick_two_sum(high, np.add(low, cross, out=cross))


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
    """Return the sum over an axis (kept with length 1) by a binary tree of ``add``, and the depth of the tree."""
    high, low = (part.swapaxes(axis, 0) for part in a)
    if high.shape[0] == 0:
        high, low = np.zeros((2, 1, *high.shape[1:]))
    depth = 0
    while (length := high.shape[0]) > 1:
        half = length // 2
        paired = add((high[:half], low[:half]), (high[half : 2 * half], low[half : 2 * half]))
        odd = high[2 * half :], low[2 * half :]
        high, low = (np.concatenate(parts) for parts in zip(paired, odd, strict=True)) if length % 2 else paired
        depth += 1
    return (high.swapaxes(0, axis), low.swapaxes(0, axis)), depth


def log(a: Pair) -> Pair:
    """Return log a to 2^-66, for positive a of any size.

    With a = 2^k·f, f in [√½, √2], and c ≈ 1/f from a table: log a = k·log 2 − log c + log(1 + r), where
    r = c·f − 1 is small and computed without cancellation, so that numbers next to 1 are accurate, too.
    """
    m, exponent = np.frexp(a[0])
    doubled = (m <= SQRT_HALF).astype(np.intc)
    f, k = np.ldexp(m, doubled), np.subtract(exponent, doubled, out=exponent)
    cell = _cell(f)
    c = tables.RECIPROCAL[cell]
    # c has 16 bits and each piece of f 26: both products are exact, as is the difference of close numbers.
    head, rest = split(f)
    head *= c
    head -= 1.0
    rest *= c
    # If the second were larger than the first, both would be small and their sum exact.
    r = quick_two_sum(head, rest)
    if a[1] is not ZEROS:
        r = two_sum(r[0], r[1] + c * np.ldexp(a[1], -k))
    return _plus_series(_table_log(k, cell), r, -0.5, LOG_TAIL)


def log_quotient(a: Pair, b: Array) -> Pair:
    """Return log(a ÷ b) to 2^-66, for positive a and b of any size.

    As in ``log``, with f the quotient of two numbers m and b between ½ and 2, and r = (c·m − b)/b, so that the
    result is accurate for a ≈ b.
    """
    b, b_exponent = np.frexp(b)
    m, k = np.frexp(a[0])
    f = m / b
    # One halving or doubling centres f, so that all quotients near 1 share the cell with c = 1, k = 0.
    step = (f < SQRT_HALF).astype(np.intc) - (f > 2.0 * SQRT_HALF).astype(np.intc)
    m, f = np.ldexp(m, step), np.ldexp(f, step)
    k -= step
    cell = _cell(f)
    c = tables.RECIPROCAL[cell]
    head, rest = split(m)
    head *= c
    head -= b
    rest *= c
    r = quick_two_sum(head, rest)
    if a[1] is not ZEROS:
        r = two_sum(r[0], r[1] + c * np.ldexp(a[1], -k))
    k -= b_exponent
    r = divide_single(r, b)
    return _plus_series(_table_log(k, cell), r, -0.5, LOG_TAIL)


def exp(a: Pair) -> tuple[Pair, Exponent]:
    """Return (m, k) with exp a = m·2^k and 0.99 < m < 2, to 2^-72, for |a| ≤ 2^15.

    With n the nearest integer to a·64/log 2, j = n mod 64: exp a = 2^(n div 64)·2^(j/64)·exp r.
    """
    n = a[0] * tables.STEPS_PER_UNIT
    n = np.rint(n, out=n)
    # n has 22 bits and each of the first two pieces of the step 31: both products are exact. So is the first
    # difference, of close numbers; the second is exact unless its first number is the larger one.
    high, rest = quick_two_sum(a[0] - n * tables.STEP_1, n * -tables.STEP_2)
    low = n * -tables.STEP_3
    if a[1] is not ZEROS:
        low += a[1]
    r = two_sum(high, np.add(rest, low, out=rest))
    whole = n.astype(np.intc)
    cell = whole & 63
    power = tables.POWER_HIGH[cell], tables.POWER_LOW[cell]
    m = multiply(power, _plus_series((np.ones(()), ZEROS), r, 0.5, EXP_TAIL))
    return m, np.right_shift(whole, 6, out=whole)


def _cell(f: Array) -> NDArray[np.int64]:
    """Return the table index of the nearest multiple of 1/128 (ties to even)."""
    cell: NDArray[np.int64] = (f + _ROUNDER).view(np.int64)
    cell -= _ROUNDED_ZERO + tables.FIRST_CELL
    return cell


def _table_log(k: Exponent, cell: NDArray[np.int64]) -> Pair:
    """Return k·log 2 − log c."""
    power = k.astype(np.float64)
    # Both are multiples of 2^-41 below 2^11: exact.
    high = power * tables.LN2_HIGH
    high += tables.MINUS_LOG_HIGH[cell]
    power *= tables.LN2_LOW
    power += tables.MINUS_LOG_LOW[cell]
    return high, power


def _plus_series(start: Pair, r: Pair, half: float, tail: Sequence[float]) -> Pair:
    """Return start + r + half·r² + r³·tail(r): the first three terms in double-double, the rest in float64.

    The start is 0 or larger than r, and the sum of both larger than r²/2 (or 0).
    """
    square = two_prod(r[0], r[0])
    series = r[0] * tail[0]
    series += tail[1]
    for coefficient in tail[2:]:
        series *= r[0]
        series += coefficient
    high, rest = quick_two_sum(start[0], r[0])
    low = r[0] * 2.0
    low *= r[1]
    low += square[1]
    low *= half
    low += r[1]
    if start[1] is not ZEROS:
        low += start[1]
    high, more = quick_two_sum(high, half * square[0])
    rest += more
    rest += low
    cube = np.multiply(square[0], r[0], out=more)
    series *= cube
    rest += series
    return quick_two_sum(high, rest)
