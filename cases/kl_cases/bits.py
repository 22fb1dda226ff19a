"""Floating-point numbers as bit patterns, because decimal notation does not always restore the same number."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference.dtype import Dtype

# Format → (tag, hexadecimal digits). bfloat16 is the upper half of a float32.
_TAGS = {Dtype.FLOAT64: ("f64", 16), Dtype.FLOAT32: ("f32", 8), Dtype.FLOAT16: ("f16", 4), Dtype.BFLOAT16: ("bf16", 4)}
_FORMATS = {tag: (dtype, digits) for dtype, (tag, digits) in _TAGS.items()}
_PATTERN = re.compile(r"(f64|f32|f16|bf16):([0-9a-f]+)")
_KNOWN = ", ".join(f"{tag}:{'0' * digits}" for tag, digits in _TAGS.values())


def encode(values: NDArray[Any], dtype: Dtype) -> list[str]:
    """Round numbers to a format and return their bit patterns, such as ``"f32:3dcccccd"``.

    Parameters
    ----------
    values
        Array of any shape.
    dtype
        The format; numbers that it cannot represent are rounded to nearest.

    Returns
    -------
    list of str
        One pattern per element, in C order. A NaN keeps its sign and payload as far as the format allows.
    """
    tag, digits = _TAGS[dtype]
    carrier = np.ascontiguousarray(dtype.round(values)).ravel()
    patterns = carrier.view(np.dtype(f"u{carrier.dtype.itemsize}"))
    if dtype is Dtype.BFLOAT16:
        patterns = patterns >> 16
    return [f"{tag}:{int(pattern):0{digits}x}" for pattern in patterns]


def decode(patterns: Sequence[str]) -> tuple[NDArray[Any], Dtype]:
    """Return the numbers and the format of a list of bit patterns.

    Parameters
    ----------
    patterns
        At least one, all of one format.

    Returns
    -------
    tuple
        (1-D array in ``dtype.carrier``, dtype).

    Raises
    ------
    ValueError
        The list is empty, a pattern is malformed, or the formats differ; the message contains the pattern.
    """
    if not patterns:
        raise ValueError("no bit pattern given, so the format is unknown")
    numbers: list[int] = []
    tags: set[str] = set()
    for pattern in patterns:
        match = _PATTERN.fullmatch(pattern)
        if match is None or len(match[2]) != _FORMATS[match[1]][1]:
            raise ValueError(f"malformed bit pattern {pattern!r}; known: {_KNOWN}")
        tags.add(match[1])
        numbers.append(int(match[2], 16))
    if len(tags) > 1:
        raise ValueError(f"bit patterns of several formats in one array: {', '.join(sorted(tags))}")
    dtype, _ = _FORMATS[tags.pop()]
    unsigned = np.dtype(f"u{dtype.carrier.itemsize}")
    whole = np.array(numbers, dtype=np.uint64)
    if dtype is Dtype.BFLOAT16:
        whole = whole << np.uint64(16)
    return whole.astype(unsigned).view(dtype.carrier), dtype
