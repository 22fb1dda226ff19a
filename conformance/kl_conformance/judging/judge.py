"""The only place where an answer meets a bound."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.lib.stride_tricks import as_strided

from kl_conformance.errors import RefusedError
from kl_conformance.judging.cache import reference
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation, Misshapen
from kl_conformance.judging.judgement import Criterion, Grade, Judgement, Mask
from kl_reference.enclosure import Array
from kl_reference.problem import Problem
from kl_reference.tolerance import Profile, accepts_overflow, tolerance, vacuous
from kl_reports.runfile.records import Kind


def within_tolerance(asked: Evaluation, note: str = "", *, decisive: bool = True) -> Judgement:
    """Judge that every element lies within its tolerance of the exact answer.

    ``decisive=False`` asks no proof that a wrong answer would be noticed: for requirements whose right answer
    is zero.
    """
    total = asked.tolerance.total
    if asked.misshapen is not None:
        return _wrong_shape(asked)
    ratio = _ratio(np.abs(asked.enclosure.error(asked.got)), total)
    beyond = accepts_overflow(asked.enclosure, asked.tolerance, asked.profile.storage)
    overflowed = np.isinf(asked.got) & (np.sign(asked.got) == np.sign(asked.enclosure.value))
    ratio = np.where(beyond & overflowed, 0.0, ratio)
    if asked.profile.flush_to_zero and np.any(ratio > 1):
        ratio = np.minimum(ratio, _flushed_ratio(asked))
    at = _worst(ratio)
    return Judgement(
        problem=asked.problem,
        call=asked.call,
        got=asked.got,
        right=asked.enclosure.value,
        allowed=total,
        bad=ratio > 1,
        headroom=float(ratio[at]) if ratio.size else 0.0,
        at=at,
        budget=asked.budget(at) if ratio.size else (),
        note=note,
        vacuous=vacuous(asked.enclosure, asked.tolerance) if decisive else None,
        side=asked.side,
        condition=_condition(asked, at),
    )


def windowed(asked: Evaluation, pieces: Iterable[tuple[int, Array]], note: str) -> Judgement:
    """Judge a sheet of terms whose every row is a window of one vector, the next one element further on.

    Parameters
    ----------
    asked
        Of the vector; ``got`` is what stands in for its elements.
    pieces
        Rows of the sheet with the number of their first, as they were given.
    note
        What the sheet is.
    """
    right, allowed = asked.enclosure.value, asked.tolerance.total
    low, high = right - allowed, right + allowed
    got = right.copy()
    for first, piece in pieces:
        shape = piece.shape
        below, above = (_windows(each[first:], shape) for each in (low, high))
        outside = ~((piece >= below) & (piece <= above))
        # Every element of the vector stands in some row's first or last place.
        got[first : first + shape[0]] = piece[:, 0]
        got[first + shape[1] - 1 : first + sum(shape) - 1] = piece[:, -1]
        if outside.any():
            far = np.where(outside, np.abs(piece - _windows(right[first:], shape)), -1.0)
            row, column = _worst(far)
            alone = _alone(asked, first + row + column, float(piece[row, column]))
            judgement = within_tolerance(alone, f"row {first + row:,}, class {column:,} of {note}")
            if judgement.broken:
                return judgement
    return within_tolerance(replace(asked, got=got), note)


def _alone(asked: Evaluation, place: int, got: float) -> Evaluation:
    """Return one element of a vector as an evaluation of its own, with what was given for it."""
    problem = asked.problem
    target, model = (
        replace(side, values=side.values[place : place + 1]) for side in (problem.target, problem.model)
    )
    one = replace(problem, target=target, model=model)
    enclosure = asked.solve(one)
    allowed = tolerance(one, enclosure, asked.profile)
    return replace(asked, problem=one, got=np.array([got]), enclosure=enclosure, tolerance=allowed)


def _windows(vector: Array, shape: tuple[int, ...]) -> Array:
    """Return rows that are windows of a vector, each one element further on than the one before."""
    (step,) = vector.strides
    return as_strided(vector, shape, (step, step), writeable=False)


def graded(asked: Evaluation) -> Judgement:
    """Judge terms as :func:`lies` does, and say of which accuracy class they are.

    Class A is the same tolerance with |t|, the exact term, in place of the condition p·(|log p| + |log q|).
    """
    judgement = within_tolerance(asked)
    if judgement.broken or judgement.headroom is None:
        return replace(judgement, grade=Grade.C)
    enclosure = asked.enclosure
    sharp = replace(enclosure, scale=replace(enclosure.scale, condition=np.abs(enclosure.value)))
    allowed = tolerance(asked.problem, sharp, asked.profile).total
    best = bool(np.all(_ratio(np.abs(enclosure.error(asked.got)), allowed) <= 1))
    return replace(judgement, grade=Grade.A if best else Grade.B)


def within_tolerance_where(asked: Evaluation, where: Mask) -> Judgement:
    """Judge as :func:`lies` does, but only at the elements of ``where``."""
    judgement = within_tolerance(asked, decisive=False)
    return replace(judgement, bad=judgement.bad & where, headroom=None)


def exact(asked: Evaluation, note: str = "", where: Mask | None = None) -> Judgement:
    """Judge that the answer is the exact one to the last bit, at the elements of ``where`` (all when None)."""
    if asked.misshapen is not None:
        return _wrong_shape(asked)
    error = np.abs(asked.enclosure.error(asked.got))
    bad = error != 0
    if where is not None:
        bad &= where
    return elementwise(asked, ~bad, note or "must be exact")


def elementwise(asked: Evaluation, fine: Mask, note: str) -> Judgement:
    """Judge by a yes or no for every element."""
    if fine.ndim and fine.shape != asked.got.shape:
        return _wrong_shape(asked)
    bad = np.broadcast_to(~fine, asked.got.shape)
    right = np.broadcast_to(asked.enclosure.value, asked.got.shape) if asked.misshapen is None else asked.got
    return Judgement(
        problem=asked.problem,
        call=asked.call,
        got=asked.got,
        right=right,
        allowed=np.zeros_like(asked.got),
        bad=bad,
        at=_worst(bad.astype(float)),
        note=note,
        criterion=Criterion.YES_OR_NO,
    )


def failed(problem: Problem, call: CallDescription, note: str, kind: Kind = Kind.NUMBER) -> Judgement:
    """Judge a call that failed, with nothing to measure."""
    raised = False if kind is Kind.ACCEPTED else None
    return replace(passed(problem, call, note), bad=np.array(True), kind=kind, raised=raised)


def refused(problem: Problem, call: CallDescription, refusal: RefusedError, lacking: str = "") -> Judgement:
    """Judge a call that returned no tensor where one is expected, or whose error lacks what it must name."""
    note = f"{refusal}, which does not name {lacking}" if lacking else str(refusal)
    judgement = failed(problem, call, note, refusal.kind)
    return replace(judgement, error=refusal.error, raised=None if lacking else True, unhelpful=bool(lacking))


def passed(problem: Problem, call: CallDescription, note: str = "", *, raised: bool = False) -> Judgement:
    """Judge a call that did what it must, with nothing to measure."""
    nan = np.full((), np.nan)
    return Judgement(problem, call, nan, nan, nan, np.array(False), note=note, raised=raised or None)


@dataclass(frozen=True, slots=True)
class WeightedAnswer:
    """One side of an identity: a factor, and an evaluation it multiplies (``summed`` over all its elements)."""

    factor: float
    asked: Evaluation
    summed: bool = False

    @property
    def got(self) -> Array:
        """Factor · answer."""
        return self.factor * self._whole(self.asked.got)

    @property
    def exact(self) -> Array:
        """Factor · exact answer."""
        return self.factor * self._whole(self.asked.enclosure.value)

    @property
    def allowed(self) -> Array:
        """|Factor| · tolerance."""
        return abs(self.factor) * self._whole(self.asked.tolerance.total)

    @property
    def overflows(self) -> Mask:
        """Where an infinity came back and is as right as a number."""
        asked = self.asked
        fine = accepts_overflow(asked.enclosure, asked.tolerance, asked.profile.storage) & np.isinf(asked.got)
        return np.asarray(fine.any()) if self.summed else fine

    def _whole(self, values: Array) -> Array:
        if not self.summed:
            return values
        # fsum rounds once: the judge adds nothing of its own to an identity.
        return np.asarray(math.fsum(values.ravel()) if np.isfinite(values).all() else values.sum())


def identity(sides: Sequence[WeightedAnswer], note: str, allowed: Array | None = None) -> Judgement:
    """Judge an identity Σ factor·answer = Σ factor·exact, each side's tolerance added.

    ``allowed`` replaces the sum of tolerances where the identity is sharper than its sides.
    The first side's problem is the one a witness shows.
    """
    for side in sides:
        if side.asked.misshapen is not None:
            return _wrong_shape(side.asked)
    with np.errstate(invalid="ignore", over="ignore"):
        got = sum((side.got for side in sides), np.zeros(()))
        exact = sum((side.exact for side in sides), np.zeros(()))
        limit = sum((side.allowed for side in sides), np.zeros(())) if allowed is None else allowed
        ratio = _ratio(np.abs(got - exact), np.broadcast_to(limit, np.shape(got)))
    # An identity of infinities says nothing, nor does one with a side that may overflow.
    silent = ~np.isfinite(exact)
    for side in sides:
        silent = silent | side.overflows
    ratio = np.where(silent, 0.0, ratio)
    at = _worst(ratio)
    first = sides[0].asked
    texts = dict.fromkeys(side.asked.call.text for side in sides)
    return Judgement(
        problem=first.problem,
        call=first.call if len(texts) == 1 else CallDescription(" against ".join(texts)),
        got=np.asarray(got),
        right=np.asarray(exact),
        allowed=np.broadcast_to(limit, np.shape(got)),
        bad=ratio > 1,
        headroom=float(ratio[at]) if ratio.size else 0.0,
        at=at,
        note=note,
    )


def same_answer(first: Evaluation, second: Evaluation, note: str) -> Judgement:
    """Judge that two answers to one question are the same bits, or differ by no more than both tolerances."""
    if first.got.shape != second.got.shape:
        return _wrong_shape(first)
    same = (first.got == second.got) | (np.isnan(first.got) & np.isnan(second.got))
    judgement = identity((WeightedAnswer(1.0, first), WeightedAnswer(-1.0, second)), note)
    broken = judgement.bad & ~same
    return replace(judgement, bad=broken, headroom=judgement.headroom if broken.any() else None)


def in_range(sides: Sequence[WeightedAnswer], low: float, high: float, note: str) -> Judgement:
    """Judge that Σ factor·answer lies between two numbers, give or take each side's tolerance.

    What the inputs' own rounding moves the exact sum beyond them is not held against the answer.
    """
    judgement = identity(sides, note)
    got, exact, allowed = judgement.got, judgement.right, judgement.allowed
    fine = (got >= np.minimum(low, exact) - allowed) & (got <= np.maximum(high, exact) + allowed)
    return replace(judgement, bad=~fine, headroom=None)


def matches_problem(judgement: Judgement, problem: Problem, profile: Profile) -> Mask:
    """Return where an answer would be right if another problem had been asked.

    For recorded deviations and diagnoses; all False for gradients and for answers of other shapes.
    """
    if judgement.side is not None:
        return np.zeros(judgement.got.shape, dtype=bool)
    enclosure = reference(problem)
    if judgement.got.shape != enclosure.value.shape:
        return np.zeros(judgement.got.shape, dtype=bool)
    allowed = tolerance(problem, enclosure, profile).total
    return _ratio(np.abs(enclosure.error(judgement.got)), allowed) <= 1


def _ratio(error: Array, allowed: Array) -> Array:
    """Return error ÷ allowed with 0 ÷ 0 = 0 and anything not a number = ∞."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(error == 0, 0.0, error / allowed)
    return np.where(np.isnan(ratio), np.inf, ratio)


def _flushed_ratio(asked: Evaluation) -> Array:
    """Judge against the answer of the same inputs with subnormals set to zero: a flushing column sees those."""
    flushed = asked.problem.flushed()
    enclosure = asked.solve(flushed)
    allowed = tolerance(flushed, enclosure, asked.profile).total
    return _ratio(np.abs(enclosure.error(asked.got)), allowed)


def _worst(ratio: Array) -> tuple[int, ...]:
    """Return the index of the largest element."""
    if not ratio.size:
        return ()
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(ratio)), ratio.shape))


def _condition(asked: Evaluation, at: tuple[int, ...]) -> float | None:
    """Return S ÷ |answer| of one element, infinite where S is lost in an answer of 0; None where there is none."""
    scale, value = asked.enclosure.scale.condition, asked.enclosure.value
    if not value.size or scale.shape != value.shape:
        return None
    total, answer = float(scale[at]), abs(float(value[at]))
    if not (math.isfinite(total) and math.isfinite(answer)) or total == 0:
        return None
    return total / answer if answer > total * 1e-300 else math.inf


def _wrong_shape(asked: Evaluation) -> Judgement:
    shapes = Misshapen(asked.got.shape, asked.enclosure.value.shape)
    fine = np.zeros(asked.got.shape, dtype=bool)
    empty = failed(asked.problem, asked.call, shapes.note)
    judgement = elementwise(asked, fine, shapes.note) if fine.size else empty
    return replace(judgement, kind=Kind.SHAPE, misshapen=shapes)
