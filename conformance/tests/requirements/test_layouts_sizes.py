"""Large indices: MISSING where memory is too small, never passed, and judged to the last element."""

import numpy as np
import pytest

from kl_conformance.frameworks.framework import LARGE, ones
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.harness.subject import Subject
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance_testkit.subjects import MODULES, LargeNumPy, evaluate, pair, subject
from kl_reference.convention import Side, Space
from kl_reports.runfile.records import Result, Verdict

LARGE_INDEX = catalogue.requirement("layouts/large-index")
ROW = pair([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])


def evaluated(miniature: Miniature) -> Result:
    """Return the result of a miniature with memory for large tensors."""
    tested = subject(miniature)
    roomy = Subject(tested.implementation, LargeNumPy(1000), MODULES, tested.column)
    return evaluate(LARGE_INDEX, roomy)


def test_large_tensors_are_not_tested_on_the_cpu() -> None:
    """On the CPU 2^31 elements are not tested, and the cell is not applicable, with the reason."""
    result = evaluate(LARGE_INDEX, subject())
    assert result.verdict is Verdict.UNSUPPORTED
    assert "CUDA only" in result.detail
    assert f"{LARGE:,}" in result.detail


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate"), RuntimeError("CUDA out of memory.")])
def test_running_out_of_memory_is_no_failure(error: Exception) -> None:
    """A call without enough memory is MISSING, with the exception."""

    def raises(target: Array, model: Array) -> tuple[Array, Array]:
        raise error

    result = evaluated(Miniature(before=raises))
    assert result.verdict is Verdict.MISSING
    assert str(error) in result.detail


def test_any_other_error_is_a_failure() -> None:
    """An illegal address at a large index fails."""

    def raises(target: Array, model: Array) -> tuple[Array, Array]:
        raise RuntimeError("an illegal memory access was encountered")

    assert evaluated(Miniature(before=raises)).verdict is Verdict.FAIL


def test_the_last_rows_are_judged() -> None:
    """A correct answer passes; one with a wrong last element fails."""

    def last_off(answer: Array) -> Array:
        if answer.ndim:
            answer[-1, -1] += 1
        return answer

    assert evaluated(Miniature()).verdict is Verdict.PASS
    assert evaluated(Miniature(after=last_off)).verdict is Verdict.FAIL


@pytest.mark.parametrize("space", Space)
def test_the_rows_before_add_nothing(space: Space) -> None:
    """Rows of p = q = 1 add exactly 0, in every space."""
    framework = NumPy()
    whole = framework.prepend_rows(MODULES, np.full((2, 3), 0.25), 5, ones(space))
    probability = whole if space is Space.PROBABILITY else np.exp(whole)
    assert whole.shape == (7, 3)
    assert (probability[:5] == 1).all()
    assert (whole[5:] == 0.25).all()


def test_each_side_has_its_own_layout() -> None:
    """In a layout with two names the first is the target's and the second the model's; one name is for both."""
    tested = subject()
    problem = tested.problem(ROW, layout="transposed/strided")
    call = tested.build_call(problem)
    assert (call.target.strides, call.model.strides) == ((8, 16), (48, 16))
    np.testing.assert_array_equal(call.target, problem.side(Side.TARGET).values)
    np.testing.assert_array_equal(call.model, problem.side(Side.MODEL).values)
    both = tested.build_call(tested.problem(ROW, layout="transposed"))
    assert both.target.strides == both.model.strides == (8, 16)
