"""Families whose sums are exact, or overflow or stagnate in a 16-bit accumulator."""

from itertools import product

import numpy as np
import pytest

from kl_cases.portable_math import Array
from kl_cases.recipes import Recipe, build
from kl_reference.answer import answer
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Problem

SHAPES = [(1,), (2,), (4,), (3, 5), (8, 31), (2, 1025), (64, 128), (3, 4, 5)]


def _exact_terms(shape: tuple[int, ...], dtype: Dtype, seed: int = 0) -> Array:
    """Return the terms of an exact-sum problem as its format represents them."""
    target, model = build(Recipe("exact-sum", shape, dtype, seed)).realise(Space.PROBABILITY, Space.LOG, dtype)
    p, log_q = target.values.astype(np.float64), model.values.astype(np.float64)
    assert set(np.unique(p)) <= {0.0, 1.0}
    return np.where(p == 1.0, -log_q, 0.0)


def _added(terms: Array, dtype: Dtype) -> float:
    """Add one term after the other, rounding to the format after each addition."""
    total = np.zeros(1)
    for term in terms:
        total = dtype.round(total.astype(np.float64) + term)
    return float(total[0])


def _paired(terms: Array, dtype: Dtype) -> float:
    """Add neighbouring terms until one number is left, rounding after each addition."""
    while terms.size > 1:
        even = np.concatenate([terms, [0.0]]) if terms.size % 2 else terms
        terms = dtype.round(even[::2] + even[1::2]).astype(np.float64)
    return float(terms[0])


@pytest.mark.parametrize(("dtype", "shape"), list(product(Dtype, SHAPES)))
def test_an_exact_sum_is_exact_in_every_order(dtype: Dtype, shape: tuple[int, ...]) -> None:
    """Forwards, backwards, shuffled, in pairs and by rows: the total is the same, without rounding."""
    terms = _exact_terms(shape, dtype)
    flat = terms.ravel()
    exact = float(flat.sum())
    shuffled = flat[np.argsort(np.random.Generator(np.random.PCG64(1)).random(flat.size))]
    rows = dtype.round(terms.sum(-1)).astype(np.float64).ravel()
    for order in (flat, flat[::-1], shuffled, rows, np.sort(flat), np.sort(flat)[::-1]):
        assert _added(order, dtype) == exact
        assert _paired(order, dtype) == exact


@pytest.mark.parametrize(("dtype", "shape"), list(product(Dtype, [*SHAPES, (1, 65537), (1, 131072)])))
def test_an_exact_sum_fits_the_format(dtype: Dtype, shape: tuple[int, ...]) -> None:
    """Terms are multiples of 1/8, 2^k − 1 eighths in total, at most 2^bits; the first and the last are positive."""
    eighths = 8.0 * _exact_terms(shape, dtype).ravel()
    assert (eighths == np.rint(eighths)).all()
    total = int(eighths.sum())
    assert total == 1 or total & (total + 1) == 0
    assert 0 < total <= 1.0 / dtype.roundoff
    assert eighths[0] > 0.0
    assert eighths[-1] > 0.0
    assert np.count_nonzero(eighths) >= min(eighths.size / 2.0, 0.25 / dtype.roundoff)


def test_an_exact_sum_detects_every_lost_element() -> None:
    """Each counted term is at least an eighth, and every other class has a logarithm that would change the sum."""
    pair = build(Recipe("exact-sum", (8, 31), Dtype.FLOAT32, 0))
    assert (pair.q.values <= -0.125).all()


@pytest.mark.parametrize(("dtype", "shape"), list(product(Dtype, SHAPES)))
def test_the_reference_finds_the_exact_sum(dtype: Dtype, shape: tuple[int, ...]) -> None:
    """The exact answer is the sum of the terms, in float64 without any error."""
    target, model = build(Recipe("exact-sum", shape, dtype, 5)).realise(Space.PROBABILITY, Space.LOG, dtype)
    enclosure = answer(Problem(target, model, reduction=Reduction.SUM))
    assert float(enclosure.value) == float(_exact_terms(shape, dtype, 5).sum())
    assert float(enclosure.tail) == 0.0


@pytest.mark.parametrize("dtype", [Dtype.FLOAT16, Dtype.BFLOAT16])
def test_half_range_rows_fit_but_their_partial_sums_do_not(dtype: Dtype) -> None:
    """Each row's sum is representable; accumulated in 16 bits, one kind of row is infinite or far off."""
    target, model = build(Recipe("half-range", (2, 4097), dtype, 0)).realise(Space.PROBABILITY, Space.LOG, dtype)
    terms = answer(Problem(target, model)).value
    sums = answer(Problem(target, model, reduction=Reduction.ROWS)).value
    assert (np.abs(sums) < Dtype.FLOAT16.largest).all()
    assert (np.abs(terms) < Dtype.FLOAT16.largest).all()
    got = np.array([_added(row, dtype) for row in terms])
    low = int(np.argmin(np.abs(sums)))
    assert got[low] < 0.9 * sums[low]
    if dtype is Dtype.FLOAT16:
        assert np.isinf(got[1 - low])
