"""What came of a call: an answer beside what is right and what is allowed, or none."""

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
class Misshapen:
    """An answer's shape that is not the expected one."""

    got: tuple[int, ...]
    expected: tuple[int, ...]

    @property
    def note(self) -> str:
        """The same as a clause."""
        return f"gave shape {self.got} where {self.expected} is right"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A problem, an implementation's answer, and the correct one.

    ``solve`` returns the correct answer to another problem in place of this one.
    """

    problem: Problem
    got: Array
    dtype: str
    enclosure: Enclosure
    tolerance: Tolerance
    profile: Profile
    call: CallDescription
    solve: Callable[[Problem], Enclosure]

    def budget(self, at: tuple[int, ...]) -> tuple[BudgetItem, ...]:
        """Return the itemised tolerance at one element, as a run file stores it."""
        return tuple(
            BudgetItem(each.amount, each.name, each.reason, each.unit) for each in self.tolerance.budget(at)
        )

    @property
    def side(self) -> Side | None:
        """The side by which the answer is a derivative; None where it is a value."""
        return self.call.side

    @property
    def misshapen(self) -> Misshapen | None:
        """The two shapes, where the answer's is not the expected one."""
        got, expected = self.got.shape, self.enclosure.value.shape
        return None if got == expected else Misshapen(got, expected)
