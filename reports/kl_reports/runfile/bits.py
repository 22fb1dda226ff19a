"""IEEE values as bit patterns, hex floats and shortest decimals."""

import math
import re
import struct
from dataclasses import dataclass
from fractions import Fraction

# tag: (width, bits of the fraction)
_WIDTHS = {"f64": (64, 52), "f32": (32, 23), "f16": (16, 10), "bf16": (16, 7)}
_FORMATS = {"f64": ">d", "f32": ">f", "f16": ">e", "bf16": ">f"}  # bf16 is the upper half of a float32
_BIG_ENDIAN = struct.Struct(">d")
_DOUBLE = re.compile(r"f64:([0-9a-f]{16})", re.ASCII)
_PATTERN = re.compile(r"([a-z0-9]+):([0-9a-f]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Number:
    """One IEEE value: its dtype, ``f64``, ``f32``, ``f16`` or ``bf16``, and its bits as an unsigned integer."""

    tag: str
    pattern: int

    @property
    def bits(self) -> str:
        """The tagged bit pattern, such as ``f32:3f800000``."""
        width, _ = _WIDTHS[self.tag]
        return f"{self.tag}:{self.pattern:0{width // 4}x}"

    @property
    def value(self) -> float:
        """The value as a Python float; exact, except that a NaN may lose its payload."""
        return _value(self.tag, self.pattern)

    @property
    def hex(self) -> str:
        """The exact value as a C99 hex float without trailing zeros, or its name."""
        if not math.isfinite(self.value):
            return self._name()
        head, _, exponent = self.value.hex().partition("p")
        if "." in head:
            head = head.rstrip("0").rstrip(".")
        return f"{head}p{exponent}"

    @property
    def decimal(self) -> str:
        """The shortest decimal that rounds to this value in its dtype, or its name."""
        value = self.value
        if not math.isfinite(value):
            return self._name()
        if self.tag == "f64" or value == 0.0:
            return repr(value)
        # Values are ordered like their bits, so the neighbours are one bit pattern away.
        below = Fraction(_value(self.tag, self.pattern - 1))
        above_value = _value(self.tag, self.pattern + 1)
        exact = Fraction(value)
        above = Fraction(above_value) if math.isfinite(above_value) else 2 * exact - below
        low, high = sorted(((below + exact) / 2, (above + exact) / 2))
        for digits in range(9):
            text = f"{value:.{digits}e}"
            if low < Fraction(text) < high:
                return repr(float(text))
        return repr(value)

    def _name(self) -> str:
        width, fraction = _WIDTHS[self.tag]
        minus = "minus " if self.pattern >> (width - 1) else ""
        payload = self.pattern & ((1 << fraction) - 1)
        if not payload:
            return f"{minus}infinity"
        quiet = 1 << (fraction - 1)
        kind = "quiet" if payload & quiet else "signalling"
        return f"{minus}NaN ({kind}, payload {payload & (quiet - 1)})"


def ulp(value: float, tag: str) -> float:
    """Return one unit in the last place: the gap between the numbers of a dtype at a finite value.

    Raises
    ------
    ValueError
        The value is not finite, or the tag is unknown.
    """
    if not math.isfinite(value) or tag not in _WIDTHS:
        raise ValueError(f"no unit in the last place of {value!r} in {tag!r}; known dtypes: {', '.join(_WIDTHS)}")
    width, fraction = _WIDTHS[tag]
    lowest = 3 - 2 ** (width - fraction - 2)  # exponent of 0 and of subnormal numbers, as frexp counts
    exponent = math.frexp(value)[1] if value else lowest
    return math.ldexp(1.0, max(exponent, lowest) - 1 - fraction)


def encode(value: float) -> str:
    """Return the bit pattern of a Python float, such as ``f64:3ff0000000000000``."""
    return f"f64:{_BIG_ENDIAN.pack(value).hex()}"


def decode(bits: str) -> Number:
    """Decode a tagged bit pattern.

    Raises
    ------
    ValueError
        The text is not a bit pattern, its tag is unknown, or it has too few or too many digits.
    """
    match = _PATTERN.fullmatch(bits)
    if match is None:
        raise ValueError(f"not a bit pattern: {bits[:40]!r}; example: 'f64:3ff0000000000000'")
    tag, digits = match.groups()
    if tag not in _WIDTHS:
        raise ValueError(f"unknown dtype tag {tag!r}; known: {', '.join(_WIDTHS)}")
    if len(digits) * 4 != _WIDTHS[tag][0]:
        raise ValueError(f"{tag} has {_WIDTHS[tag][0] // 4} hex digits, given {len(digits)}")
    return Number(tag, int(digits, 16))


def to_float(bits: str) -> float:
    """Return ``decode(bits).value``, faster for float64.

    Raises
    ------
    ValueError
        As by :func:`decode`.
    """
    double = _DOUBLE.fullmatch(bits)
    if double is None:
        return decode(bits).value
    value: float
    (value,) = _BIG_ENDIAN.unpack(bytes.fromhex(double[1]))
    return value


def _value(tag: str, pattern: int) -> float:
    data = pattern.to_bytes(_WIDTHS[tag][0] // 8, "big") + (b"\0\0" if tag == "bf16" else b"")
    value: float
    (value,) = struct.unpack(_FORMATS[tag], data)
    return value
