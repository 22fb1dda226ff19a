"""Runs one cell: expectations, fixed problems, search, verdict."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count, islice, repeat

from kl_cases.pair import Pair
from kl_conformance.cells.accumulator import CellAccumulator
from kl_conformance.cells.effort import Effort
from kl_conformance.cells.fixed_problems import FixedProblem, fixed_problems, omitted_problems
from kl_conformance.cells.search import search
from kl_conformance.cells.shrink import shrink
from kl_conformance.diagnosis.alternatives import diagnose
from kl_conformance.errors import AbsentError, RefusedError
from kl_conformance.expectations.expectation import Expectation, expected_deviations, permitted_deviations
from kl_conformance.expectations.triton_interpreter import interpreter_rounding
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.evaluation import WrongShapeError
from kl_conformance.judging.judgement import Judgement
from kl_conformance.judging.witness import witness
from kl_conformance.requirements.requirement import Requirement
from kl_reports.runfile.records import Absence, Kind, Result, Verdict


@dataclass(frozen=True, slots=True)
class RerunResult:
    """A known deviation that one of its witnesses still shows."""

    entry: Expectation
    case: str
    pair: Pair
    judgement: Judgement


class Cell:
    """One requirement evaluated in one column.

    Parameters
    ----------
    requirement, subject
        The requirement, and the column.
    effort
        How much is tested; see :func:`kl_conformance.cells.effort.effort_of`.
    seeds
        The seed of each search.
    verdict_only
        Whether a failing pair is neither shrunk nor explained.
    """

    def __init__(
        self, requirement: Requirement, subject: Subject, effort: Effort, *seeds: int, verdict_only: bool = False
    ) -> None:
        self.requirement = requirement
        self.subject = subject
        self.effort = effort
        self.seeds = seeds
        self.verdict_only = verdict_only
        self.expected = expected_deviations(requirement.id, subject)
        self.permitted = (*permitted_deviations(requirement.id, subject), *interpreter_rounding(subject))
        self.accumulator = CellAccumulator()
        self.first: Judgement | None = None  # of the pair that failed

    def evaluate(self) -> Result:
        """Evaluate the cell and return its verdict."""
        began = time.monotonic()
        try:
            result = self._evaluate()
        except AbsentError as absent:
            result = self._result(Verdict.MISSING, detail=str(absent), absence=Absence.UNAVAILABLE)
        except FloatingPointError as changed:  # raised by the reference: a call changed the process's arithmetic
            detail = f"Nothing can be judged after a call: {changed}."
            result = self._result(Verdict.FAIL, detail=detail, kind=Kind.NUMBER)
        accumulated = self.accumulator
        return replace(
            result,
            problems=accumulated.problems,
            seconds=time.monotonic() - began,
            spread=accumulated.histogram.distribution(),
            fixed=accumulated.fixed,
        )

    def _evaluate(self) -> Result:
        inapplicable = self.requirement.applies(self.subject)
        if inapplicable is not None:
            return self._result(Verdict.UNSUPPORTED, detail=inapplicable)
        if self.effort.skipped is not None:
            return self._result(Verdict.MISSING, detail=self.effort.skipped, absence=Absence.SKIPPED)
        shown: RerunResult | None = None
        for entry in self.expected:
            rerun = self.rerun(entry)
            if rerun is None:
                return self._fixed(entry)
            shown = shown or rerun
        for pair, case, rotation in islice(self._fixed_problems(), 1 if self.requirement.once else None):
            if self._fails(pair, rotation):
                return self._failed(pair, case)
        self.accumulator.close()
        for seed in () if self.requirement.once else self.seeds:
            found = self._search(seed)
            if found is not None:
                return self._failed(found, None)
        if shown is not None:
            return self.known_deviation(shown)
        excused = self.accumulator.excused
        return self._passed() if excused is None else self._permitted(*excused)

    def _fixed_problems(self) -> Iterator[FixedProblem]:
        """Yield the fixed problems; if they decide nothing, also the omitted ones until one does."""
        dtype = self.subject.dtype
        yield from fixed_problems(self.requirement, dtype, self.effort)
        for omitted in omitted_problems(self.requirement, dtype, self.effort):
            if self.accumulator.decisive or self.accumulator.excused:
                break
            yield omitted

    def _search(self, seed: int) -> Pair | None:
        """Return a drawn pair that fails, or None."""
        effort = self.effort
        rotations = count(seed) if effort.rotates else repeat(None)

        def fails(pair: Pair) -> bool:
            return self._fails(pair, next(rotations))

        return search(self.requirement, self.subject.dtype, effort.shapes, effort.draws, seed, fails)

    def judgements(self, pair: Pair, rotation: int | None = None) -> Iterator[Judgement]:
        """Yield the judgements of a pair in a rotation of the call forms (all forms when None).

        A call that raises, or returns another shape than the check needs, is a failure.
        """
        subject = self.subject
        try:
            yield from self.requirement.check(subject.rotated(rotation), pair)
        except RefusedError as refusal:
            yield judge.refused(subject.problem(pair), subject.named, refusal)
        except WrongShapeError as wrong:
            if wrong.evaluation is not None:
                yield judge.wrong_shape(wrong.evaluation)
            else:
                failure = judge.failed(subject.problem(pair), subject.named, str(wrong), Kind.SHAPE)
                yield replace(failure, shape_mismatch=wrong.shapes)

    def _is_new(self, judgement: Judgement) -> bool:
        """Whether a judgement fails beyond the known deviations."""
        if not judgement.is_failure:
            return False
        unexplained = judgement.failed
        for entry in (*self.expected, *self.permitted):
            explained = entry.explains(judgement, self.subject)
            if (unexplained & explained).any():
                self.accumulator.deviations[entry.id] = entry
            unexplained = unexplained & ~explained
        return bool(unexplained.any())

    def _fails(self, pair: Pair, rotation: int | None = None) -> bool:
        """Whether a pair, evaluated in a rotation of the call forms, has a new failure."""
        accumulator = self.accumulator
        for judgement in self.judgements(pair, rotation):
            if not self.requirement.once:
                accumulator.record_answer(judgement)
            if self._is_new(judgement):
                accumulator.problems += 1
                self.first = judgement
                return True
            if judgement.is_failure:
                accumulator.problems += 1
                accumulator.excused = accumulator.excused or (pair, judgement)
            else:
                accumulator.count(judgement)
        return False

    def _same_failure(self, pair: Pair, fault: tuple[str, str]) -> Judgement | None:
        """Return the first new failure of a pair with that fault: a smaller pair must show the same one."""
        found = (each for each in self.judgements(pair) if self._is_new(each) and each.fault == fault)
        return next(found, None)

    def rerun(self, entry: Expectation) -> RerunResult | None:
        """Evaluate the witnesses of a known deviation; the first that still shows it, or None if none does."""
        for name, pair in entry.witness_pairs():
            for judgement in self.judgements(pair):
                if judgement.is_failure and entry.explains(judgement, self.subject).any():
                    return RerunResult(entry, name, pair, judgement)
        return None

    def _fixed(self, entry: Expectation) -> Result:
        witnesses = ", ".join(entry.witnesses)
        detail = f"{entry.id} is recorded, but no witness ({witnesses}) shows it now: the entry must go."
        return self._result(Verdict.FIXED, detail=detail, deviation=entry.id)

    def _failed(self, pair: Pair, case: str | None) -> Result:
        """Shrink the failing pair, evaluate it again without cached answers, and describe the failure."""
        assert self.first is not None
        first, small = self.first, pair
        # In chapter errors the shapes are what is tested: nothing can be shrunk.
        if not (self.verdict_only or self.requirement.once or self.requirement.chapter == "errors"):
            small = shrink(
                pair,
                lambda candidate: self._same_failure(candidate, first.fault) is not None,
                self.effort.shrink_seconds,
            )
        self.subject.clear_cache()
        judgement = self._same_failure(small, first.fault)
        if judgement is None:
            detail = f"Failed once on {pair.origin}, and passed when evaluated again."
            return self._result(Verdict.NONDETERMINISTIC, detail=detail, kind=first.kind)
        explanation = "" if self.verdict_only else diagnose(judgement, small, self.subject)
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

    def _passed(self) -> Result:
        accumulated = self.accumulator
        if not accumulated.decisive:
            reason = accumulated.vacuous or "no problem in this profile exercises the requirement"
            return self._result(Verdict.UNDECIDED, detail=f"Undecided: {reason}.")
        closest = accumulated.closest
        return self._result(
            Verdict.PASS,
            detail="" if accumulated.grade is None else accumulated.grade.sentence,
            headroom=None if closest is None else closest.headroom,
            budget=() if closest is None else closest.budget,
        )

    def known_deviation(self, shown: RerunResult) -> Result:
        """Return the verdict of a known deviation that a witness still shows."""
        names = ", ".join(dict.fromkeys((shown.entry.id, *self.accumulator.deviations)))
        return self._result(
            Verdict.EXPECTED,
            detail=shown.entry.reason,
            kind=shown.judgement.kind,
            headroom=shown.judgement.headroom,
            budget=shown.judgement.budget,
            deviation=names,
            witness=witness(shown.judgement, shown.pair, case=shown.case, link=shown.entry.link),
        )

    def _permitted(self, pair: Pair, judgement: Judgement) -> Result:
        """Return the verdict of a kernel whose only failures are permitted deviations."""
        entries = self.accumulator.deviations.values()
        like = self.subject.implementation.like
        same = f", as {like} does the same" if any(like in each.implementations for each in entries) else ""
        reasons = " ".join(entry.reason for entry in entries)
        return self._result(
            Verdict.EXPECTED,
            detail=f"Permitted{same}. {reasons}",
            kind=judgement.kind,
            deviation=", ".join(entry.id for entry in entries),
            witness=witness(judgement, pair),
        )

    def _result(self, verdict: Verdict, **fields: object) -> Result:
        made = Result(
            requirement=self.requirement.id,
            revision=self.requirement.revision,
            column=self.subject.column.key,
            verdict=verdict,
        )
        # `replace` cannot know that these keywords are fields of a Result.
        return replace(made, **fields)  # type: ignore[arg-type]
