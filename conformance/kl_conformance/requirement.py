"""What must hold: one sentence, where it comes from, and how an answer is held against it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.problems import PALETTE, Profile
from kl_conformance.judgement import Judgement
from kl_conformance.sketch import Sketch
from kl_conformance.subject import Subject
from kl_reports.result import chapter_of

Check = Callable[[Subject, Pair], Iterator[Judgement]]
Applies = Callable[[Subject], str | None]
Draws = Mapping[Profile, int]

# Pairs that the search draws for a cell: where a fault hangs on the numbers asked, and where on how they are asked
# (how they lie, in which mode, beside or after what).
WHAT: Draws = {Profile.QUICK: 2, Profile.STANDARD: 20, Profile.THOROUGH: 200}
HOW: Draws = {Profile.QUICK: 0, Profile.STANDARD: 5, Profile.THOROUGH: 50}


class Level(Enum):
    """How binding a requirement is; CONVENTION is recorded and shown, never mixed into the score."""

    MUST = "MUST"
    SHOULD = "SHOULD"
    CONVENTION = "CONVENTION"


def always(subject: Subject) -> str | None:
    """Apply to every column."""
    del subject
    return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One sentence that must or should hold, or that is a matter of convention.

    Parameters
    ----------
    id
        ``chapter/slug``.
    sentence, formula, reason
        What must hold, as mathematics, and why anyone should care.
    link
        The document that promises it, or ``"derived"``.
    check
        ``check(subject, pair)`` asks the subject about a pair and yields judgements; none at all where the
        pair says nothing about this requirement.
    miniature
        A tiny wrong implementation that breaks it.
    families
        Names of the families of distributions that find its faults.
    applies
        Returns why a column cannot be held to it, or None where it can.
    spared
        Returns why the quick profile leaves a column out, or None where it is asked.
    corners
        Corners injected into drawn problems.
    shapes
        Shapes asked in every profile; the palette's where empty.
    palette
        Shapes asked in each profile.
    draws
        How many pairs the search draws in each profile: ``WHAT``, or ``HOW`` where its faults hang on how it is asked.
    once
        Whether the first problem alone is asked, and not made smaller: each costs seconds, or much memory.
    revision
        Raised whenever what is asked changes: cells of different revisions are never compared.
    """

    id: str
    level: Level = Level.MUST
    sentence: str
    formula: str
    reason: str
    link: str = "derived"
    check: Check
    miniature: Sketch
    families: tuple[str, ...]
    applies: Applies = always
    spared: Applies = always
    corners: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    palette: Mapping[Profile, tuple[Shape, ...]] = field(default_factory=lambda: PALETTE)
    draws: Draws = field(default_factory=lambda: WHAT)
    once: bool = False
    revision: int = 1

    @property
    def chapter(self) -> str:
        """The part of the id before the slash."""
        return chapter_of(self.id)
