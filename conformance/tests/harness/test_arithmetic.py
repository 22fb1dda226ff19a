"""The measured arithmetic of a miniature is the one built into it."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kl_audit.intrinsics import worst
from kl_conformance import processes
from kl_conformance.harness.arithmetic import TERMS, Arithmetic, measure
from kl_conformance.judging.judgement import Grade
from kl_conformance.requirements.miniature import Miniature, log_term, term
from kl_conformance_testkit.subjects import subject
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.tolerance import Profile, Summation

Array = NDArray[Any]
Adding = Callable[[Array], Any]
FLOAT64, FLOAT32, FLOAT16, BFLOAT16 = Dtype


def measured(miniature: Miniature | None = None, dtype: Dtype = FLOAT32) -> Arithmetic:
    """Return the measured arithmetic of a miniature (a correct one when None)."""
    return measure(subject(miniature, dtype.label))


def adding(total: Adding, *reductions: Reduction) -> Miniature:
    """Return a miniature that adds rows of terms by a function, and offers only some reductions."""

    def reduce(terms: Array, reduction: Reduction) -> Array:
        if reduction is Reduction.TERMS:
            return terms
        rows = terms if reduction is Reduction.ROWS else terms.reshape(1, -1)
        sums = np.array([total(row) for row in rows]).astype(terms.dtype)
        return sums if reduction is Reduction.ROWS else sums[0]

    names = {each.name.lower(): each for each in reductions or (Reduction.TERMS, Reduction.SUM)}
    return Miniature(reduce=reduce, reductions=names, default=next(iter(names)))


def sequential(row: Array) -> Any:
    """Return the sum from the first term to the last, each addition rounded."""
    return np.cumsum(row, dtype=row.dtype)[-1]


def pairwise(row: Array) -> Any:
    """Return the sum by halves."""
    while row.size > 1:
        row = row[: row.size // 2] + row[row.size // 2 :]
    return row[0]


def in_lanes(row: Array) -> Any:
    """Return the sum of 32 sums, each of which takes every 32nd term."""
    return sequential(np.cumsum(row.reshape(-1, 32), axis=0, dtype=row.dtype)[-1])


@pytest.mark.parametrize(
    ("total", "depth", "summation"),
    [
        (pairwise, 10, Summation.PAIRWISE),
        (in_lanes, 31 + 31, Summation.BLOCKED),
        (sequential, TERMS - 1, Summation.ANY),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32])
def test_the_order_of_a_sum_is_measured(total: Adding, depth: int, summation: Summation, dtype: Dtype) -> None:
    """The longest chain of additions of 1,024 terms shows the order of summation."""
    seen = measured(adding(total, Reduction.ROWS), dtype)
    assert (seen.accumulate, seen.depth, seen.summation) == (dtype, depth, summation)
    worse = (f"sums {depth} deep, declared h = {Summation.BLOCKED.value}",)
    assert seen.worse == (worse if summation is Summation.ANY else ())


def test_a_sum_of_one_row_shows_as_much_as_rows() -> None:
    """An implementation that returns a single number is measured row by row."""
    assert measured(adding(sequential)).depth == TERMS - 1


@pytest.mark.parametrize("inside", [FLOAT64, FLOAT32, FLOAT16])
@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32, FLOAT16])
def test_the_format_of_sums_is_measured(dtype: Dtype, inside: Dtype) -> None:
    """The format of sums shows, up to float32 or the column's own format."""

    def total(row: Array) -> Any:
        return sequential(row.astype(inside.carrier))

    seen = measured(adding(total, Reduction.ROWS), dtype)
    narrow = {FLOAT64: FLOAT64, FLOAT32: FLOAT64, FLOAT16: FLOAT32}[dtype]
    order = [FLOAT64, FLOAT32, FLOAT16]
    expected = max(inside, narrow, key=order.index)
    assert seen.accumulate is expected
    declared = seen.declared.accumulate
    complaint = f"sums in {inside.label}, declared {declared.label}"
    assert (complaint in seen.worse) == (inside.roundoff > declared.roundoff)


def test_a_reduction_that_does_not_add_has_no_format() -> None:
    """A reduction that returns its first term has neither a format of sums nor a depth."""
    seen = measured(adding(lambda row: row[0], Reduction.ROWS))
    assert (seen.accumulate, seen.depth) == (None, None)


def flushed(array: Array) -> Array:
    """Return 0 in place of subnormal numbers."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, np.zeros_like(array), array)


def unread(p: Array, log_q: Array) -> tuple[Array, Array]:
    """Return both operands, P without its subnormal numbers."""
    return flushed(p), log_q


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32, FLOAT16])
def test_flushing_is_measured_on_either_side(dtype: Dtype) -> None:
    """Subnormal numbers may be read or written as 0: both show."""
    probabilities = Miniature(target=(Space.PROBABILITY,))
    reading = replace(probabilities, before=unread)
    writing = replace(probabilities, after=flushed)
    assert measured(dtype=dtype).flush_to_zero is False
    for miniature in (reading, writing):
        seen = measured(miniature, dtype)
        assert seen.flush_to_zero is True
        assert "flushes subnormals, declared to keep them" in seen.worse


def widened(p: Array, log_q: Array) -> Array:
    """Return terms computed in float64 and rounded once."""
    return term(p.astype(np.float64), log_q.astype(np.float64)).astype(p.dtype)


def rounded(p: Array, log_q: Array) -> Array:
    """Return terms of operands rounded to bfloat16."""
    return term(BFLOAT16.round(p), BFLOAT16.round(log_q))


def of_terms(function: Callable[[Array, Array], Array]) -> Miniature:
    """Return a miniature that accepts probabilities and computes its terms by a function."""
    return Miniature(term=function, target=(Space.PROBABILITY,))


def test_the_format_of_terms_is_measured() -> None:
    """Terms computed in a wider format and rounded once differ from those rounded at every step."""
    wide = measured(of_terms(widened))
    assert (wide.compute, wide.grade, wide.worse) == (FLOAT64, Grade.A, ())
    assert measured(of_terms(term)).compute is FLOAT32
    half = measured(of_terms(widened), FLOAT16)
    assert half.compute is not None
    assert half.compute.roundoff <= FLOAT32.roundoff


def test_rounded_operands_are_measured() -> None:
    """Terms of rounded operands are within the tolerance of no format."""
    seen = measured(of_terms(rounded))
    assert seen.headroom is not None
    assert seen.headroom > 100.0
    assert (seen.compute, seen.grade, seen.fast_math) == (None, Grade.C, None)
    assert seen.worse == (f"errs in terms by {seen.headroom:.2g} times the declared error",)


def test_accuracy_classes_are_measured() -> None:
    """A term within a few roundings of itself has class A, the textbook formula B, and a shifted logarithm C."""

    def shifted(p: Array, log_q: Array) -> Array:
        return np.asarray(p * (np.log(p + p.dtype.type(1e-5)) - log_q))

    grades = [measured(of_terms(function)).grade for function in (widened, term, shifted)]
    assert grades == [Grade.A, Grade.B, Grade.C]
    assert measured(of_terms(term), FLOAT16).grade is None
    assert measured(adding(sequential, Reduction.ROWS)).grade is None


def spread(p: Array, log_q: Array) -> Array:
    """Return terms with a fast logarithm whose errors are uniform up to the documented ones."""
    fast = next(worst())
    share = np.random.default_rng(0).uniform(-1.0, 1.0, p.shape)
    exact = np.log(p.astype(np.float64))
    off = (exact + share * (fast.log(p) - exact)).astype(np.float32)
    return np.asarray(p * (off - log_q))


@pytest.mark.parametrize("reduction", [Reduction.TERMS, Reduction.ROWS])
def test_a_fast_logarithm_is_measured(reduction: Reduction) -> None:
    """Terms and sums of rows near p = 1 show a logarithm of fast-math; if it is declared, it is not worse."""
    name = reduction.name.lower()
    function = replace(adding(pairwise, reduction), term=spread, target=(Space.PROBABILITY,))
    seen = measured(function)
    assert (seen.fast_math, seen.worse) == (True, ("uses fast logarithms, declared accurate ones",)), name
    fast = replace(function.implementation(), profile=Profile.fast)
    declared = measure(subject(fast, FLOAT32.label))
    assert declared.declared == Profile.fast(FLOAT32)
    assert (declared.fast_math, declared.worse) == (True, ())
    assert measured(replace(function, term=term)).fast_math is False


def test_where_a_fast_logarithm_does_not_show() -> None:
    """float64 has none, and 16 bits, a mean, or a target that is a logarithm hide it."""
    assert measured(dtype=FLOAT64).fast_math is None
    assert measured(dtype=FLOAT16).fast_math is None
    assert measured(adding(np.mean, Reduction.MEAN)).fast_math is None
    assert measured(Miniature(target=(Space.LOG,), log_term=log_term)).fast_math is None


CHILD = """
import json, sys
from kl_conformance.harness.arithmetic import measure
from kl_conformance.implementations import registry
from kl_conformance.harness.opening import Absent, open_subject
from kl_conformance.runs.selection import columns_of
opened = {
    column.key: open_subject(each, column)
    for each in registry.IMPLEMENTATIONS.values() if each.framework == "torch"
    for column in columns_of(each) if column.device == "cpu" and column.mode == "eager"
}
print(json.dumps({
    key: measure(subject).worse for key, subject in opened.items() if not isinstance(subject, Absent)
}))
"""


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed here")
def test_torch_is_as_good_as_declared() -> None:
    """No implementation of torch is measured to be worse than its profile, in any dtype."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD], env=processes.environment(), capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert len(found) >= 8
    assert {column: worse for column, worse in found.items() if worse} == {}


def test_the_measured_arithmetic_has_a_description() -> None:
    """It contains only what was measured, and what is worse than declared."""
    description = measured(adding(sequential), FLOAT32).description
    assert description.startswith("computes in float32, sums in float32, one of 1,024 terms 1023 additions deep")
    assert description.endswith("worse than declared: sums 1023 deep, declared h = 2·√n")
    assert Arithmetic(Profile.of(FLOAT32)).description == ""
