"""Changed floating-point arithmetic is detected."""

import ctypes
import platform
from collections.abc import Callable, Generator
from contextlib import contextmanager

import numpy as np
import pytest

from kl_reference import Operand, Problem, Side, Space, answer, gradient, softmax
from kl_reference.bounds.ieee754 import require_ieee

# glibc on x86-64: fenv_t has 32 bytes, the control register of SSE in the last four.
pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or platform.libc_ver()[0] != "glibc",
    reason="sets the control register through glibc on x86-64",
)
UPWARD, DOWNWARD, TO_ZERO = 0x4000, 0x2000, 0x6000
FLUSH_RESULTS, FLUSH_INPUTS = 0x8000, 0x0040


@contextmanager
def changed(mask: int) -> Generator[None]:
    """Set bits of this thread's control register temporarily."""
    libm = ctypes.CDLL("libm.so.6")
    before, during = (ctypes.c_uint32 * 8)(), (ctypes.c_uint32 * 8)()
    libm.fegetenv(before)
    libm.fegetenv(during)
    during[7] |= mask
    libm.fesetenv(during)
    try:
        yield
    finally:
        libm.fesetenv(before)


def test_ordinary_arithmetic_is_accepted() -> None:
    """Round to nearest with subnormal numbers is accepted."""
    require_ieee()


@pytest.mark.parametrize("mask", [UPWARD, DOWNWARD, TO_ZERO])
def test_other_rounding_is_rejected(mask: int) -> None:
    """Every other rounding direction is rejected."""
    with changed(mask), pytest.raises(FloatingPointError, match="round to nearest"):
        require_ieee()


@pytest.mark.parametrize("mask", [FLUSH_RESULTS, FLUSH_INPUTS, FLUSH_RESULTS | FLUSH_INPUTS])
def test_flushing_is_rejected(mask: int) -> None:
    """A thread that flushes subnormal results or inputs is rejected, with the likely cause."""
    with changed(mask), pytest.raises(FloatingPointError, match="set_flush_denormal"):
        require_ieee()


def any_problem() -> Problem:
    """Return any problem."""
    return Problem(Operand.of(np.ones(2), Space.LOGITS), Operand.of(np.ones(2), Space.LOGITS))


@pytest.mark.parametrize(
    "evaluate",
    [
        lambda: answer(any_problem()),
        lambda: gradient(any_problem(), Side.MODEL),
        lambda: softmax(Operand.of(np.ones(2), Space.LOGITS)),
    ],
    ids=["answer", "gradient", "softmax"],
)
def test_every_function_checks(evaluate: Callable[[], object]) -> None:
    """No function evaluates in arithmetic that fails the check."""
    with changed(FLUSH_RESULTS), pytest.raises(FloatingPointError):
        evaluate()
