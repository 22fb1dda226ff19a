"""Numbers are stored as bits and shown in forms that a reader can check."""

import math
import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_reports.runfile.bits import Number, decode, encode, to_float, ulp

WIDTHS = {"f64": 64, "f32": 32, "f16": 16, "bf16": 16}
NUMBERS = st.sampled_from(sorted(WIDTHS)).flatmap(
    lambda tag: st.builds(Number, st.just(tag), st.integers(0, 2 ** WIDTHS[tag] - 1))
)


@given(st.floats())
def test_a_float_survives_its_bit_pattern(value: float) -> None:
    """A Python float, NaN and infinities included, is decoded from its bit pattern bit for bit."""
    assert struct.pack(">d", decode(encode(value)).value) == struct.pack(">d", value)


@given(NUMBERS)
def test_a_bit_pattern_survives_decoding(number: Number) -> None:
    """A decoded pattern is encoded as the same pattern, for every dtype."""
    assert decode(number.bits) == number


@given(NUMBERS)
def test_both_decoders_return_the_same_value(number: Number) -> None:
    """to_float() returns the value of decode(), in every dtype."""
    assert struct.pack(">d", to_float(number.bits)) == struct.pack(">d", decode(number.bits).value)
    with pytest.raises(ValueError, match="hex digits"):
        to_float(f"{number.bits}0")


@given(NUMBERS)
def test_the_decimal_identifies_the_value(number: Number) -> None:
    """No value of the dtype is nearer to the decimal, and the hex float is exact."""
    value = number.value
    if not math.isfinite(value):
        return
    assert float.fromhex(number.hex) == value
    shown = Fraction(number.decimal)
    magnitude = number.pattern & ~(1 << (WIDTHS[number.tag] - 1))
    for neighbour in (magnitude - 1, magnitude + 1):
        if neighbour >= 0:
            other = abs(Number(number.tag, neighbour).value)
            if math.isfinite(other):
                assert abs(abs(shown) - Fraction(other)) >= abs(abs(shown) - abs(Fraction(value)))


@pytest.mark.parametrize(
    ("bits", "hexadecimal", "decimal"),
    [
        ("f64:3ff0000000000000", "0x1p+0", "1.0"),
        ("f32:3dcccccd", "0x1.99999ap-4", "0.1"),
        ("bf16:3dcd", "0x1.9ap-4", "0.1"),
        ("f16:0001", "0x1p-24", "6e-08"),
        ("f64:8000000000000000", "-0x0p+0", "-0.0"),
        ("f32:7f7fffff", "0x1.fffffep+127", "3.4028235e+38"),
        ("f32:ff800000", "minus infinity", "minus infinity"),
        ("f32:7fc00005", "NaN (quiet, payload 5)", "NaN (quiet, payload 5)"),
        ("bf16:ff81", "minus NaN (signalling, payload 1)", "minus NaN (signalling, payload 1)"),
    ],
)
def test_known_values_have_their_usual_form(bits: str, hexadecimal: str, decimal: str) -> None:
    """One tenth is 0.1 in every dtype, and NaN and infinities have names."""
    assert (decode(bits).hex, decode(bits).decimal) == (hexadecimal, decimal)


@pytest.mark.parametrize("bits", ["", "1.0", "f32", "f32:3f8", "f8:00", "f32:3F800000", "f32:3f800000\n"])
def test_an_invalid_bit_pattern_is_refused(bits: str) -> None:
    """Printed numbers, unknown tags and patterns of the wrong length are refused."""
    with pytest.raises(ValueError, match=r"bit pattern|unknown dtype tag|hex digits"):
        decode(bits)


@given(NUMBERS)
def test_an_ulp_is_the_distance_to_the_next_number(number: Number) -> None:
    """Adding one to the bits of a finite number moves it by one ulp, away from 0."""
    value = number.value
    above = Number(number.tag, number.pattern + 1).value if math.isfinite(value) else math.nan
    if math.isfinite(above):
        assert abs(Fraction(above) - Fraction(value)) == Fraction(ulp(value, number.tag))


@pytest.mark.parametrize(("value", "tag"), [(math.inf, "f32"), (math.nan, "f64"), (1.0, "int8")])
def test_infinity_and_nan_have_no_ulp(value: float, tag: str) -> None:
    """The message has the value and the dtype."""
    with pytest.raises(ValueError, match=f"{value!r} in '{tag}'"):
        ulp(value, tag)
