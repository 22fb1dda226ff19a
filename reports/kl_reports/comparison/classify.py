"""The bucket of a cell of two runs, with the reason; only results of the same problems are compared."""

from kl_reports.analysis.wording import outcome, used
from kl_reports.comparison.change import Bucket, failed
from kl_reports.runfile.records import Result, Run, Verdict

FACTOR = 2.0  # a headroom that moved by more is reported
LITTLE = 0.05  # … unless both headrooms are at most this
MACHINE = ("platform", "processor", "threads")  # where one of these differs, so may bits of the same packages


class Classifier:
    """Determines the bucket of each cell of two runs."""

    def __init__(self, old: Run, new: Run) -> None:
        self._old, self._new = old, new
        before, after = old.header, new.header
        # The seed and the version of Hypothesis determine which problems the search draws.
        self._same_draws = before.seed == after.seed and before.shared.get("hypothesis") == after.shared.get(
            "hypothesis"
        )
        self._same_machine = all(before.shared.get(name) == after.shared.get(name) for name in MACHINE)

    def classify(self, old: Result | None, new: Result | None) -> tuple[Bucket, str]:
        """Return the bucket of a cell and the reason."""
        if old is None or new is None or _missing(old) or _missing(new):
            return _absent(old, new)
        changed = self._problems_changed(old)
        if changed or old.revision != new.revision:
            return Bucket.SUITE_CHANGED, changed or f"Revision {old.revision} before, {new.revision} now."
        if any(_interrupted(run, each) for run, each in ((self._old, old), (self._new, new))):
            return Bucket.NOT_COMPARABLE, "A run was cut off during this cell."
        if Verdict.NONDETERMINISTIC in {old.verdict, new.verdict}:
            return Bucket.UNSTABLE, "The same call returned different bits within one run."
        if not (old.verdict.is_judged and new.verdict.is_judged):
            same = old.verdict is new.verdict
            return (Bucket.UNCHANGED if same else Bucket.NOT_COMPARABLE), _from_to(old, new)
        match failed(old), failed(new):
            case False, True:
                return self._turned(new, Bucket.REGRESSED, Bucket.NEWLY_OBSERVED, _from_to(old, new))
            case True, False:
                return self._turned(old, Bucket.FIXED, Bucket.NOT_COMPARABLE, _from_to(old, new))
            case True, True:
                return _both_failed(old, new)
            case _:
                return self._both_passed(old, new)

    def _turned(self, result: Result, same: Bucket, other: Bucket, reason: str) -> tuple[Bucket, str]:
        """Return bucket ``same`` if both runs evaluated the problem that fails in ``result``, else ``other``."""
        # A cell that fails although all its fixed problems have answers fails on a problem drawn by the search.
        drawn = result.fixed is not None and result.verdict is not Verdict.EXPECTED
        if drawn and not self._same_draws:
            return other, f"{reason} The problem was drawn with a seed that the other run did not use."
        return same, reason

    def _both_passed(self, old: Result, new: Result) -> tuple[Bucket, str]:
        before, after = old.fixed, new.fixed
        if before is None or after is None or before.bits == after.bits:
            return Bucket.UNCHANGED, ""
        if not self._same_machine:
            return Bucket.NOT_COMPARABLE, "Other output bits, on another machine."
        was, now = before.headroom, after.headroom
        if was is not None and now is not None and max(was, now) > LITTLE:
            reason = f"Before: {used(was)}; now: {used(now)}."
            if now > FACTOR * was:
                return Bucket.WORSE, reason
            if was > FACTOR * now:
                return Bucket.BETTER, reason
        return Bucket.CHANGED_BITS, "Other output bits on the same problems, within tolerance."

    def _problems_changed(self, result: Result) -> str:
        """Return how a requirement's problems differ between the runs; empty if they do not."""
        before, after = (
            run.header.requirements.get(result.requirement, {}).get("problems") for run in (self._old, self._new)
        )
        return "" if before == after else "Its fixed problems have changed."


def _both_failed(old: Result, new: Result) -> tuple[Bucket, str]:
    before, after = old.witness or {}, new.witness or {}
    same_call = before.get("problem") == after.get("problem") and before.get("call") == after.get("call")
    if same_call and before.get("got") != after.get("got"):
        return Bucket.CHANGED_BITS, "Fails as before, with other output bits on the same problem."
    return Bucket.UNCHANGED, "" if old.verdict is new.verdict else _from_to(old, new)


def _absent(old: Result | None, new: Result | None) -> tuple[Bucket, str]:
    if old is not None and not _missing(old):
        return Bucket.MISSING, "The new run has no such cell." if new is None else f"Now: {new.detail}"
    if new is not None and not _missing(new):
        reason = "The old run has no such cell." if old is None else f"Then: {old.detail}"
        return Bucket.NOT_COMPARABLE, reason
    return Bucket.UNCHANGED, "Not run on either side."


def _missing(result: Result) -> bool:
    return result.verdict is Verdict.MISSING


def _interrupted(run: Run, result: Result) -> bool:
    """Whether a cell ended with its whole run, which is no evidence about the implementation."""
    return run.finished is None and result.verdict is Verdict.CRASHED


def _from_to(old: Result, new: Result) -> str:
    return f"Before: {outcome(old)}; now: {outcome(new)}."
