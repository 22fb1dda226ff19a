"""Sizes: what is too large for a machine is MISSING there, never green, and what is asked is asked to the end."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kl_cases.problems import Profile
from kl_conformance import catalogue
from kl_conformance.cell import Cell
from kl_conformance.framework import LARGE, Modules, ones
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.sketch import Array, Sketch
from kl_conformance.subject import Subject
from kl_reference.convention import Side, Space
from kl_reference.problem import Operand
from kl_reports.result import Result, Verdict
from kl_trials.asked import MODULES, pair, subject

LARGE_INDEX = catalogue.requirement("layouts/large-index")
ROW = pair([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])


class Roomy(NumPy):
    """NumPy where a thousand rows are large."""

    def fits_large_tensors(self, device: str) -> bool:
        """Say that there is room."""
        return True

    def large_tensor(self, modules: Modules, operand: Operand, device: str) -> Any:
        """Hand an operand over behind a thousand rows."""
        return self.prepend_rows(
            modules, self.tensor(modules, operand, device, "contiguous"), 1000, ones(operand.space)
        )


def settled(sketch: Sketch) -> Result:
    """Return the verdict on a sketch that has room for large tensors."""
    asked = subject(sketch)
    roomy = Subject(asked.implementation, Roomy(), MODULES, asked.column)
    return Cell(LARGE_INDEX, roomy, Profile.QUICK, 0).settle()


def test_on_the_cpu_nobody_is_asked_for_so_much() -> None:
    """On the CPU nobody is asked for 2^31 elements, and the cell says so: it is not green."""
    result = Cell(LARGE_INDEX, subject(), Profile.QUICK, 0).settle()
    assert result.verdict is Verdict.UNSUPPORTED
    assert "CUDA only" in result.detail
    assert f"{LARGE:,}" in result.detail


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate"), RuntimeError("CUDA out of memory.")])
def test_running_out_of_memory_is_no_fault(error: Exception) -> None:
    """An answer that did not fit is MISSING, with what was raised."""

    def raises(target: Array, model: Array) -> tuple[Array, Array]:
        raise error

    result = settled(Sketch(before=raises))
    assert result.verdict is Verdict.MISSING
    assert str(error) in result.detail


def test_any_other_error_is_a_fault() -> None:
    """An illegal address at a large index is what the requirement is there to find."""

    def raises(target: Array, model: Array) -> tuple[Array, Array]:
        raise RuntimeError("an illegal memory access was encountered")

    assert settled(Sketch(before=raises)).verdict is Verdict.FAIL


def test_the_last_rows_are_judged() -> None:
    """A right answer holds; one whose last element alone is wrong is broken."""

    def last_off(answer: Array) -> Array:
        if answer.ndim:
            answer[-1, -1] += 1
        return answer

    assert settled(Sketch()).verdict is Verdict.PASS
    assert settled(Sketch(after=last_off)).verdict is Verdict.FAIL


@pytest.mark.parametrize("space", Space)
def test_what_comes_before_adds_nothing(space: Space) -> None:
    """Rows of p = q = 1 add exactly 0, in whatever space they say it."""
    framework = NumPy()
    whole = framework.prepend_rows(MODULES, np.full((2, 3), 0.25), 5, ones(space))
    probability = whole if space is Space.PROBABILITY else np.exp(whole)
    assert whole.shape == (7, 3)
    assert (probability[:5] == 1).all()
    assert (whole[5:] == 0.25).all()


def test_each_side_lies_as_it_is_told() -> None:
    """Of a layout with two names the target has the first and the model the second; one name is for both."""
    asked = subject()
    problem = asked.problem(ROW, layout="transposed/strided")
    call = asked.call(problem)
    assert (call.target.strides, call.model.strides) == ((8, 16), (48, 16))
    np.testing.assert_array_equal(call.target, problem.side(Side.TARGET).values)
    np.testing.assert_array_equal(call.model, problem.side(Side.MODEL).values)
    both = asked.call(asked.problem(ROW, layout="transposed"))
    assert both.target.strides == both.model.strides == (8, 16)
