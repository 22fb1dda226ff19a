"""The separation study in its quick size: correct kernels pass, faulty kernels fail."""

import sys

import numpy as np
import pytest

from studies.separation.detection import battery, detect
from studies.separation.kernels import correct_kernels, faulty_kernels
from studies.separation.study import QUICK, Study, study, table


@pytest.fixture(scope="module")
def measured() -> Study:
    """Return the quick study, which runs NumPy alone."""
    return study(QUICK)


def test_right_answers_are_within_the_tolerance(measured: Study) -> None:
    """NumPy's own arithmetic raises no alarm, in any dtype it has, over terms or over sums of rows."""
    assert {one.dtype for one in measured.agreements} == {"float64", "float32", "float16"}
    assert sum(one.count for one in measured.agreements) > 1_000_000
    assert [one for one in measured.agreements if one.violations] == []


def test_every_fault_is_detected(measured: Study) -> None:
    """Ladders and exact sums together detect every fault in every test."""
    assert len(measured.rates) == len(list(faulty_kernels()))
    assert {rate.fault: rate.together for rate in measured.rates if rate.together < 1} == {}


def test_a_correct_kernel_is_not_rejected() -> None:
    """Correct kernels pass the same ladders and exact sums."""
    tests = battery(QUICK.tests, QUICK.ladders, QUICK.exact_sums)
    assert [detect(kernel, tests).together for kernel in correct_kernels()] == [0, 0]


def test_kernels_compute_in_float32() -> None:
    """No kernel of the study computes in float64."""
    p, log_q = np.array([[0.25, 0.75]], np.float32), np.array([[-1.0, -2.0]], np.float32)
    for kernel in (*correct_kernels(), *faulty_kernels()):
        assert kernel.terms(p, log_q).dtype == kernel.rows(p, log_q).dtype == np.float32, kernel.name


def test_the_table_is_written_without_a_framework(measured: Study) -> None:
    """The page has a row for every kernel, and only NumPy was imported for it."""
    page = table(measured)
    assert all(f"| {kernel.name} |" in page for kernel in (*correct_kernels(), *faulty_kernels()))
    assert {"torch", "tensorflow", "jax"}.isdisjoint(sys.modules)
