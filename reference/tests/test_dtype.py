"""Floating-point formats, and rounding to them."""

import numpy as np
import pytest
from numpy.typing import NDArray

from kl_reference import Dtype


def bfloat16_numbers() -> NDArray[np.float64]:
    """Return every finite bfloat16 from 0 up, made by shifting bits."""
    patterns = np.arange(0x7F80, dtype=np.uint32) << 16
    return patterns.view(np.float32).astype(np.float64)


@pytest.mark.parametrize("dtype", Dtype)
def test_characteristics(dtype: Dtype) -> None:
    """Unit roundoff, range and carrier are those of the format."""
    carrier = np.finfo(dtype.carrier)
    if dtype is not Dtype.BFLOAT16:
        assert dtype.roundoff == carrier.epsneg
        assert dtype.least_normal == carrier.smallest_normal
        assert dtype.least_subnormal == carrier.smallest_subnormal
        assert dtype.largest == carrier.max
    else:
        every = bfloat16_numbers()
        assert dtype.largest == every[-1]
        assert dtype.least_subnormal == every[1]
        assert dtype.least_normal == every[128]
        assert dtype.roundoff == (every[-1] - every[-2]) / 2.0 / 2.0**127


@pytest.mark.parametrize("dtype", Dtype)
def test_rounding_is_idempotent(dtype: Dtype) -> None:
    """Numbers of the format are not changed, −0, infinities and NaN included."""
    values = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, dtype.largest, dtype.least_subnormal])
    rounded = dtype.round(values)
    assert rounded.dtype == dtype.carrier
    np.testing.assert_array_equal(rounded, values.astype(dtype.carrier))
    np.testing.assert_array_equal(np.signbit(rounded), np.signbit(values))
    noise = dtype.round(np.random.default_rng(0).normal(size=1000))
    np.testing.assert_array_equal(dtype.round(noise), noise)


def test_every_bfloat16_is_kept() -> None:
    """Every bfloat16 is its own rounding."""
    every = bfloat16_numbers()
    np.testing.assert_array_equal(Dtype.BFLOAT16.round(every), every)
    np.testing.assert_array_equal(Dtype.BFLOAT16.round(-every), -every)


def test_every_tie_goes_to_even() -> None:
    """Halfway between two bfloat16 the even one is chosen, and next to the midpoint the nearer one."""
    every = bfloat16_numbers()
    low, high = every[:-1], every[1:]
    middle = (low + high) / 2.0
    even = np.where(np.arange(low.size) % 2 == 0, low, high)
    np.testing.assert_array_equal(Dtype.BFLOAT16.round(middle), even)
    np.testing.assert_array_equal(Dtype.BFLOAT16.round(np.nextafter(middle, np.inf)), high)
    np.testing.assert_array_equal(Dtype.BFLOAT16.round(np.nextafter(middle, -np.inf)), low)


def test_overflow_gives_infinity() -> None:
    """From half a unit above the largest number, rounding gives an infinity."""
    for dtype in Dtype:
        edge = dtype.largest * (1.0 + dtype.roundoff / 2.0)
        np.testing.assert_array_equal(dtype.round(np.array([edge, -edge])), [dtype.largest, -dtype.largest])
        if dtype is not Dtype.FLOAT64:
            over = dtype.largest * (1.0 + dtype.roundoff)
            np.testing.assert_array_equal(dtype.round(np.array([over, -over])), [np.inf, -np.inf])


def test_bfloat16_is_rounded_once() -> None:
    """A float64 just above a tie is not first rounded to the tie in float32."""
    assert Dtype.BFLOAT16.round(np.array(1.0 + 2.0**-8 + 2.0**-40)) == 1.0 + 2.0**-7


def test_names() -> None:
    """A format is found by its name, or by an array's dtype; an unknown name is rejected with the known ones."""
    for dtype in Dtype:
        assert Dtype.named(dtype.label) is dtype
    assert Dtype.of(np.zeros(1, dtype=np.float16)) is Dtype.FLOAT16
    for unknown in (np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.bool_), np.zeros(1, dtype=object)):
        with pytest.raises(ValueError, match="known: float64, float32, float16, bfloat16"):
            Dtype.of(unknown)
