"""What is said of one answer: element by element whether it holds, by how much, and why not."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from kl_conformance.errors import Raised
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Misshapen
from kl_reference.convention import Side
from kl_reference.enclosure import Array
from kl_reference.problem import Problem
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.records import Kind

Mask = NDArray[np.bool_]


class Grade(Enum):
    """How accurate terms are, the best first: it shows where P and Q are close, and terms cancel."""

    A = "a few roundings of the exact term"
    B = "a few roundings of p·|log p| + p·|log q|"
    C = "neither"

    @property
    def sentence(self) -> str:
        """The grade in words."""
        if self is Grade.C:
            return f"Accuracy class C: not within {Grade.B.value}."
        return f"Accuracy class {self.name}: within {self.value}."


class Criterion(Enum):
    """The rule by which an answer is judged."""

    TOLERANCE = "tolerance"
    """The error is at most the allowed one."""
    YES_OR_NO = "yes_or_no"
    """A condition that each element fulfils or not; the note describes it."""
    NOT_FINITE = "not_finite"
    """NaN or an infinity is expected."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """One answer judged, element by element.

    Parameters
    ----------
    problem, call
        The problem, and the call that was made.
    got, right, allowed
        The answer, the value it is held against, and the largest error allowed (the answer's shape).
    bad
        Where the requirement is broken.
    headroom
        Largest error ÷ allowed error; None where nothing was measured (a yes-or-no requirement).
    at
        Index of the element that headroom or ``bad`` speaks of.
    budget
        The itemised tolerance there.
    note
        What is broken or was seen, in words.
    vacuous
        Why the problem proves nothing, or None.
    kind
        What the failure consists of, where ``bad``.
    criterion
        The rule that was applied.
    misshapen
        The two shapes, where the answer has another than expected.
    error
        The exception, where one was raised and is what is judged.
    raised
        Where an error was due: whether one was raised; None elsewhere.
    unhelpful
        Whether an error that was due was raised, and did not say what it owes.
    side
        By which side this is a gradient; None where it is a value.
    grade
        The accuracy class of the worst term; None where nobody asked.
    condition
        The condition number S ÷ |answer| of NUMERICS at that element; None where there is none.
    """

    problem: Problem
    call: CallDescription
    got: Array
    right: Array
    allowed: Array
    bad: Mask
    headroom: float | None = None
    at: tuple[int, ...] = ()
    budget: tuple[BudgetItem, ...] = ()
    note: str = ""
    vacuous: str | None = None
    kind: Kind = Kind.NUMBER
    criterion: Criterion = Criterion.TOLERANCE
    misshapen: Misshapen | None = None
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
    def broken(self) -> bool:
        """Whether any element breaks the requirement."""
        return bool(self.bad.any())

    @property
    def fault(self) -> tuple[str, str]:
        """The fault that a smaller pair must show too: raised, accepted, NaN, infinite or a number; and the note."""
        if self.raised is not None:
            return "raised" if self.raised else "accepted", ""
        got = float(self.got[self.at]) if self.got.size else 0.0
        return "NaN" if np.isnan(got) else "infinite" if np.isinf(got) else "number", self.note

    @property
    def happened(self) -> str:
        """What happened where no number is wrong, as a clause; empty where a number is, or an error is missing."""
        if self.misshapen is not None:
            return f"it gave shape {self.misshapen.got} where {self.misshapen.expected} is due"
        return f"it {self.note}" if self.raised else ""

    @property
    def sentence(self) -> str:
        """What was seen where a requirement is broken, in numbers."""
        if self.raised is not None or self.got.size == 0:
            note = self.note.rstrip(".")
            return f"{note[:1].upper()}{note[1:]}."
        at = self.at
        got, right = self.got[at], self.right[at] if self.right.shape == self.got.shape else np.nan
        if np.isnan(got) and np.isnan(right) and self.note:  # not the number is what was judged
            return f"{self.call.text}: {self.note}."
        place = f" at {list(at)}" if at else ""
        seen = f"{self.call.text} gave {got:.9g}{place} where {right:.9g} is right"
        return f"{seen}: {self.note}." if self.note else f"{seen}."
