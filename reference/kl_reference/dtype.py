"""The floating-point formats of inputs and outputs, and rounding to them."""

from __future__ import annotations

from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Dtype(Enum):
    """A binary floating-point format with subnormals, infinities and NaN.

    The value of a member is (name, significand bits with the hidden one, exponent of the least normal number,
    exponent of the largest finite number).

    Source: IEEE 754-2019 table 3.5 for binary64, binary32 and binary16; bfloat16 is binary32 with 8 significand bits.
    """

    FLOAT64 = ("float64", 53, -1022, 1023)
    FLOAT32 = ("float32", 24, -126, 127)
    FLOAT16 = ("float16", 11, -14, 15)
    BFLOAT16 = ("bfloat16", 8, -126, 127)

    label: str
    """The name that frameworks use, such as ``"float32"``."""
    roundoff: float
    """Unit roundoff u = 2^-bits: the largest relative error of one rounding to nearest."""
    least_normal: float
    """The smallest positive normal number."""
    least_subnormal: float
    """The smallest positive number."""
    largest: float
    """The largest finite number."""
    carrier: np.dtype[Any]
    """The NumPy dtype in which every number of this format is stored exactly (bfloat16 is stored in float32)."""

    def __init__(self, label: str, bits: int, least: int, most: int) -> None:
        self.label = label
        self.roundoff = float(2.0**-bits)
        self.least_normal = float(2.0**least)
        self.least_subnormal = float(2.0 ** (least - bits + 1))
        self.largest = float((2.0 - 2.0 ** (1 - bits)) * 2.0**most)
        self.carrier = np.dtype("float32" if label == "bfloat16" else label)

    def round(self, values: NDArray[Any]) -> NDArray[Any]:
        """Round to nearest, ties to even, into the carrier dtype; overflow gives an infinity.

        Parameters
        ----------
        values
            Real floating-point array of any shape.

        Returns
        -------
        NDArray
            Array of the same shape in ``self.carrier``, every element a number of this format.
        """
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if self is not Dtype.BFLOAT16:
                return np.asarray(values).astype(self.carrier)
            # Round once, directly from float64: rounding to float32 first would round twice.
            wide = np.asarray(values, dtype=np.float64)
            _, bits, e_min, _ = self.value
            _, exponent = np.frexp(wide)
            quantum = np.maximum(exponent - bits, e_min - bits + 1)
            rounded = np.ldexp(np.rint(np.ldexp(wide, -quantum)), quantum)
            rounded = np.where(np.isfinite(wide), rounded, wide)
            rounded = np.where(np.abs(rounded) > self.largest, np.copysign(np.inf, rounded), rounded)
            return np.asarray(rounded, dtype=np.float32)

    @classmethod
    def named(cls, name: str) -> Dtype:
        """Return the format with the given name.

        Raises
        ------
        ValueError
            The name is unknown; the message lists the known ones.
        """
        for dtype in cls:
            if dtype.label == name:
                return dtype
        known = ", ".join(dtype.label for dtype in cls)
        raise ValueError(f"unknown dtype {name!r}; known: {known}")

    @classmethod
    def of(cls, array: NDArray[Any]) -> Dtype:
        """Return the format of an array's own dtype (``ml_dtypes.bfloat16`` included)."""
        return cls.named(str(array.dtype))
