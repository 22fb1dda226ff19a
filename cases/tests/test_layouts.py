"""A layout changes where the elements lie, and nothing else."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kl_cases.layouts import LAYOUTS, contiguous, expanded
from kl_reference.dtype import Dtype

SHAPES = [(), (1,), (5,), (1, 1), (3, 5), (2, 3, 4), (2, 3, 4, 5), (3, 1, 2), (0, 3)]


def _values(shape: tuple[int, ...], dtype: Dtype, *, equal_rows: bool) -> NDArray[Any]:
    count = int(np.prod(shape, dtype=int))
    values = np.arange(count, dtype=dtype.carrier).reshape(shape)
    if equal_rows and values.ndim and values.shape[0]:
        values[...] = values[:1]
    return values


def _buffer(view: NDArray[Any]) -> NDArray[Any]:
    while isinstance(view.base, np.ndarray):
        view = view.base
    return view


@pytest.mark.parametrize(("name", "shape", "dtype"), list(product(LAYOUTS, SHAPES, Dtype)))
def test_every_layout_keeps_the_elements(name: str, shape: tuple[int, ...], dtype: Dtype) -> None:
    """Shape, type and elements stay; the memory is new, writeable and walked forwards."""
    if name == "expanded" and len(shape) == 1:
        shape = (1,)  # along the only axis the classes themselves would have to be equal
    values = _values(shape, dtype, equal_rows=name == "expanded")
    view = LAYOUTS[name](values)
    assert (view.shape, view.dtype) == (values.shape, values.dtype)
    np.testing.assert_array_equal(view, values)
    assert not np.shares_memory(view, values)
    assert view.flags.writeable
    assert all(stride >= 0 for stride in view.strides)


def test_contiguous_is_dense_in_c_order() -> None:
    """Whatever came in, the copy is in C order."""
    assert contiguous(np.ones((3, 5)).T).flags.c_contiguous


def test_transposed_is_dense_in_fortran_order() -> None:
    """The first axis is the fastest."""
    view = LAYOUTS["transposed"](np.ones((3, 5)))
    assert view.strides == (8, 24)


def test_strided_skips_every_second_element() -> None:
    """Neighbours lie two elements apart."""
    view = LAYOUTS["strided"](np.ones((3, 5)))
    assert view.strides == (80, 16)


def test_offset_starts_behind_the_buffer() -> None:
    """The first element is the fourth of the buffer."""
    view = LAYOUTS["offset"](np.ones((3, 5)))
    assert view.flags.c_contiguous
    assert view.ctypes.data - _buffer(view).ctypes.data == 24


def test_padded_rows_are_longer_than_they_look() -> None:
    """A row starts eight elements behind the last, though it has five."""
    view = LAYOUTS["padded-rows"](np.ones((3, 5)))
    assert view.strides == (64, 8)


def test_expanded_holds_one_row() -> None:
    """All rows are one row in memory."""
    view = LAYOUTS["expanded"](np.ones((3, 5)))
    assert view.strides == (0, 8)
    view[0] = 7.0
    assert (view == 7.0).all()


def test_permuted_3d_walks_axis_1_fastest() -> None:
    """Stored as (0, 2, 1), shown as (0, 1, 2)."""
    view = LAYOUTS["permuted-3d"](np.ones((2, 3, 4)))
    assert view.strides == (96, 8, 24)


@pytest.mark.parametrize(
    ("name", "poisoned"), [("strided", 15), ("offset", 6), ("padded-rows", 9), ("among-nan", 20)]
)
def test_gaps_are_poisoned(name: str, poisoned: int) -> None:
    """Whatever lies between the elements is NaN, so that whoever reads it shows it."""
    view = LAYOUTS[name](np.ones((3, 5)))
    assert np.isnan(_buffer(view)).sum() == poisoned
    assert not np.isnan(view).any()


def test_the_largest_numbers_lie_around() -> None:
    """Before the first element and behind the last one, in every row, lies the largest finite number."""
    view = LAYOUTS["among-largest"](np.ones((3, 5), np.float32))
    assert (_buffer(view) == np.finfo(np.float32).max).sum() == 20
    assert view.strides == (28, 4)


def test_expanded_needs_equal_rows() -> None:
    """Rows that differ, if only in the sign of a zero, cannot be one row."""
    with pytest.raises(ValueError, match="needs equal rows"):
        expanded(np.array([[0.0, 1.0], [-0.0, 1.0]]))


def test_expanded_rows_may_hold_nan() -> None:
    """Equal rows are equal bits; NaN is equal to itself here."""
    assert np.isnan(expanded(np.array([[np.nan, 1.0], [np.nan, 1.0]]))[:, 0]).all()
