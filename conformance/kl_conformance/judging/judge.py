"""Comparison functions: within_tolerance, exact, elementwise, failed, passed, identity, same_answer, in_range."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from kl_conformance.errors import RefusedError
from kl_conformance.judging import elements
from kl_conformance.judging.cache import reference
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Criterion, Grade, Judgement, Mask
from kl_conformance.judging.witness import MOST_NUMBERS
from kl_reference.enclosure import Array
from kl_reference.problem import Problem
from kl_reference.tolerance import Profile, accepts_overflow, tolerance, vacuous
from kl_reports.runfile.records import Kind


def within_tolerance(evaluation: Evaluation, note: str = "", *, decisive: bool = True) -> Judgement:
    """Judge that every element is within tolerance of the exact answer.

    With ``decisive=False``, the problem need not show that a wrong answer would fail: for requirements whose correct
    answer is zero.
    """
    if evaluation.shape_mismatch is not None:
        return wrong_shape(evaluation)
    ratio = elements.error_ratio(evaluation)
    at = elements.worst(ratio)
    return Judgement(
        problem=evaluation.problem,
        call=evaluation.call,
        answer=evaluation.answer,
        expected=evaluation.enclosure.value,
        allowed=evaluation.tolerance.total,
        failed=ratio > 1,
        headroom=float(ratio[at]) if ratio.size else 0.0,
        at=at,
        budget=evaluation.budget(at) if ratio.size else (),
        note=note,
        vacuous=vacuous(evaluation.enclosure, evaluation.tolerance) if decisive else None,
        side=evaluation.side,
        condition=elements.condition(evaluation, at),
    )


def windowed(evaluation: Evaluation, pieces: Iterable[tuple[int, Array]], note: str) -> Judgement:
    """Judge a matrix of terms whose every row is a window of one vector, each row one element further on.

    Parameters
    ----------
    evaluation
        Of the vector; the returned array stands in for its elements.
    pieces
        Rows of the matrix as they were returned, each piece with the number of its first row.
    note
        Description of the matrix.
    """
    expected, allowed = evaluation.enclosure.value, evaluation.tolerance.total
    low, high = expected - allowed, expected + allowed
    answer = expected.copy()
    for first, piece in pieces:
        shape = piece.shape
        below, above = (_windows(each[first:], shape) for each in (low, high))
        outside = ~((piece >= below) & (piece <= above))
        # Every element of the vector is the first or the last of some row.
        answer[first : first + shape[0]] = piece[:, 0]
        answer[first + shape[1] - 1 : first + sum(shape) - 1] = piece[:, -1]
        if outside.any():
            distance = np.where(outside, np.abs(piece - _windows(expected[first:], shape)), -1.0)
            row, column = elements.worst(distance)
            single = _single_element(evaluation, first + row + column, float(piece[row, column]))
            judgement = within_tolerance(single, f"row {first + row:,}, class {column:,} of {note}")
            if judgement.is_failure:
                return judgement
    return within_tolerance(replace(evaluation, returned=answer), note)


def _single_element(evaluation: Evaluation, place: int, returned: float) -> Evaluation:
    """Return one element of a vector as an evaluation of its own."""
    problem = evaluation.problem
    target, model = (replace(side, values=side.values[place : place + 1]) for side in (problem.target, problem.model))
    single = replace(problem, target=target, model=model)
    enclosure = evaluation.solve(single)
    allowed = tolerance(single, enclosure, evaluation.profile)
    return replace(evaluation, problem=single, returned=np.array([returned]), enclosure=enclosure, tolerance=allowed)


def _windows(vector: Array, shape: tuple[int, ...]) -> Array:
    """Return rows that are windows of a vector, each one element further on than the one before."""
    (step,) = vector.strides
    return as_strided(vector, shape, (step, step), writeable=False)


def graded(evaluation: Evaluation) -> Judgement:
    """Judge terms as :func:`within_tolerance` does, with their accuracy class.

    Class A is the same tolerance with |t|, the exact term, in place of the condition p·(|log p| + |log q|).
    """
    judgement = within_tolerance(evaluation)
    if judgement.is_failure or judgement.headroom is None:
        return replace(judgement, grade=Grade.C)
    enclosure = evaluation.enclosure
    sharp = replace(enclosure, scale=replace(enclosure.scale, condition=np.abs(enclosure.value)))
    allowed = tolerance(evaluation.problem, sharp, evaluation.profile).total
    ratio = elements.ratio(np.abs(enclosure.error(evaluation.answer)), allowed)
    return replace(judgement, grade=Grade.A if bool(np.all(ratio <= 1)) else Grade.B)


def within_tolerance_where(evaluation: Evaluation, where: Mask) -> Judgement:
    """Judge as :func:`within_tolerance` does, but only the elements of ``where``."""
    judgement = within_tolerance(evaluation, decisive=False)
    if judgement.shape_mismatch is not None:
        return judgement
    return replace(judgement, failed=judgement.failed & where, headroom=None)


def exact(evaluation: Evaluation, note: str = "", where: Mask | None = None) -> Judgement:
    """Judge that the answer is exact to the last bit, at the elements of ``where`` (all when None)."""
    if evaluation.shape_mismatch is not None:
        return wrong_shape(evaluation)
    wrong = np.abs(evaluation.enclosure.error(evaluation.answer)) != 0
    if where is not None:
        wrong &= where
    return elementwise(evaluation, ~wrong, note or "must be exact")


def elementwise(evaluation: Evaluation, fine: Mask, note: str) -> Judgement:
    """Judge by a yes or no for every element, or one for all."""
    if evaluation.shape_mismatch is not None:
        return wrong_shape(evaluation)
    return _yes_or_no(evaluation, evaluation.enclosure.value, fine, note)


def _yes_or_no(evaluation: Evaluation, expected: Array, fine: Mask, note: str) -> Judgement:
    answer = evaluation.returned
    failed = np.broadcast_to(~fine, answer.shape)
    return Judgement(
        problem=evaluation.problem,
        call=evaluation.call,
        answer=answer,
        expected=expected,
        allowed=np.zeros_like(answer),
        failed=failed,
        at=elements.worst(failed.astype(float)),
        note=note,
        criterion=Criterion.YES_OR_NO,
    )


def wrong_shape(evaluation: Evaluation) -> Judgement:
    """Judge an answer of another shape than expected: every element fails, or the whole if it has none or too many."""
    shapes, returned = evaluation.shape_mismatch, evaluation.returned
    assert shapes is not None
    if 0 < returned.size <= MOST_NUMBERS:
        judgement = _yes_or_no(evaluation, returned, np.array(False), shapes.clause)
    else:
        judgement = failed(evaluation.problem, evaluation.call, shapes.clause)
    return replace(judgement, kind=Kind.SHAPE, shape_mismatch=shapes)


def failed(problem: Problem, call: CallDescription, note: str, kind: Kind = Kind.NUMBER) -> Judgement:
    """Judge a call that failed, with nothing to measure."""
    raised = False if kind is Kind.ACCEPTED else None
    return replace(passed(problem, call, note), failed=np.array(True), kind=kind, raised=raised)


def refused(problem: Problem, call: CallDescription, refusal: RefusedError, lacking: str = "") -> Judgement:
    """Judge a call that returned no tensor where one is expected, or whose error message lacks a name."""
    note = f"{refusal}, which does not name {lacking}" if lacking else str(refusal)
    judgement = failed(problem, call, note, refusal.kind)
    return replace(judgement, error=refusal.error, raised=None if lacking else True, unhelpful=bool(lacking))


def passed(problem: Problem, call: CallDescription, note: str = "", *, raised: bool = False) -> Judgement:
    """Judge a call that passed, with nothing to measure."""
    nan = np.full((), np.nan)
    return Judgement(problem, call, nan, nan, nan, np.array(False), note=note, raised=raised or None)


@dataclass(frozen=True, slots=True)
class WeightedAnswer:
    """One side of an identity: a factor, and the evaluation that it multiplies (``summed`` over all elements)."""

    factor: float
    evaluation: Evaluation
    summed: bool = False

    @property
    def answer(self) -> Array:
        """Factor · answer."""
        return self.factor * self._whole(self.evaluation.answer)

    @property
    def exact(self) -> Array:
        """Factor · exact answer."""
        return self.factor * self._whole(self.evaluation.enclosure.value)

    @property
    def allowed(self) -> Array:
        """|Factor| · tolerance."""
        return abs(self.factor) * self._whole(self.evaluation.tolerance.total)

    @property
    def overflows(self) -> Mask:
        """Where an infinity was returned and is as correct as a number."""
        own = self.evaluation
        fine = accepts_overflow(own.enclosure, own.tolerance, own.profile.storage) & np.isinf(own.answer)
        return np.asarray(fine.any()) if self.summed else fine

    def _whole(self, values: Array) -> Array:
        if not self.summed:
            return values
        # fsum rounds once: the judge adds no error of its own to an identity.
        return np.asarray(math.fsum(values.ravel()) if np.isfinite(values).all() else values.sum())


def identity(sides: Sequence[WeightedAnswer], note: str, allowed: Array | None = None) -> Judgement:
    """Judge an identity Σ factor·answer = Σ factor·exact within the sum of the sides' tolerances.

    ``allowed`` replaces that sum where the identity is sharper than its sides. A witness shows the problem of the
    first side.
    """
    for side in sides:
        if side.evaluation.shape_mismatch is not None:
            return wrong_shape(side.evaluation)
    with np.errstate(invalid="ignore", over="ignore"):
        answer = sum((side.answer for side in sides), np.zeros(()))
        expected = sum((side.exact for side in sides), np.zeros(()))
        limit = sum((side.allowed for side in sides), np.zeros(())) if allowed is None else allowed
        ratio = elements.ratio(np.abs(answer - expected), np.broadcast_to(limit, np.shape(answer)))
    # An identity of infinities proves nothing, nor does one with a side that may overflow.
    silent = ~np.isfinite(expected)
    for side in sides:
        silent = silent | side.overflows
    ratio = np.where(silent, 0.0, ratio)
    at = elements.worst(ratio)
    first = sides[0].evaluation
    texts = dict.fromkeys(side.evaluation.call.text for side in sides)
    return Judgement(
        problem=first.problem,
        call=first.call if len(texts) == 1 else CallDescription(" against ".join(texts)),
        answer=np.asarray(answer),
        expected=np.asarray(expected),
        allowed=np.broadcast_to(limit, np.shape(answer)),
        failed=ratio > 1,
        headroom=float(ratio[at]) if ratio.size else 0.0,
        at=at,
        note=note,
    )


def same_answer(first: Evaluation, second: Evaluation, note: str) -> Judgement:
    """Judge that two answers to one problem have the same bits, or differ by no more than both tolerances."""
    judgement = identity((WeightedAnswer(1.0, first), WeightedAnswer(-1.0, second)), note)
    if judgement.shape_mismatch is not None:
        return judgement
    same = (first.answer == second.answer) | (np.isnan(first.answer) & np.isnan(second.answer))
    differs = judgement.failed & ~same
    return replace(judgement, failed=differs, headroom=judgement.headroom if differs.any() else None)


def in_range(sides: Sequence[WeightedAnswer], low: float, high: float, note: str) -> Judgement:
    """Judge that Σ factor·answer is between two numbers, within the sum of the sides' tolerances.

    Where rounding of the inputs moves the exact sum beyond them, the exact sum is the limit.
    """
    judgement = identity(sides, note)
    if judgement.shape_mismatch is not None:
        return judgement
    answer, expected, allowed = judgement.answer, judgement.expected, judgement.allowed
    fine = (answer >= np.minimum(low, expected) - allowed) & (answer <= np.maximum(high, expected) + allowed)
    return replace(judgement, failed=~fine, headroom=None)


def matches_problem(judgement: Judgement, problem: Problem, profile: Profile) -> Mask:
    """Return where an answer is the correct answer to another problem.

    For known deviations and diagnoses; all False for gradients and for answers of other shapes.
    """
    answer = judgement.answer
    if judgement.side is not None:
        return np.zeros(answer.shape, dtype=bool)
    enclosure = reference(problem)
    if answer.shape != enclosure.value.shape:
        return np.zeros(answer.shape, dtype=bool)
    allowed = tolerance(problem, enclosure, profile).total
    return elements.ratio(np.abs(enclosure.error(answer)), allowed) <= 1
