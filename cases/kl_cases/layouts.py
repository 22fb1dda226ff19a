"""The same elements, lying otherwise in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Layout = Callable[[Array], Array]

# What lies between the elements: whoever reads it shows it.
POISON = np.nan


def contiguous(values: Array) -> Array:
    """One element after the other, classes fastest (C order)."""
    return np.array(values, order="C")


def transposed(values: Array) -> Array:
    """Classes slowest (Fortran order)."""
    return np.array(values, order="F")


def strided(values: Array) -> Array:
    """Every second element of a buffer twice as wide."""
    if not values.ndim:
        return contiguous(values)
    return _cut(values, (*values.shape[:-1], 2 * values.shape[-1]), np.s_[..., ::2])


def offset(values: Array) -> Array:
    """Three elements into a longer buffer, so that no vector load is aligned."""
    size = math.prod(values.shape)
    buffer = np.full(size + 6, POISON, dtype=values.dtype)
    view = buffer[3 : 3 + size].reshape(values.shape)
    view[...] = values
    return view


def padded_rows(values: Array) -> Array:
    """Each row starts where a longer row would."""
    if not values.ndim:
        return contiguous(values)
    return _cut(values, (*values.shape[:-1], values.shape[-1] + 3), np.s_[..., : values.shape[-1]])


def expanded(values: Array) -> Array:
    """One row in memory, shown as all rows (stride 0).

    ``Pair.take_rows`` with a repeated index makes equal rows.

    Raises
    ------
    ValueError
        The entries along axis 0 are not all the same.
    """
    if not values.ndim:
        return contiguous(values)
    first = np.array(values[:1])
    bits = np.dtype(f"u{values.dtype.itemsize}")
    if (np.ascontiguousarray(values).view(bits) != first.view(bits)).any():
        raise ValueError(f"an expanded layout needs equal rows; the array of shape {values.shape} has others")
    return np.lib.stride_tricks.as_strided(first, values.shape, (0, *first.strides[1:]))


def permuted_3d(values: Array) -> Array:
    """Axis 1 fastest, as a channels-first picture stored channels last."""
    if values.ndim < 2:
        return contiguous(values)
    return np.moveaxis(np.array(np.moveaxis(values, 1, -1), order="C"), -1, 1)


def among_nan(values: Array) -> Array:
    """In the midst of NaN: one element more at both ends of every axis."""
    return _amid(values, POISON)


def among_largest(values: Array) -> Array:
    """In the midst of the largest finite numbers, which a factor 0 silences and NaN would not be."""
    return _amid(values, float(np.finfo(values.dtype).max))


def _amid(values: Array, poison: float) -> Array:
    buffer = np.full([length + 2 for length in values.shape] or [3], poison, dtype=values.dtype)
    view: Array = buffer[1:-1].reshape(()) if not values.ndim else buffer[(slice(1, -1),) * values.ndim]
    view[...] = values
    return view


def _cut(values: Array, shape: tuple[int, ...], key: Any) -> Array:
    buffer = np.full(shape, POISON, dtype=values.dtype)
    view: Array = buffer[key]
    view[...] = values
    return view


LAYOUTS: Mapping[str, Layout] = {
    "contiguous": contiguous,
    "transposed": transposed,
    "strided": strided,
    "offset": offset,
    "padded-rows": padded_rows,
    "expanded": expanded,
    "permuted-3d": permuted_3d,
    "among-nan": among_nan,
    "among-largest": among_largest,
}
