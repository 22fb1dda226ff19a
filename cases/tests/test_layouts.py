"""A layout changes the addresses of the elements, and nothing else."""

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
    """Shape, dtype and elements are unchanged; the memory is new and writeable, and no stride is negative."""
    if name == "expanded" and len(shape) == 1:
        shape = (1,)  # with one axis, all classes would have to be equal
    values = _values(shape, dtype, equal_rows=name == "expanded")
    view = LAYOUTS[name](values)
    assert (view.shape, view.dtype) == (values.shape, values.dtype)
    np.testing.assert_array_equal(view, values)
    assert not np.shares_memory(view, values)
    assert view.flags.writeable
    assert all(stride >= 0 for stride in view.strides)


def test_contiguous_is_dense_in_c_order() -> None:
    """The copy of every array is in C order."""
    assert contiguous(np.ones((3, 5)).T).flags.c_contiguous


def test_transposed_is_dense_in_fortran_order() -> None:
    """The first axis varies fastest."""
    view = LAYOUTS["transposed"](np.ones((3, 5)))
    assert view.strides == (8, 24)


def test_strided_skips_every_second_element() -> None:
    """Neighbouring elements are two elements apart in memory."""
    view = LAYOUTS["strided"](np.ones((3, 5)))
    assert view.strides == (80, 16)


def test_offset_starts_behind_the_buffer() -> None:
    """The first element is the fourth of the buffer."""
    view = LAYOUTS["offset"](np.ones((3, 5)))
    assert view.flags.c_contiguous
    assert view.ctypes.data - _buffer(view).ctypes.data == 24


def test_padded_rows_have_unused_elements() -> None:
    """A row starts eight elements after the previous one, although it has five elements."""
    view = LAYOUTS["padded-rows"](np.ones((3, 5)))
    assert view.strides == (64, 8)


def test_expanded_holds_one_row() -> None:
    """All rows are one row in memory."""
    view = LAYOUTS["expanded"](np.ones((3, 5)))
    assert view.strides == (0, 8)
    view[0] = 7.0
    assert (view == 7.0).all()


def test_permuted_3d_varies_axis_1_fastest() -> None:
    """Stored as (0, 2, 1), presented as (0, 1, 2)."""
    view = LAYOUTS["permuted-3d"](np.ones((2, 3, 4)))
    assert view.strides == (96, 8, 24)


@pytest.mark.parametrize(("name", "poisoned"), [("strided", 15), ("offset", 6), ("padded-rows", 9), ("among-nan", 20)])
def test_gaps_are_nan(name: str, poisoned: int) -> None:
    """The memory between the elements is NaN, so that an implementation that reads it returns NaN."""
    view = LAYOUTS[name](np.ones((3, 5)))
    assert np.isnan(_buffer(view)).sum() == poisoned
    assert not np.isnan(view).any()


def test_the_largest_numbers_surround_the_elements() -> None:
    """Before the first element and after the last one, in every row, is the largest finite number."""
    view = LAYOUTS["among-largest"](np.ones((3, 5), np.float32))
    assert (_buffer(view) == np.finfo(np.float32).max).sum() == 20
    assert view.strides == (28, 4)


def test_expanded_needs_equal_rows() -> None:
    """Rows that differ, even if only in the sign of a zero, cannot share memory."""
    with pytest.raises(ValueError, match="needs equal rows"):
        expanded(np.array([[0.0, 1.0], [-0.0, 1.0]]))


def test_expanded_rows_may_be_nan() -> None:
    """Rows are compared bit by bit, so NaN equals NaN."""
    assert np.isnan(expanded(np.array([[np.nan, 1.0], [np.nan, 1.0]]))[:, 0]).all()
