"""Judgement: per-element outcome, headroom, grade and message."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kl_conformance.errors import Raised
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import ShapeMismatch
from kl_reference.convention import Side
from kl_reference.enclosure import Array
from kl_reference.problem import Problem
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.records import Kind

Mask = NDArray[np.bool_]


class Grade(Enum):
    """Accuracy class of terms, the best first; the classes differ where P and Q are close and terms cancel."""

    A = "a few roundings of the exact term"
    B = "a few roundings of p·|log p| + p·|log q|"
    C = "neither"

    @property
    def sentence(self) -> str:
        """The grade as a sentence."""
        if self is Grade.C:
            return f"Accuracy class C: not within {Grade.B.value}."
        return f"Accuracy class {self.name}: within {self.value}."


class Criterion(Enum):
    """The rule by which an answer is judged."""

    TOLERANCE = "tolerance"
    """The error is at most the allowed one."""
    YES_OR_NO = "yes_or_no"
    """A condition on each element, which the note describes."""
    NOT_FINITE = "not_finite"
    """NaN or an infinity is expected."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One answer judged, element by element.

    Parameters
    ----------
    problem, call
        The problem, and the call that was made.
    answer, expected, allowed
        The answer, the expected value, and the largest allowed error (the answer's shape).
    failed
        Where the requirement fails.
    headroom
        Largest error ÷ allowed error; None where nothing was measured (a yes-or-no requirement).
    at
        Index of the worst element, to which headroom and budget belong.
    budget
        The itemised tolerance of that element.
    note
        What failed or was observed.
    vacuous
        Why the problem proves nothing, or None.
    kind
        The kind of failure, where ``failed``.
    criterion
        The rule that was applied.
    shape_mismatch
        Both shapes, where the answer has another than expected.
    error
        The exception that is judged, where one was raised.
    raised
        Where an error was expected: whether one was raised; None elsewhere.
    unhelpful
        Whether an expected error was raised whose message lacks a required name.
    side
        The side with respect to which this is a gradient; None for a value.
    grade
        The accuracy class of the worst term; None where it is not graded.
    condition
        The condition number S ÷ |answer| of the worst element; None where it has none.
    """

    problem: Problem
    call: CallDescription
    answer: Array
    expected: Array
    allowed: Array
    failed: Mask
    headroom: float | None = None
    at: tuple[int, ...] = ()
    budget: tuple[BudgetItem, ...] = ()
    note: str = ""
    vacuous: str | None = None
    kind: Kind = Kind.NUMBER
    criterion: Criterion = Criterion.TOLERANCE
    shape_mismatch: ShapeMismatch | None = None
    error: Raised | None = None
    raised: bool | None = None
    unhelpful: bool = False
    side: Side | None = None
    grade: Grade | None = None
    condition: float | None = None

    @property
    def classes(self) -> int:
        """The number of classes of the problem."""
        shape = self.problem.shape
        return shape[self.problem.class_axis] if shape else 1

    @property
    def is_failure(self) -> bool:
        """Whether any element fails."""
        return bool(self.failed.any())

    @property
    def fault(self) -> tuple[str, str]:
        """What a smaller pair must show as well: raised, accepted, NaN, infinite or a number; and the note."""
        if self.raised is not None:
            return "raised" if self.raised else "accepted", ""
        answer = float(self.answer[self.at]) if self.answer.size else 0.0
        return "NaN" if np.isnan(answer) else "infinite" if np.isinf(answer) else "number", self.note

    @property
    def happened(self) -> str:
        """A clause where no number is wrong: a wrong shape or an exception; empty otherwise."""
        if self.shape_mismatch is not None:
            return f"it {self.shape_mismatch.clause}"
        return f"it {self.note}" if self.raised else ""

    @property
    def sentence(self) -> str:
        """The failure as a sentence, with its numbers."""
        if self.raised is not None or self.answer.size == 0:
            note = self.note.rstrip(".")
            return f"{note[:1].upper()}{note[1:]}."
        if self.shape_mismatch is not None:  # a number at one place says nothing
            return f"{self.call.text} {self.shape_mismatch.clause}."
        at = self.at
        answer = self.answer[at]
        expected = self.expected[at] if self.expected.shape == self.answer.shape else np.nan
        if np.isnan(answer) and np.isnan(expected) and self.note:  # the number is not what was judged
            return f"{self.call.text}: {self.note}."
        place = f" at {list(at)}" if at else ""
        numbers = f"{self.call.text} returned {answer:.9g}{place}, expected {expected:.9g}"
        return f"{numbers}: {self.note}." if self.note else f"{numbers}."
