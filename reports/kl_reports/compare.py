"""Two runs compared, cell by cell: only like with like, and each cell in one bucket with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum

from kl_reports.result import Column, Result, Run, Verdict
from kl_reports.wording import listed, outcome, used

FACTOR = 2.0  # a headroom that moved by more is told
LITTLE = 0.05  # … unless it is still so small a share of what is allowed
MACHINE = ("platform", "processor", "threads")  # another of these gives other bits with the same packages


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


class Seen(Enum):
    """What came of a witness put to one side again."""

    HELD = "held"
    BROKEN = "broken"
    UNSTABLE = "gave several answers"
    UNASKED = "could not be asked"


@dataclass(frozen=True, slots=True)
class Replayed:
    """One witness put to both versions again; ``why`` says why one could not be asked."""

    old: Seen
    new: Seen
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
        return f"{self.requirement}@{'-'.join(_key(self.column))}"

    @property
    def witnessed(self) -> Result | None:
        """The result whose witness a replay would ask: the broken side's; None where there is none."""
        sides = (self.new, self.old) if _broken(self.new) else (self.old,)
        return next((side for side in sides if _broken(side) and side and side.witness), None)

    @property
    def debatable(self) -> bool:
        """Whether asking again on both versions could say more, or is due before it is said aloud."""
        both = self.old is not None and self.new is not None and self.bucket is not Bucket.SUITE_CHANGED
        return both and self.witnessed is not None and _broken(self.old) != _broken(self.new)


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the environment that is not the same; empty text where a run has none."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs and what became of each cell."""

    old: Run
    new: Run
    environment: tuple[Difference, ...]
    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = field(default=())

    def of(self, bucket: Bucket) -> tuple[Change, ...]:
        """Return the cells of one bucket."""
        return tuple(change for change in self.changes if change.bucket is bucket)

    @property
    def counts(self) -> Mapping[Bucket, int]:
        """How many cells are in each bucket, empty ones left out, the gravest first."""
        every = {bucket: len(self.of(bucket)) for bucket in Bucket}
        return {bucket: number for bucket, number in every.items() if number}


class IncomparableError(ValueError):
    """Two runs of which no cell can be held against the other's; the message says why, and what to do."""


Key = tuple[str, str, str, str]
Cells = Mapping[tuple[str, Key], Result]


def compare(old: Run, new: Run) -> Comparison:
    """Hold two runs against each other, by what is recorded alone.

    Raises
    ------
    IncomparableError
        They share no column apart from the version, a run holds one column in two versions, or no requirement
        asked the same problems.
    """
    before, after = (_cells(run) for run in (old, new))
    if not {key for _, key in before} & {key for _, key in after}:
        raise IncomparableError(
            f"nothing to compare: the old run asked {_asked(old)}, the new one {_asked(new)}; "
            "compare runs of the same implementations, devices, dtypes and modes"
        )
    judging = _Judging(old, new)
    columns = {_key(column): column for run in (old, new) for column in run.header.columns.values()}
    changes = [
        Change(requirement, columns[key], was, now, *judging.of(was, now))
        for requirement, key in dict.fromkeys((*after, *before))
        for was, now in [(before.get((requirement, key)), after.get((requirement, key)))]
    ]
    both = [change for change in changes if change.old and change.new]
    if all(change.bucket is Bucket.SUITE_CHANGED for change in both):
        raise IncomparableError(
            f"no cell asked the same problems: the old run is of kl-conformance {old.header.suite}, profile "
            f"{old.header.profile}, the new one of {new.header.suite}, profile {new.header.profile}; run both "
            "versions with one suite and one profile"
        )
    return Comparison(old, new, differences(old, new), tuple(changes), (*_cut(old, "old"), *_cut(new, "new")))


def differences(old: Run, new: Run) -> tuple[Difference, ...]:
    """Return what differs between the environments of two runs, the suite, profile and seed among it."""
    before, after = (
        {
            **run.header.environment,
            "kl-conformance": run.header.suite,
            "profile": run.header.profile,
            "seed": str(run.header.seed),
        }
        for run in (old, new)
    )
    names = dict.fromkeys((*before, *after))
    pairs = (Difference(name, before.get(name, ""), after.get(name, "")) for name in names)
    return tuple(pair for pair in pairs if pair.old != pair.new)


def settled(change: Change, seen: Replayed) -> Change:
    """Return a change in the bucket that its witness, put to both versions again, shows it to belong to."""
    bucket, why = change.bucket, change.why
    now_broken = _broken(change.new)
    match seen.old, seen.new:
        case (Seen.UNASKED, _) | (_, Seen.UNASKED):
            why = f"{why} Not seen again: {seen.why}."
        case (Seen.UNSTABLE, _) | (_, Seen.UNSTABLE):
            bucket, why = Bucket.UNSTABLE, "One of the two gives several answers to the same question."
        case (Seen.HELD, Seen.BROKEN):
            bucket, why = Bucket.REGRESSED, "Asked again: the old version holds, the new one does not."
        case (Seen.BROKEN, Seen.HELD):
            bucket, why = Bucket.FIXED, "Asked again: the old version is broken, the new one holds."
        case (Seen.BROKEN, Seen.BROKEN) if now_broken:
            bucket, why = Bucket.NEWLY_OBSERVED, "The old version is broken on this problem as well."
        case (Seen.BROKEN, Seen.BROKEN):
            bucket, why = Bucket.UNCHANGED, "The new version is still broken on the old run's problem."
        case _:
            bucket, why = Bucket.UNSTABLE, "Recorded as broken, and right on both versions when asked again."
    return replace(change, bucket=bucket, why=why, replayed=seen)


class _Judging:
    """Says what became of a cell, knowing what the two runs have in common."""

    def __init__(self, old: Run, new: Run) -> None:
        self._old, self._new = old, new
        before, after = old.header, new.header
        drawn = ("hypothesis",)  # what the search draws hangs on its seed, and on who draws
        self._same_draws = before.seed == after.seed and all(
            before.environment.get(name) == after.environment.get(name) for name in drawn
        )
        self._same_machine = all(
            before.environment.get(name) == after.environment.get(name) for name in MACHINE
        )

    def of(self, old: Result | None, new: Result | None) -> tuple[Bucket, str]:
        """Return the bucket of a cell and why."""
        if old is None or new is None or _unjudged(old) or _unjudged(new):
            return _absent(old, new)
        changed = self._suite(old)
        if changed or old.revision != new.revision:
            return Bucket.SUITE_CHANGED, changed or f"Revision {old.revision} before, {new.revision} now."
        lost = [run for run, each in ((self._old, old), (self._new, new)) if _lost(run, each)]
        if lost:
            return Bucket.NOT_COMPARABLE, "A run was cut off while this cell was asked."
        if Verdict.NONDETERMINISTIC in {old.verdict, new.verdict}:
            return Bucket.UNSTABLE, "The same call gave different bits within one run."
        silent = {Verdict.UNSUPPORTED, Verdict.UNDECIDED}
        if old.verdict in silent or new.verdict in silent:
            same = old.verdict is new.verdict
            return (Bucket.UNCHANGED if same else Bucket.NOT_COMPARABLE), _from_to(old, new)
        match _broken(old), _broken(new):
            case False, True:
                return self._turned(new, Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, _from_to(old, new))
            case True, False:
                return self._turned(old, Bucket.FIXED, Bucket.NOT_COMPARABLE, _from_to(old, new))
            case True, True:
                return _still(old, new)
            case _:
                return self._held(old, new)

    def _turned(self, broken: Result, same: Bucket, other: Bucket, words: str) -> tuple[Bucket, str]:
        """Say whether both sides were asked what one of them breaks."""
        # A broken cell that has given all its fixed answers was broken by the search, on a problem of its own.
        drawn = broken.fixed is not None and broken.verdict is not Verdict.EXPECTED
        if drawn and not self._same_draws:
            return other, f"{words} The problem was drawn with a seed that the other run had not."
        return same, words

    def _held(self, old: Result, new: Result) -> tuple[Bucket, str]:
        before, after = old.fixed, new.fixed
        if before is None or after is None or before.bits == after.bits:
            return Bucket.UNCHANGED, ""
        if not self._same_machine:
            return Bucket.NOT_COMPARABLE, "Other output bits, on another machine."
        was, now = before.headroom, after.headroom
        if was is not None and now is not None and max(was, now) > LITTLE:
            words = f"Used {used(was)}, and now {used(now)}."
            if now > FACTOR * was:
                return Bucket.WORSE, words
            if was > FACTOR * now:
                return Bucket.BETTER, words
        return Bucket.CHANGED_BITS, "Other output bits on the same problems, inside what is allowed."

    def _suite(self, result: Result) -> str:
        """Return how a requirement's problems differ between the runs; empty where they do not."""
        before, after = (
            run.header.requirements.get(result.requirement, {}).get("problems")
            for run in (self._old, self._new)
        )
        return "" if before == after else "Its fixed problems are others."


def _still(old: Result, new: Result) -> tuple[Bucket, str]:
    """Say what became of a cell that is broken on both sides."""
    words = "" if old.verdict is new.verdict else _from_to(old, new)
    was, now = old.witness or {}, new.witness or {}
    asked_the_same = was.get("problem") == now.get("problem") and was.get("call") == now.get("call")
    if asked_the_same and was.get("got") != now.get("got"):
        return Bucket.CHANGED_BITS, "Broken as before, with other output bits on the same problem."
    return Bucket.UNCHANGED, words


def _absent(old: Result | None, new: Result | None) -> tuple[Bucket, str]:
    """Say what became of a cell that one side did not judge."""
    if old is not None and not _unjudged(old):
        return Bucket.MISSING, "The new run has no such cell." if new is None else f"Now: {new.detail}"
    if new is not None and not _unjudged(new):
        return (
            Bucket.NOT_COMPARABLE,
            "The old run has no such cell." if old is None else f"Then: {old.detail}",
        )
    return Bucket.UNCHANGED, "Judged by neither."


def _unjudged(result: Result) -> bool:
    return result.verdict is Verdict.MISSING


def _broken(result: Result | None) -> bool:
    """Whether a requirement was seen broken, recorded or not; no answer at all is no answer held."""
    return result is not None and result.verdict in {
        Verdict.FAIL,
        Verdict.EXPECTED,
        Verdict.CRASHED,
        Verdict.TIMED_OUT,
    }


def _lost(run: Run, result: Result) -> bool:
    """Whether a cell died with its whole run, which says nothing about who was asked."""
    return run.finished is None and result.verdict is Verdict.CRASHED


def _from_to(old: Result, new: Result) -> str:
    return f"Before: {outcome(old)}; now: {outcome(new)}."


def _cut(run: Run, which: str) -> Iterator[str]:
    if run.finished is None:
        yield f"The {which} run was cut off: cells it did not reach cannot be compared."


def _key(column: Column) -> Key:
    return column.implementation, column.device, column.dtype, column.mode


def _cells(run: Run) -> Cells:
    """Return results by requirement and column, whatever the version.

    Raises
    ------
    IncomparableError
        Two columns differ in their version alone.
    """
    versions: dict[Key, str] = {}
    for column in run.header.columns.values():
        other = versions.setdefault(_key(column), column.version)
        if other != column.version:
            raise IncomparableError(
                f"one run holds {column.implementation} {other} and {column.version}; compare runs of one "
                "version each"
            )
    columns = run.header.columns
    return {
        (result.requirement, _key(columns[result.column])): result
        for result in run.results
        if result.column in columns
    }


def _asked(run: Run) -> str:
    names = dict.fromkeys(
        f"{column.implementation} {column.version} ({column.device}, {column.dtype}, {column.mode})"
        for column in run.header.columns.values()
    )
    return listed(list(names), 3)
