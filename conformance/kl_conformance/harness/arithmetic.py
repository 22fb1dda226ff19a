"""Measures a column's arithmetic (accumulator width, FMA, fast-math) from its answers."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance.errors import RefusedError
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Grade
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array
from kl_reference.evaluation.condition import ELEMENTARY
from kl_reference.tolerance import Profile, Summation, tolerance

FINEST_FIRST = (Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)
FORMAT_RATIO = 2.0  # smallest ratio of allowed errors that distinguishes two formats
FAST_MATH_RATIO = 5.0  # the same for fast logarithms, whose errors are seldom the largest allowed ones
PAIRS = 512  # two-class rows that show the precision of one term
PLACES, PLACEMENTS = 64, 32  # terms of a row with three that cancel; rows, each with another placement
TERMS = 1024  # of a sum whose order is measured
SEED = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The measured arithmetic of a column; None where its answers do not show it, and the declaration is used.

    Parameters
    ----------
    declared
        The profile the column declares.
    compute
        Format whose roundings explain the terms: that of the operations, or an equivalent one.
    headroom
        Largest error of a term ÷ error that the declared profile allows.
    accumulate
        Format of sums; for 16-bit columns FLOAT32 means float32 or wider.
    depth
        Longest chain of additions of one of 1,024 terms.
    flush_to_zero
        Whether subnormal numbers are read or written as 0.
    grade
        Accuracy class of terms where P and Q are close.
    fast_math
        Whether terms near p = 1 fit the logarithms of fast-math, and no more accurate ones.
    """

    declared: Profile
    compute: Dtype | None = None
    headroom: float | None = None
    accumulate: Dtype | None = None
    depth: int | None = None
    flush_to_zero: bool | None = None
    grade: Grade | None = None
    fast_math: bool | None = None

    @property
    def summation(self) -> Summation | None:
        """The order of summation of least growth that covers the measured depth."""
        if self.depth is None:
            return None
        orders = (Summation.PAIRWISE, Summation.BLOCKED, Summation.ANY)
        return next(each for each in orders if self.depth <= each.growth(TERMS))

    @property
    def description(self) -> str:
        """The measured arithmetic as text; empty where the answers show nothing."""
        depth = "" if self.depth is None else f", one of {TERMS:,} terms {self.depth} additions deep"
        found = (
            self.compute and f"computes in {self.compute.label}",
            self.accumulate and f"sums in {self.accumulate.label}{depth}",
            self.flush_to_zero is not None and ("flushes" if self.flush_to_zero else "keeps") + " subnormals",
            self.grade and f"class {self.grade.name}",
            self.worse and f"worse than declared: {', '.join(self.worse)}",
        )
        return ", ".join(str(each) for each in found if each)

    @property
    def worse(self) -> tuple[str, ...]:
        """Descriptions of everything that is worse than declared."""
        declared, found = self.declared, list[str]()
        if self.compute is not None and self.compute.roundoff > declared.compute.roundoff:
            found.append(f"computes as {self.compute.label} does, declared {declared.compute.label}")
        if self.accumulate is not None and self.accumulate.roundoff > declared.accumulate.roundoff:
            found.append(f"sums in {self.accumulate.label}, declared {declared.accumulate.label}")
        if self.depth is not None and self.depth > declared.summation.growth(TERMS):
            found.append(f"sums {self.depth} deep, declared h = {declared.summation.value}")
        if self.flush_to_zero and not declared.flush_to_zero:
            found.append("flushes subnormals, declared to keep them")
        if self.fast_math and not declared.near_one:
            found.append("uses fast logarithms, declared accurate ones")
        elif self.headroom is not None and self.headroom > 1.0:
            found.append(f"errs in terms by {self.headroom:.2g} times the declared error")
        return tuple(found)


def measure(subject: Subject) -> Arithmetic:
    """Measure the arithmetic of a column."""
    terms = list(_answers(subject, [_neighbours()]))
    try:
        accumulate = _accumulate(subject)
        depth = _depth(subject, accumulate)
    except RefusedError:
        accumulate, depth = None, None
    return Arithmetic(
        declared=subject.profile,
        compute=_compute(terms, subject.profile) if terms else None,
        headroom=max((judge.within_tolerance(each).headroom or 0.0 for each in terms), default=None),
        accumulate=accumulate,
        depth=depth,
        flush_to_zero=_flushes(subject),
        grade=_grade(subject, terms),
        fast_math=_fast_math(terms, subject.profile),
    )


def _answers(subject: Subject, pairs: Iterable[Pair]) -> Iterator[Evaluation]:
    """Yield the answers of expected shape to pairs with the finest reduction, in every target space."""
    for pair in pairs:
        for problem in subject.problems(pair, subnormals=True):
            try:
                evaluation = subject.evaluate(problem)
            except RefusedError:
                continue
            if evaluation.shape_mismatch is None:
                yield evaluation


def _neighbours() -> Pair:
    """Return two-class distributions from balanced to one-sided, with Q within some 1e-2 of P."""
    rng = np.random.default_rng(SEED)
    p = 2.0 ** rng.uniform(-6.0, -1.0, PAIRS)
    q = p * (1.0 + rng.uniform(-1e-2, 1e-2, PAIRS))
    return _pair(np.stack([p, 1.0 - p], -1), np.stack([q, 1.0 - q], -1))


def _compute(evaluations: list[Evaluation], declared: Profile) -> Dtype | None:
    """Return the finest format of operations under which every term is within tolerance."""
    formats = [each for each in FINEST_FIRST[:2] if each.roundoff < declared.storage.roundoff]
    profiles = [
        replace(declared, compute=each, accumulate=min(each, declared.accumulate, key=FINEST_FIRST.index))
        for each in (*formats, declared.storage)
    ]
    while profiles and not _all_within(evaluations, profiles[0]):
        profiles.pop(0)
    while len(profiles) > 1 and not _distinguishes(evaluations, *profiles[:2]):
        profiles.pop(0)
    return profiles[0].compute if profiles else None


def _fast_math(evaluations: list[Evaluation], declared: Profile) -> bool | None:
    """Return whether terms need the logarithms of fast-math; None where they do not show it."""
    fast = replace(Profile.fast(declared.storage), summation=declared.summation)
    elementary = min(declared.elementary, ELEMENTARY)
    careful = replace(declared, elementary=elementary, near_one=0.0, steepness=0.0, division=1.0)
    if not _all_within(evaluations, careful):
        return True if _all_within(evaluations, fast) else None
    near_one = fast.near_one * fast.compute.roundoff / careful.compute.roundoff
    coarse = replace(careful, near_one=near_one)
    return False if _distinguishes(evaluations, careful, coarse, times=FAST_MATH_RATIO) else None


def _distinguishes(
    evaluations: Iterable[Evaluation], finer: Profile, coarser: Profile, *, times: float = FORMAT_RATIO
) -> bool:
    """Whether the problems distinguish one profile from the other."""
    return any(bool(np.any(_allowed(each, coarser) > times * _allowed(each, finer))) for each in evaluations)


def _allowed(evaluations: Evaluation, profile: Profile) -> Array:
    return tolerance(evaluations.problem, evaluations.enclosure, profile).total


def _all_within(evaluations: Iterable[Evaluation], profile: Profile) -> bool:
    """Whether every answer is within tolerance under that profile."""
    return all(
        not judge.within_tolerance(
            replace(each, profile=profile, tolerance=tolerance(each.problem, each.enclosure, profile))
        ).is_failure
        for each in evaluations
    )


def _accumulate(subject: Subject) -> Dtype | None:
    """Return the format of sums, by how large a 2^k may be for 2^k + 1 − 2^k to be still 1."""
    if _adder(subject) is None:
        return None
    bits = 1
    for power in range(1, min(54, subject.dtype.value[3]) + 1):
        rows = _scattered(2.0**power)
        if not np.array_equal(_sums(subject, rows), np.ones(len(rows))):
            break
        bits = power + 1
    if bits < Dtype.BFLOAT16.value[1]:  # no format is that coarse: the function does not add
        return None
    return next((each for each in reversed(FINEST_FIRST) if each.value[1] >= bits), Dtype.FLOAT64)


def _scattered(large: float) -> Array:
    """Return rows whose terms are ``large``, 1, −``large`` and zeros, in random places."""
    rng = np.random.default_rng(SEED)
    rows = np.zeros((PLACEMENTS, PLACES))
    for row in rows:
        row[rng.choice(PLACES, 3, replace=False)] = large, 1.0, -large
    return rows


def _depth(subject: Subject, accumulate: Dtype | None) -> int | None:
    """Return the longest chain of additions of the first and the last of many terms.

    With M at i, −M at j and 1 elsewhere, M absorbs every 1 that is added to it before −M: the sum is the number of
    terms outside the subtree in which i and j meet. Over all j there are as many different sums as additions above i.

    Source: Xie, Gao, Li, Xu, "FPRev: Revealing floating-point summation order" (2024).
    """
    if accumulate is None or accumulate is not subject.dtype or subject.dtype.roundoff > Dtype.FLOAT32.roundoff:
        return None  # 16 bits can hold neither so many ones nor a number that absorbs them
    large = 2.0 ** (accumulate.value[1] + 12)
    deepest = 0
    for end in (0, TERMS - 1):
        others = np.delete(np.arange(TERMS), end)
        rows = np.ones((len(others), TERMS))
        rows[:, end] = large
        rows[np.arange(len(others)), others] = -large
        deepest = max(deepest, len(np.unique(_sums(subject, rows))))
    return deepest


def _adder(subject: Subject) -> Reduction | None:
    """Return a reduction that adds the terms −log q of p = 1 unchanged, or None."""
    convention = subject.convention
    plain = convention.clip is None and not convention.normalise and Space.LOG in convention.model
    if not plain or subject.implementation.needs_distributions:
        return None
    return next(iter(subject.offers(Reduction.ROWS, Reduction.SUM)), None)


def _sums(subject: Subject, terms: Array) -> Array:
    """Return the sum of every row of terms as the column computes it."""
    reduction = _adder(subject)
    pair = Pair(Measure(np.ones_like(terms), Space.PROBABILITY), Measure(-terms, Space.LOG))
    pairs = [pair] if reduction is Reduction.ROWS else [_row(pair, at) for at in range(len(terms))]
    sums = [
        subject.invoke(subject.build_call(subject.problem(each, reduction, model=Space.LOG))).values for each in pairs
    ]
    return np.concatenate([np.ravel(each) for each in sums])


def _row(pair: Pair, at: int) -> Pair:
    return pair.take_rows(np.array([at]))


def _flushes(subject: Subject) -> bool | None:
    """Return whether answers fit numbers below the least normal one, or fit 0 in their place."""
    least = subject.dtype.least_normal
    # The other class adds an exact 0.
    read = _pair(np.array([[least / 16.0, 1.0]]), np.array([[2.0 * least, 1.0]]))
    written = _pair(np.array([[least, 1.0]]), np.array([[1.5 * least, 1.0]]))
    verdicts: set[bool] = set()
    for each in _answers(subject, (read, written)):
        strict = _allowed(each, replace(each.profile, flush_to_zero=False))
        exact = each.enclosure.value
        # The answer where subnormal numbers are not read, and where they are not written.
        flushed = (each.solve(each.problem.flushed()).value, np.where(np.abs(exact) < least, 0.0, exact))
        others = [other for other in flushed if np.any(np.abs(other - exact) > strict)]
        if not others:  # clipping or normalising hides such small numbers
            continue
        if np.all(np.abs(each.enclosure.error(each.answer)) <= strict):
            verdicts.add(False)
        elif any(np.all(np.abs(each.answer - other) <= strict) for other in others):
            verdicts.add(True)
    return True in verdicts if verdicts else None


def _grade(subject: Subject, evaluations: list[Evaluation]) -> Grade | None:
    """Return the accuracy class of terms; None without terms, or where 16 bits cannot show it."""
    if not evaluations or subject.finest is not Reduction.TERMS or subject.dtype in {Dtype.FLOAT16, Dtype.BFLOAT16}:
        return None
    grades = [judge.graded(each).grade for each in evaluations]
    return max((each for each in grades if each), key=list(Grade).index)


def _pair(p: Array, q: Array) -> Pair:
    return Pair(Measure(p, Space.PROBABILITY), Measure(q, Space.PROBABILITY))
