"""One cell of two runs: both results, its bucket, and the replay of its witness."""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Self

from kl_reports.runfile.records import Column, Result, Verdict

Key = tuple[str, str, str, str]


class Bucket(Enum):
    """How a cell changed between two runs; the value is the name on the command line."""

    _value_: str
    meaning: str  # the bucket as a clause

    def __new__(cls, value: str, meaning: str = "") -> Self:
        """Create a member from its value and its meaning."""
        member = object.__new__(cls)
        member._value_, member.meaning = value, meaning
        return member

    REGRESSED = "regressed", "passed before and fails now, on the same problem"
    NEWLY_OBSERVED = "newly-observed", "fails now, on a problem that the old run did not evaluate"
    FIXED = "fixed", "failed before and passes now, on the same problem"
    UNSTABLE = "unstable", "returns different answers when a call is repeated"
    MISSING = "missing", "was judged before and is not judged now"
    WORSE = "worse", "passes, and its largest error is more than twice as large as before"
    BETTER = "better", "passes, and its largest error is less than half as large as before"
    CHANGED_BITS = "changed-bits", "the same verdict with other output bits"
    NOT_COMPARABLE = "not-comparable", "was not judged before, or the two results cannot be compared"
    SUITE_CHANGED = "suite-changed", "the requirement or its problems have changed"
    UNCHANGED = "unchanged", "the same as before"


class Observation(Enum):
    """The result of replaying a witness on one side."""

    PASSED = "passed"
    FAILED = "failed"
    UNSTABLE = "unstable"
    NOT_TESTED = "not tested"


@dataclass(frozen=True, slots=True)
class Replayed:
    """The replay of one witness on both versions; ``reason`` says why one could not be tested."""

    old: Observation
    new: Observation
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """One cell on both sides: its results, None where the run has no such cell, its bucket, and a sentence why.

    ``column`` is that of the new run, or of the old run if the new run has no such column; ``replayed`` is the replay
    of its witness on both versions, None if it was not replayed.
    """

    requirement: str
    column: Column
    old: Result | None
    new: Result | None
    bucket: Bucket
    reason: str
    replayed: Replayed | None = None

    @property
    def name(self) -> str:
        """``requirement@implementation-device-dtype-mode``: the cell in any version."""
        return f"{self.requirement}@{'-'.join(versionless(self.column))}"

    @property
    def witnessed(self) -> Result | None:
        """The failed result whose witness can be replayed, the new one first; None if there is none."""
        sides = (self.new, self.old) if failed(self.new) else (self.old,)
        return next((side for side in sides if failed(side) and side and side.witness), None)

    @property
    def replayable(self) -> bool:
        """Whether one side passed and the other failed with a witness, so that a replay confirms the change."""
        both = self.old is not None and self.new is not None and self.bucket is not Bucket.SUITE_CHANGED
        return both and self.witnessed is not None and failed(self.old) != failed(self.new)


def reclassified(change: Change, replayed: Replayed) -> Change:
    """Return a change in the bucket that the replay of its witness shows."""
    bucket, reason = change.bucket, change.reason
    match replayed.old, replayed.new:
        case (Observation.NOT_TESTED, _) | (_, Observation.NOT_TESTED):
            reason = f"{reason} Not replayed: {replayed.reason}."
        case (Observation.UNSTABLE, _) | (_, Observation.UNSTABLE):
            bucket = Bucket.UNSTABLE
            reason = "One of the versions returns different answers to the same problem."
        case (Observation.PASSED, Observation.FAILED):
            bucket, reason = Bucket.REGRESSED, "Replayed: the old version passes, the new one fails."
        case (Observation.FAILED, Observation.PASSED):
            bucket, reason = Bucket.FIXED, "Replayed: the old version fails, the new one passes."
        case (Observation.FAILED, Observation.FAILED) if failed(change.new):
            bucket, reason = Bucket.NEWLY_OBSERVED, "The old version fails on this problem as well."
        case (Observation.FAILED, Observation.FAILED):
            bucket, reason = Bucket.UNCHANGED, "The new version still fails on the old run's problem."
        case _:
            bucket = Bucket.UNSTABLE
            reason = "Recorded as failed, but both versions pass when it is replayed."
    return replace(change, bucket=bucket, reason=reason, replayed=replayed)


def failed(result: Result | None) -> bool:
    """Whether a requirement failed, crashed or timed out, known deviations included; not if results varied."""
    return result is not None and result.verdict.is_bad and result.verdict is not Verdict.NONDETERMINISTIC


def versionless(column: Column) -> Key:
    """Return what identifies a column apart from its version."""
    return column.implementation, column.device, column.dtype, column.mode


DETAILED = (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, Bucket.FIXED, Bucket.UNSTABLE)  # shown with the witness
MOVED = (Bucket.WORSE, Bucket.BETTER)  # shown with both headrooms
QUIET = (Bucket.UNCHANGED,)  # counted, never listed
