"""One cell of two runs: what was recorded, what became of it, and what asking again shows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum

from kl_reports.runfile.records import Column, Result, Verdict

Key = tuple[str, str, str, str]


class Bucket(Enum):
    """What became of a cell; the value is the name on the command line."""

    REGRESSED = "regressed"
    NEWLY_OBSERVED = "newly-observed"
    FIXED = "fixed"
    UNSTABLE = "unstable"
    MISSING = "missing"
    WORSE = "worse"
    BETTER = "better"
    CHANGED_BITS = "changed-bits"
    NOT_COMPARABLE = "not-comparable"
    SUITE_CHANGED = "suite-changed"
    UNCHANGED = "unchanged"

    @property
    def meaning(self) -> str:
        """The bucket in words."""
        return _MEANINGS[self]


_MEANINGS = {
    Bucket.REGRESSED: "held before and is broken now, on the same problem",
    Bucket.NEWLY_OBSERVED: "is broken now on a problem that the old run did not ask",
    Bucket.FIXED: "was broken before and holds now, on the same problem",
    Bucket.UNSTABLE: "gives other answers when it is asked again",
    Bucket.MISSING: "was judged before and is not now",
    Bucket.WORSE: "holds, and uses more than twice as much of what is allowed",
    Bucket.BETTER: "holds, and uses less than half as much of what is allowed",
    Bucket.CHANGED_BITS: "the same verdict, other output bits",
    Bucket.NOT_COMPARABLE: "was not judged before, or the two say nothing about each other",
    Bucket.SUITE_CHANGED: "the requirement or its problems are not what they were",
    Bucket.UNCHANGED: "as it was",
}


class Observation(Enum):
    """The result of replaying a witness on one side."""

    PASSED = "passed"
    FAILED = "failed"
    UNSTABLE = "unstable"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One witness put to both versions again; ``why`` says why one could not be asked."""

    old: Observation
    new: Observation
    why: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One cell on both sides.

    Parameters
    ----------
    requirement, column
        Its id, and the column as it is now (as it was, where the new run has it no more).
    old, new
        What was recorded; None where the run has no such cell.
    bucket, why
        What became of it, and one sentence that says why.
    replayed
        What came of its witness, put to both versions again; None where nobody did.
    """

    requirement: str
    column: Column
    old: Result | None
    new: Result | None
    bucket: Bucket
    why: str
    replayed: Replayed | None = None

    @property
    def name(self) -> str:
        """``requirement@implementation-device-dtype-mode``: the cell, whatever the version."""
        return f"{self.requirement}@{'-'.join(versionless(self.column))}"

    @property
    def witnessed(self) -> Result | None:
        """The result whose witness a replay would ask: the broken side's; None where there is none."""
        sides = (self.new, self.old) if broken(self.new) else (self.old,)
        return next((side for side in sides if broken(side) and side and side.witness), None)

    @property
    def debatable(self) -> bool:
        """Whether asking again on both versions could say more, or is due before it is said aloud."""
        both = self.old is not None and self.new is not None and self.bucket is not Bucket.SUITE_CHANGED
        return both and self.witnessed is not None and broken(self.old) != broken(self.new)


def settled(change: Change, seen: Replayed) -> Change:
    """Return a change in the bucket that its witness, put to both versions again, shows it to belong to."""
    bucket, why = change.bucket, change.why
    now_broken = broken(change.new)
    match seen.old, seen.new:
        case (Observation.NOT_TESTED, _) | (_, Observation.NOT_TESTED):
            why = f"{why} Not seen again: {seen.why}."
        case (Observation.UNSTABLE, _) | (_, Observation.UNSTABLE):
            bucket, why = Bucket.UNSTABLE, "One of the two gives several answers to the same question."
        case (Observation.PASSED, Observation.FAILED):
            bucket, why = Bucket.REGRESSED, "Asked again: the old version holds, the new one does not."
        case (Observation.FAILED, Observation.PASSED):
            bucket, why = Bucket.FIXED, "Asked again: the old version is broken, the new one holds."
        case (Observation.FAILED, Observation.FAILED) if now_broken:
            bucket, why = Bucket.NEWLY_OBSERVED, "The old version is broken on this problem as well."
        case (Observation.FAILED, Observation.FAILED):
            bucket, why = Bucket.UNCHANGED, "The new version is still broken on the old run's problem."
        case _:
            bucket, why = Bucket.UNSTABLE, "Recorded as broken, and right on both versions when asked again."
    return replace(change, bucket=bucket, why=why, replayed=seen)


def broken(result: Result | None) -> bool:
    """Whether a requirement was seen broken, recorded or not; no answer at all is no answer held."""
    return result is not None and result.verdict.is_bad and result.verdict is not Verdict.NONDETERMINISTIC


def versionless(column: Column) -> Key:
    """Return what names a column whatever the version."""
    return column.implementation, column.device, column.dtype, column.mode


TOLD = (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, Bucket.FIXED, Bucket.UNSTABLE)  # each with its witness

MOVED = (Bucket.WORSE, Bucket.BETTER)  # each with how far

QUIET = (Bucket.UNCHANGED,)  # counted, and never listed
