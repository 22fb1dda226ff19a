"""Evaluation: an answer with its reference and tolerance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kl_conformance.judging.call_description import CallDescription
from kl_reference.convention import Side
from kl_reference.enclosure import Array, Enclosure
from kl_reference.problem import Problem
from kl_reference.tolerance import Profile, Tolerance
from kl_reports.runfile.budget import BudgetItem


@dataclass(frozen=True, slots=True)
class ShapeMismatch:
    """The shape of an answer, and the expected one."""

    returned: tuple[int, ...]
    expected: tuple[int, ...]

    @property
    def clause(self) -> str:
        """Both shapes, as a clause."""
        return f"returned shape {self.returned}, expected {self.expected}"


class WrongShapeError(Exception):
    """An answer has another shape than expected, so that its elements cannot be compared.

    Parameters
    ----------
    call
        The call.
    shapes
        Both shapes.
    evaluation
        The evaluation of the whole answer; None where only pieces of the answer are evaluated.
    """

    def __init__(self, call: CallDescription, shapes: ShapeMismatch, evaluation: Evaluation | None = None) -> None:
        super().__init__(f"{call.text} {shapes.clause}")
        self.shapes = shapes
        self.evaluation = evaluation


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A problem, what an implementation returned, and the correct answer.

    Parameters
    ----------
    problem
        The problem.
    returned, dtype
        The returned array, of any shape, and the name of its dtype.
    enclosure, tolerance
        The correct answer, and the allowed error.
    profile
        The declared arithmetic.
    call
        The call.
    solve
        Returns the correct answer to another problem.
    """

    problem: Problem
    returned: Array
    dtype: str
    enclosure: Enclosure
    tolerance: Tolerance
    profile: Profile
    call: CallDescription
    solve: Callable[[Problem], Enclosure]

    def budget(self, at: tuple[int, ...]) -> tuple[BudgetItem, ...]:
        """Return the itemised tolerance at one element, as a run file stores it."""
        return tuple(BudgetItem(each.amount, each.name, each.reason, each.unit) for each in self.tolerance.budget(at))

    @property
    def side(self) -> Side | None:
        """The side with respect to which the answer is a derivative; None for a value."""
        return self.call.side

    @property
    def shape_mismatch(self) -> ShapeMismatch | None:
        """Both shapes, if the returned one is not the expected one."""
        returned, expected = self.returned.shape, self.enclosure.value.shape
        return None if returned == expected else ShapeMismatch(returned, expected)

    @property
    def answer(self) -> Array:
        """The returned array, which has the expected shape.

        Raises
        ------
        WrongShapeError
            It has another shape.
        """
        if self.shape_mismatch is not None:
            raise WrongShapeError(self.call, self.shape_mismatch, self)
        return self.returned
