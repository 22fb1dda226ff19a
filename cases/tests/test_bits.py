"""Bit patterns restore every number."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_cases.bits import decode, encode
from kl_reference.dtype import Dtype

EDGES = np.array([0.0, -0.0, 1.0, -1.0, np.inf, -np.inf])


@pytest.mark.parametrize("dtype", Dtype)
def test_edges_are_restored(dtype: Dtype) -> None:
    """Zeros of both signs, infinities, and the ends of the range are restored bit for bit."""
    numbers = np.concatenate([EDGES, [dtype.least_subnormal, -dtype.least_normal, dtype.largest]])
    back, found = decode(encode(numbers, dtype))
    assert found is dtype
    np.testing.assert_array_equal(back.astype(np.float64), numbers)
    np.testing.assert_array_equal(np.signbit(back), np.signbit(numbers))


@pytest.mark.parametrize("dtype", Dtype)
def test_nan_is_restored(dtype: Dtype) -> None:
    """NaN is encoded as a pattern, because JSON has no NaN."""
    back, _ = decode(encode(np.array([np.nan]), dtype))
    assert np.isnan(back[0])


@given(st.lists(st.floats(), min_size=1), st.sampled_from(Dtype))
def test_every_number_is_restored_rounded(numbers: list[float], dtype: Dtype) -> None:
    """Decoding gives the number rounded to the format, and encoding it again changes nothing."""
    patterns = encode(np.array(numbers), dtype)
    back, _ = decode(patterns)
    np.testing.assert_array_equal(back, dtype.round(np.array(numbers)))
    assert encode(back, dtype) == patterns


def test_known_patterns() -> None:
    """One tenth is 3dcccccd in float32 and 3dcd in bfloat16."""
    tenth = np.array([0.1])
    assert encode(tenth, Dtype.FLOAT32) == ["f32:3dcccccd"]
    assert encode(tenth, Dtype.BFLOAT16) == ["bf16:3dcd"]
    assert encode(tenth, Dtype.FLOAT16) == ["f16:2e66"]
    assert encode(tenth, Dtype.FLOAT64) == ["f64:3fb999999999999a"]


@pytest.mark.parametrize("pattern", ["0.1", "f32:3dcccc", "f32:3DCCCCCD", "f8:00", "f32:nan", ""])
def test_a_malformed_pattern_is_named(pattern: str) -> None:
    """The message contains the given pattern and the known ones."""
    with pytest.raises(ValueError, match="malformed bit pattern") as error:
        decode([pattern])
    assert repr(pattern) in str(error.value)
    assert "bf16:0000" in str(error.value)


def test_formats_do_not_mix() -> None:
    """An array has one format."""
    with pytest.raises(ValueError, match="several formats"):
        decode(["f32:00000000", "f64:0000000000000000"])


def test_an_empty_list_has_no_format() -> None:
    """The format of an empty list is unknown."""
    with pytest.raises(ValueError, match="no bit pattern"):
        decode([])
