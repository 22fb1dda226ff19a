"""Which bucket a cell of two runs belongs to, and why: only like is held against like."""

from __future__ import annotations

from kl_reports.analysis.wording import outcome, used
from kl_reports.comparison.change import Bucket, broken
from kl_reports.runfile.records import Result, Run, Verdict

FACTOR = 2.0  # a headroom that moved by more is told
LITTLE = 0.05  # … unless it is still so small a share of what is allowed
MACHINE = ("platform", "processor", "threads")  # another of these gives other bits with the same packages


class Bucketing:
    """Says what became of a cell, knowing what the two runs have in common."""

    def __init__(self, old: Run, new: Run) -> None:
        self._old, self._new = old, new
        before, after = old.header, new.header
        drawn = ("hypothesis",)  # what the search draws hangs on its seed, and on who draws
        self._same_draws = before.seed == after.seed and all(
            before.shared.get(name) == after.shared.get(name) for name in drawn
        )
        self._same_machine = all(before.shared.get(name) == after.shared.get(name) for name in MACHINE)

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
        if not (old.verdict.is_judged and new.verdict.is_judged):
            same = old.verdict is new.verdict
            return (Bucket.UNCHANGED if same else Bucket.NOT_COMPARABLE), _from_to(old, new)
        match broken(old), broken(new):
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


def _lost(run: Run, result: Result) -> bool:
    """Whether a cell died with its whole run, which says nothing about who was asked."""
    return run.finished is None and result.verdict is Verdict.CRASHED


def _from_to(old: Result, new: Result) -> str:
    return f"Before: {outcome(old)}; now: {outcome(new)}."
