"""One cell settled: recorded deviations first, then the corpus, the grid and the search."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, repeat

from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.accumulator import CellAccumulator
from kl_conformance.cells.effort import draws, effective_profile, shapes
from kl_conformance.cells.fixed_problems import FixedProblem, fixed_problems, omitted_problems
from kl_conformance.cells.search import search
from kl_conformance.cells.shrink import shrink
from kl_conformance.diagnosis.alternatives import diagnose
from kl_conformance.errors import AbsentError, RefusedError
from kl_conformance.expectations.expectation import Expectation, expected_deviations, permitted_deviations
from kl_conformance.expectations.triton_interpreter import interpreter_rounding
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judgement import Judgement
from kl_conformance.judging.witness import witness
from kl_conformance.requirements.requirement import Requirement
from kl_reports.runfile.records import Absence, Kind, Result, Verdict


@dataclass(frozen=True, slots=True)
class RerunResult:
    """A recorded deviation seen again."""

    entry: Expectation
    case: str
    pair: Pair
    judgement: Judgement


class Cell:
    """A requirement put to a subject.

    Parameters
    ----------
    requirement, subject
        What must hold, and who is asked.
    profile, seeds
        How much is asked, and the seed of each search.
    brief
        Whether the verdict is all that is wanted: a broken pair is neither made small nor explained.
    examples
        How many pairs each search draws; as many as the requirement says of the profile when None.
    """

    def __init__(
        self,
        requirement: Requirement,
        subject: Subject,
        profile: TestProfile,
        *seeds: int,
        brief: bool = False,
        examples: int | None = None,
    ) -> None:
        self.requirement = requirement
        self.subject = subject
        self.profile = profile
        self.seeds = seeds
        self.brief = brief
        self.examples = draws(requirement, subject, profile) if examples is None else examples
        self.expected = expected_deviations(requirement.id, subject)
        self.permitted = (*permitted_deviations(requirement.id, subject), *interpreter_rounding(subject))
        self.tally = CellAccumulator()
        self.first: Judgement | None = None  # of the pair that failed

    def evaluate(self) -> Result:
        """Ask everything the profile holds and return the verdict."""
        began = time.monotonic()
        try:
            result = self._evaluate()
        except AbsentError as absent:
            result = self._result(Verdict.MISSING, detail=str(absent), absence=Absence.UNAVAILABLE)
        except FloatingPointError as changed:  # the reference's own: the arithmetic is not as it was
            detail = f"Nothing can be judged after a call: {changed}."
            result = self._result(Verdict.FAIL, detail=detail, kind=Kind.NUMBER)
        seconds = time.monotonic() - began
        spread = self.tally.spreading.spread()
        fixed = self.tally.fixed
        return replace(result, problems=self.tally.problems, seconds=seconds, spread=spread, fixed=fixed)

    def _evaluate(self) -> Result:
        why = self.requirement.applies(self.subject)
        if why is not None:
            return self._result(Verdict.UNSUPPORTED, detail=why)
        why = self.requirement.skip_in_quick(self.subject) if self.profile is TestProfile.QUICK else None
        if why is not None:
            return self._result(Verdict.MISSING, detail=why, absence=Absence.SKIPPED)
        replayed: RerunResult | None = None
        for entry in self.expected:
            seen = self.rerun(entry)
            if seen is None:
                witnesses = ", ".join(entry.witnesses)
                detail = (
                    f"{entry.id} is recorded, but no witness ({witnesses}) shows it now: the entry must go."
                )
                return self._result(Verdict.FIXED, detail=detail, deviation=entry.id)
            replayed = replayed or seen
        for pair, case, turn in islice(self._fixed(), 1 if self.requirement.once else None):
            if self._breaks(pair, turn):
                return self._broken(pair, case)
        self.tally.close()
        for seed in () if self.requirement.once else self.seeds:
            found = self._search(seed)
            if found is not None:
                return self._broken(found, None)
        if replayed is not None:
            return self.known_deviation(replayed)
        return self._held() if self.tally.excused is None else self._follows(*self.tally.excused)

    def _fixed(self) -> Iterator[FixedProblem]:
        """Yield the fixed problems, and where they decide nothing what was left out, until something does."""
        yield from fixed_problems(self.requirement, self.subject, self.profile)
        for question in omitted_problems(self.requirement, self.subject, self.profile):
            if self.tally.decisive or self.tally.excused:
                break
            yield question

    def _search(self, seed: int) -> Pair | None:
        """Return a drawn pair that is broken, or None."""
        palette = shapes(self.requirement, self.subject, self.profile)
        turns = (
            count(seed)
            if effective_profile(self.subject, self.profile) is TestProfile.QUICK
            else repeat(None)
        )

        def breaks(pair: Pair) -> bool:
            return self._breaks(pair, next(turns))

        return search(self.requirement, self.subject.dtype, palette, self.examples, seed, breaks)

    def judgements(self, pair: Pair) -> Iterator[Judgement]:
        """Yield what the requirement says of a pair; an implementation that raises has not held it."""
        subject = self.subject
        subject.misshapen.clear()
        try:
            yield from self.requirement.check(subject, pair)
        except RefusedError as refusal:
            yield judge.refused(subject.problem(pair), subject.named, refusal)
        except (IndexError, TypeError, ValueError):
            if not subject.misshapen:
                raise
            call, shapes = subject.misshapen[-1]
            failed = judge.failed(
                subject.problem(pair), subject.named, f"{call.text} {shapes.note}", Kind.SHAPE
            )
            yield replace(failed, misshapen=shapes)

    def _news(self, judgement: Judgement) -> bool:
        """Whether a judgement is broken beyond what is recorded."""
        if not judgement.broken:
            return False
        left = judgement.bad
        for entry in (*self.expected, *self.permitted):
            explained = entry.explains(judgement, self.subject)
            if (left & explained).any():
                self.tally.deviations[entry.id] = entry
            left = left & ~explained
        return bool(left.any())

    def _breaks(self, pair: Pair, turn: int | None = None) -> bool:
        """Ask about one pair, in the forms whose turn it is; whether anything new is broken."""
        self.subject.turn = turn
        try:
            return self._news_of(pair)
        finally:
            self.subject.turn = None

    def _news_of(self, pair: Pair) -> bool:
        for judgement in self.judgements(pair):
            if not self.requirement.once:
                self.tally.mark(judgement)
            if self._news(judgement):
                self.tally.problems += 1
                self.first = judgement
                return True
            if judgement.broken:
                self.tally.problems += 1
                self.tally.excused = self.tally.excused or (pair, judgement)
            else:
                self.tally.count(judgement)
        return False

    def _breaking(self, pair: Pair, fault: tuple[str, str]) -> Judgement | None:
        """Return the first news of that kind about a pair: a smaller pair must show the same fault."""
        found = (each for each in self.judgements(pair) if self._news(each) and each.fault == fault)
        return next(found, None)

    def rerun(self, entry: Expectation) -> RerunResult | None:
        """Ask a recorded deviation's witnesses; the first that still shows it, or None where all is right now."""
        for name, pair in entry.witness_pairs():
            for judgement in self.judgements(pair):
                if judgement.broken and entry.explains(judgement, self.subject).any():
                    return RerunResult(entry, name, pair, judgement)
        return None

    def _broken(self, pair: Pair, case: str | None) -> Result:
        """Make the broken pair small, ask it once more from nothing, and say what was seen."""
        assert self.first is not None
        first, small = self.first, pair
        # In chapter errors the shapes are the question, and nothing is to shrink.
        if not (self.brief or self.requirement.once or self.requirement.chapter == "errors"):
            small = shrink(pair, lambda candidate: self._breaking(candidate, first.fault) is not None)
        self.subject.clear_cache()
        judgement = self._breaking(small, first.fault)
        if judgement is None:
            detail = f"Broken once on {pair.origin}, and right when asked again."
            return self._result(Verdict.NONDETERMINISTIC, detail=detail, kind=first.kind)
        explanation = "" if self.brief else diagnose(judgement, small, self.subject)
        explained = f" This is the correct answer to another problem: {explanation}." if explanation else ""
        return self._result(
            Verdict.FAIL,
            detail=judgement.sentence + explained,
            kind=judgement.kind,
            explanation=explanation,
            happened=judgement.happened,
            headroom=judgement.headroom,
            budget=judgement.budget,
            witness=witness(judgement, small, case=case if small.id == pair.id else None),
        )

    def _held(self) -> Result:
        tally = self.tally
        if not tally.decisive:
            why = tally.vacuous or "no problem of this profile says anything about it"
            return self._result(Verdict.UNDECIDED, detail=f"Nothing asked could decide it: {why}.")
        closest = tally.closest
        return self._result(
            Verdict.PASS,
            detail="" if tally.grade is None else tally.grade.sentence,
            headroom=None if closest is None else closest.headroom,
            budget=() if closest is None else closest.budget,
        )

    def known_deviation(self, seen: RerunResult) -> Result:
        """Return the verdict of a recorded deviation that was seen again."""
        names = ", ".join(dict.fromkeys((seen.entry.id, *self.tally.deviations)))
        return self._result(
            Verdict.EXPECTED,
            detail=seen.entry.reason,
            kind=seen.judgement.kind,
            headroom=seen.judgement.headroom,
            budget=seen.judgement.budget,
            deviation=names,
            witness=witness(seen.judgement, seen.pair, case=seen.case, link=seen.entry.link),
        )

    def _follows(self, pair: Pair, judgement: Judgement) -> Result:
        """Say that only such faults were seen as are no fault of the kernel's own."""
        entries = self.tally.deviations.values()
        own = self.subject.implementation
        like = (
            f", as {own.like} does the same"
            if any(own.like in each.implementations for each in entries)
            else ""
        )
        reasons = " ".join(entry.reason for entry in entries)
        return self._result(
            Verdict.EXPECTED,
            detail=f"Permitted{like}. {reasons}",
            kind=judgement.kind,
            deviation=", ".join(entry.id for entry in entries),
            witness=witness(judgement, pair),
        )

    def _result(self, verdict: Verdict, **rest: object) -> Result:
        made = Result(
            requirement=self.requirement.id,
            revision=self.requirement.revision,
            column=self.subject.column.key,
            verdict=verdict,
        )
        # `replace` cannot know that these keywords are fields of a Result.
        return replace(made, **rest)  # type: ignore[arg-type]
