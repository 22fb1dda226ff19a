"""Memory layouts of an array: the same elements at other addresses."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference.convention import Side

Array = NDArray[Any]
Layout = Callable[[Array], Array]

# Value of the memory between the elements: reading it makes the answer NaN.
POISON = np.nan


def contiguous(values: Array) -> Array:
    """C order, the class axis varies fastest."""
    return np.array(values, order="C")


def transposed(values: Array) -> Array:
    """Fortran order, the class axis varies slowest."""
    return np.array(values, order="F")


def strided(values: Array) -> Array:
    """Every second element of a buffer twice as wide."""
    if not values.ndim:
        return contiguous(values)
    return _in_buffer(values, (*values.shape[:-1], 2 * values.shape[-1]), np.s_[..., ::2])


def offset(values: Array) -> Array:
    """Three elements after the start of a longer buffer, so that no vector load is aligned."""
    size = math.prod(values.shape)
    buffer = np.full(size + 6, POISON, dtype=values.dtype)
    view = buffer[3 : 3 + size].reshape(values.shape)
    view[...] = values
    return view


def padded_rows(values: Array) -> Array:
    """Each row is followed by three unused elements."""
    if not values.ndim:
        return contiguous(values)
    return _in_buffer(values, (*values.shape[:-1], values.shape[-1] + 3), np.s_[..., : values.shape[-1]])


def expanded(values: Array) -> Array:
    """One row in memory, repeated for all rows by a stride of 0.

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
        raise ValueError(f"an expanded layout needs equal rows; the rows of the array of shape {values.shape} differ")
    return np.lib.stride_tricks.as_strided(first, values.shape, (0, *first.strides[1:]))


def permuted_3d(values: Array) -> Array:
    """Axis 1 varies fastest, as in a channels-first image stored channels last."""
    if values.ndim < 2:
        return contiguous(values)
    return np.moveaxis(np.array(np.moveaxis(values, 1, -1), order="C"), -1, 1)


def among_nan(values: Array) -> Array:
    """Surrounded by NaN: one element more at both ends of every axis."""
    return _surrounded(values, POISON)


def among_largest(values: Array) -> Array:
    """Surrounded by the largest finite numbers, which a factor 0 hides and NaN would not."""
    return _surrounded(values, float(np.finfo(values.dtype).max))


def _surrounded(values: Array, poison: float) -> Array:
    buffer = np.full([length + 2 for length in values.shape] or [3], poison, dtype=values.dtype)
    view: Array = buffer[1:-1].reshape(()) if not values.ndim else buffer[(slice(1, -1),) * values.ndim]
    view[...] = values
    return view


def _in_buffer(values: Array, shape: tuple[int, ...], key: Any) -> Array:
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


def side_layouts(layout: str) -> dict[Side, str]:
    """Return the layout of each operand: of ``offset/strided`` the model's is the second."""
    target, _, model = layout.partition("/")
    return {Side.TARGET: target, Side.MODEL: model or target}
