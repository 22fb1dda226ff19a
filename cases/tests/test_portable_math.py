"""Logarithms and exponentials are accurate, and the same on every machine."""

import hashlib
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest

from kl_cases.portable_math import Array, exp, log, log_sum_exp


def _spread() -> Array:
    """Return positive numbers of every magnitude, many of them near 1."""
    rng = np.random.Generator(np.random.PCG64(1))
    bits = rng.random(2000) * 2046.0
    wide = np.ldexp(1.0 + rng.random(2000), (bits - 1022.0).astype(np.intc))
    return np.concatenate([wide, 1.0 + np.ldexp(rng.random(1000) - 0.5, -np.arange(1000) % 50)])


def _worst_ulps(got: Array, x: Array, exact: Callable[[Any], Any]) -> float:
    """Return the largest error of a function's values, in units in the last place."""
    worst = 0.0
    with mpmath.workdps(40):
        for argument, value in zip(x, got, strict=True):
            error = abs(mpmath.mpf(float(value)) - exact(mpmath.mpf(float(argument))))
            worst = max(worst, float(error / mpmath.mpf(float(np.spacing(abs(value))))))
    return worst


def test_log_is_within_three_ulp() -> None:
    """The logarithm is within three units in the last place of the exact one."""
    x = _spread()
    assert _worst_ulps(log(x), x, mpmath.log) <= 3.0


def test_exp_is_within_two_ulp() -> None:
    """The exponential is within two units in the last place of the exact one, subnormal results included."""
    rng = np.random.Generator(np.random.PCG64(2))
    x = np.concatenate([rng.random(1500) * 1454.0 - 745.0, rng.random(1500) - 0.5])
    assert _worst_ulps(exp(x), x, mpmath.exp) <= 2.0


@pytest.mark.parametrize(
    ("x", "expected"), [(0.0, -np.inf), (-0.0, -np.inf), (1.0, 0.0), (np.inf, np.inf), (-1.0, np.nan), (np.nan, np.nan)]
)
def test_log_at_the_edges(x: float, expected: float) -> None:
    """The logarithm of 0 is −∞, of 1 is 0, of a negative number NaN."""
    np.testing.assert_array_equal(log(np.array([x])), [expected])


@pytest.mark.parametrize(
    ("x", "expected"), [(-np.inf, 0.0), (0.0, 1.0), (np.inf, np.inf), (-800.0, 0.0), (800.0, np.inf), (np.nan, np.nan)]
)
def test_exp_at_the_edges(x: float, expected: float) -> None:
    """The exponential of −∞ is 0, of 0 is 1, and of too large a number ∞."""
    np.testing.assert_array_equal(exp(np.array([x])), [expected])


def test_the_bits_are_pinned() -> None:
    """These bits are the same on every machine; other bits would be other problems."""
    x = _spread()
    digest = hashlib.blake2b(log(x).astype("<f8").tobytes() + exp(log(x) / 2.0).astype("<f8").tobytes())
    assert digest.hexdigest()[:16] == "fe204373548becf9"


def test_log_sum_exp_of_far_logits() -> None:
    """Logits of ±1e4 neither overflow nor underflow."""
    values = np.array([[1e4, 1e4], [-1e4, -1e4], [0.0, -np.inf], [-np.inf, -np.inf]])
    half = float(log(np.array([2.0]))[0])
    np.testing.assert_allclose(log_sum_exp(values, -1)[:, 0], [1e4 + half, -1e4 + half, 0.0, -np.inf])


def test_log_sum_exp_keeps_a_nan_in_its_row() -> None:
    """NaN in a row gives NaN in that row and nowhere else."""
    result = log_sum_exp(np.array([[0.0, np.nan], [0.0, 0.0]]), -1)
    assert np.isnan(result[0, 0])
    assert np.isfinite(result[1, 0])
