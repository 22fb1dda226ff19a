"""Requirement: id, sentence, source, level, check, miniature."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.recipes import PALETTE, TestProfile
from kl_conformance.harness.subject import Subject
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements.miniature import Miniature
from kl_reports.runfile.cell_id import chapter_of

Check = Callable[[Subject, Pair], Iterator[Judgement]]
Applies = Callable[[Subject], str | None]


class FaultSource(Enum):
    """What the faults that a requirement reveals depend on; it decides how many pairs are drawn."""

    VALUES = "the values"
    CALL = "how the call is made: memory layout, mode, other calls"


class Level(Enum):
    """How binding a requirement is; CONVENTION is reported and never counted as a failure."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    CONVENTION = "CONVENTION"


def always(subject: Subject) -> str | None:
    """Apply to every column."""
    del subject
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One statement that every implementation must or should fulfil, or a matter of convention.

    Parameters
    ----------
    id
        ``chapter/slug``.
    sentence, formula, reason
        The statement, the same as mathematics, and the reason why it matters.
    link
        The document it comes from, or ``"derived"``.
    check
        ``check(subject, pair)`` evaluates the subject on a pair and yields judgements; none where the pair does not
        exercise the requirement.
    miniature
        A small faulty implementation that fails it.
    families
        Names of the families of distributions that reveal its faults.
    applies
        Returns why the requirement does not apply to a column, or None where it does.
    skip_in_quick
        Returns why the quick profile skips a column, or None where it does not.
    corners
        Corners injected into drawn problems.
    shapes
        Shapes tested in every profile; the palette's where empty.
    palette
        Shapes tested in each profile.
    fault_source
        What the faults depend on: the values, or how the call is made.
    once
        Whether only the first problem is evaluated, without shrinking: each takes seconds or much memory.
    revision
        Incremented whenever the meaning or the problems change: cells of different revisions are not compared.
    """

    id: str
    level: Level = Level.MUST
    sentence: str
    formula: str
    reason: str
    link: str = "derived"
    check: Check
    miniature: Miniature
    families: tuple[str, ...]
    applies: Applies = always
    skip_in_quick: Applies = always
    corners: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    palette: Mapping[TestProfile, tuple[Shape, ...]] = field(default_factory=lambda: PALETTE)
    fault_source: FaultSource = FaultSource.VALUES
    once: bool = False
    revision: int = 1

    @property
    def chapter(self) -> str:
        """The part of the id before the slash."""
        return chapter_of(self.id)


def described(requirement: Requirement) -> dict[str, Any]:
    """Return a requirement as plain data, so that a run can be shown without the catalogue of its day."""
    names = ("sentence", "formula", "reason", "link", "revision")
    return {"level": requirement.level.value} | {name: getattr(requirement, name) for name in names}
