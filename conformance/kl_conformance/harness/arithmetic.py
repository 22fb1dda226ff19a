"""The arithmetic a column is seen to do, measured through nothing but its answers."""

from __future__ import annotations

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
APART = 2.0  # two formats are told apart where one allows so many times what the other does
SEEN = 5.0  # and fast logarithms, which seldom err as far as they may, where they are allowed so many times as much
PAIRS = 512  # two-class rows that show the precision of one term
SPREAD, PLACES = 64, 32  # three terms that cancel, scattered over so many places, so many times
LONG = 1024  # terms whose order of summation is read
SEED = 0


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What was measured of a column; None where its answers cannot tell, and what is declared stands.

    Parameters
    ----------
    declared
        The profile the column declares.
    compute
        The coarsest format a term's rounding needs: what its operations are carried out in, or as good as.
    headroom
        Largest error of a term ÷ what the declared profile allows.
    accumulate
        Format sums are carried out in; for 16-bit columns FLOAT32 stands for that or wider.
    depth
        The longest chain of additions one of 1,024 terms goes through.
    flush_to_zero
        Whether subnormal numbers are read or written as 0.
    grade
        Accuracy class of terms where P and Q are close.
    fast_math
        Whether terms near p = 1 fit the logarithms of fast-math and no better ones.
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
        """The tamest order of summation whose growth covers the depth seen."""
        if self.depth is None:
            return None
        orders = (Summation.PAIRWISE, Summation.BLOCKED, Summation.ANY)
        return next(each for each in orders if self.depth <= each.growth(LONG))

    @property
    def words(self) -> str:
        """What was measured, in words; empty where answers cannot tell anything."""
        depth = "" if self.depth is None else f", one of {LONG:,} terms {self.depth} additions deep"
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
        """What is worse than declared, in words."""
        declared, found = self.declared, list[str]()
        if self.compute is not None and self.compute.roundoff > declared.compute.roundoff:
            found.append(f"computes as {self.compute.label} does, declared {declared.compute.label}")
        if self.accumulate is not None and self.accumulate.roundoff > declared.accumulate.roundoff:
            found.append(f"sums in {self.accumulate.label}, declared {declared.accumulate.label}")
        if self.depth is not None and self.depth > declared.summation.growth(LONG):
            found.append(f"sums {self.depth} deep, declared h = {declared.summation.value}")
        if self.flush_to_zero and not declared.flush_to_zero:
            found.append("flushes subnormals, declared to keep them")
        if self.fast_math and not declared.near_one:
            found.append("takes fast logarithms, declared accurate ones")
        elif self.headroom is not None and self.headroom > 1.0:
            found.append(f"errs in terms by {self.headroom:.2g} times what is declared")
        return tuple(found)


def measure(subject: Subject) -> Arithmetic:
    """Ask a column what shows its arithmetic."""
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
    """Ask pairs by the finest reduction, in every target space taken; what is refused is left out."""
    for pair in pairs:
        for problem in subject.problems(pair, subnormals=True):
            try:
                yield subject.evaluate(problem)
            except RefusedError:
                continue


def _neighbours() -> Pair:
    """Return two-class distributions from balanced to one-sided, with Q within some 1e-2 of P."""
    rng = np.random.default_rng(SEED)
    p = 2.0 ** rng.uniform(-6.0, -1.0, PAIRS)
    q = p * (1.0 + rng.uniform(-1e-2, 1e-2, PAIRS))
    return _pair(np.stack([p, 1.0 - p], -1), np.stack([q, 1.0 - q], -1))


def _compute(asked: list[Evaluation], declared: Profile) -> Dtype | None:
    """Return the finest format of operations under which every term lies in tolerance."""
    formats = [each for each in FINEST_FIRST[:2] if each.roundoff < declared.storage.roundoff]
    profiles = [
        replace(declared, compute=each, accumulate=min(each, declared.accumulate, key=FINEST_FIRST.index))
        for each in (*formats, declared.storage)
    ]
    while profiles and not _all_lie(asked, profiles[0]):
        profiles.pop(0)
    while len(profiles) > 1 and not _told_apart(asked, *profiles[:2]):
        profiles.pop(0)
    return profiles[0].compute if profiles else None


def _fast_math(asked: list[Evaluation], declared: Profile) -> bool | None:
    """Return whether terms need the logarithms of fast-math; None where they cannot tell."""
    fast = replace(Profile.fast(declared.storage), summation=declared.summation)
    elementary = min(declared.elementary, ELEMENTARY)
    careful = replace(declared, elementary=elementary, near_one=0.0, steepness=0.0, division=1.0)
    if not _all_lie(asked, careful):
        return True if _all_lie(asked, fast) else None
    near_one = fast.near_one * fast.compute.roundoff / careful.compute.roundoff
    return False if _told_apart(asked, careful, replace(careful, near_one=near_one), times=SEEN) else None


def _told_apart(
    asked: Iterable[Evaluation], finer: Profile, coarser: Profile, *, times: float = APART
) -> bool:
    """Whether the answers asked for could tell one profile from the other."""
    return any(bool(np.any(_allowed(each, coarser) > times * _allowed(each, finer))) for each in asked)


def _allowed(asked: Evaluation, profile: Profile) -> Array:
    return tolerance(asked.problem, asked.enclosure, profile).total


def _all_lie(asked: Iterable[Evaluation], profile: Profile) -> bool:
    """Whether every answer would be right under that profile."""
    return all(
        not judge.within_tolerance(
            replace(each, profile=profile, tolerance=tolerance(each.problem, each.enclosure, profile))
        ).broken
        for each in asked
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
    if bits < Dtype.BFLOAT16.value[1]:  # no format is that coarse: it does something else than add
        return None
    return next((each for each in reversed(FINEST_FIRST) if each.value[1] >= bits), Dtype.FLOAT64)


def _scattered(large: float) -> Array:
    """Return rows whose terms are ``large``, 1, −``large`` and zeros, in all sorts of places."""
    rng = np.random.default_rng(SEED)
    rows = np.zeros((PLACES, SPREAD))
    for row in rows:
        row[rng.choice(SPREAD, 3, replace=False)] = large, 1.0, -large
    return rows


def _depth(subject: Subject, accumulate: Dtype | None) -> int | None:
    """Return the longest chain of additions of the first and the last of many terms.

    With M at i, −M at j and 1 elsewhere, M swallows every 1 that is added to it before −M comes: the sum tells
    how many terms lie below the addition where i and j meet. As many different sums over all j as there are
    additions above i.

    Source: Xie, Gao, Li, Xu, "FPRev: Revealing floating-point summation order" (2024).
    """
    if (
        accumulate is None
        or accumulate is not subject.dtype
        or subject.dtype.roundoff > Dtype.FLOAT32.roundoff
    ):
        return None  # 16 bits hold neither so many ones nor what swallows them
    large = 2.0 ** (accumulate.value[1] + 12)
    deepest = 0
    for end in (0, LONG - 1):
        others = np.delete(np.arange(LONG), end)
        rows = np.ones((len(others), LONG))
        rows[:, end] = large
        rows[np.arange(len(others)), others] = -large
        deepest = max(deepest, len(np.unique(_sums(subject, rows))))
    return deepest


def _adder(subject: Subject) -> Reduction | None:
    """Return a reduction that adds up terms −log q of p = 1 as they are, or None."""
    convention = subject.convention
    plain = convention.clip is None and not convention.normalise and Space.LOG in convention.model
    if not plain or subject.implementation.needs_distributions:
        return None
    return next(iter(subject.offers(Reduction.ROWS, Reduction.SUM)), None)


def _sums(subject: Subject, terms: Array) -> Array:
    """Return the sum of every row of terms as the column adds them up."""
    reduction = _adder(subject)
    pair = Pair(Measure(np.ones_like(terms), Space.PROBABILITY), Measure(-terms, Space.LOG))
    asked = [pair] if reduction is Reduction.ROWS else [_row(pair, at) for at in range(len(terms))]
    given = [
        subject.invoke(subject.build_call(subject.problem(each, reduction, model=Space.LOG))).values
        for each in asked
    ]
    return np.concatenate([np.ravel(each) for each in given])


def _row(pair: Pair, at: int) -> Pair:
    return pair.take_rows(np.array([at]))


def _flushes(subject: Subject) -> bool | None:
    """Return whether answers fit numbers below the least normal one, or fit 0 in their place."""
    least = subject.dtype.least_normal
    # The class beside it adds an exact 0.
    read = _pair(np.array([[least / 16.0, 1.0]]), np.array([[2.0 * least, 1.0]]))
    written = _pair(np.array([[least, 1.0]]), np.array([[1.5 * least, 1.0]]))
    verdicts: set[bool] = set()
    for each in _answers(subject, (read, written)):
        strict = _allowed(each, replace(each.profile, flush_to_zero=False))
        exact = each.enclosure.value
        # What is left of the answer where subnormal numbers are not read, and where they are not written.
        flushed = (each.solve(each.problem.flushed()).value, np.where(np.abs(exact) < least, 0.0, exact))
        others = [other for other in flushed if np.any(np.abs(other - exact) > strict)]
        if not others:  # clipping or normalising hides what is so small
            continue
        if np.all(np.abs(each.enclosure.error(each.got)) <= strict):
            verdicts.add(False)
        elif any(np.all(np.abs(each.got - other) <= strict) for other in others):
            verdicts.add(True)
    return True in verdicts if verdicts else None


def _grade(subject: Subject, asked: list[Evaluation]) -> Grade | None:
    """Return the accuracy class of terms; None where none are given, or 16 bits cannot show it."""
    if not asked or subject.finest is not Reduction.TERMS or subject.dtype in {Dtype.FLOAT16, Dtype.BFLOAT16}:
        return None
    grades = [judge.graded(each).grade for each in asked]
    return max((each for each in grades if each), key=list(Grade).index)


def _pair(p: Array, q: Array) -> Pair:
    return Pair(Measure(p, Space.PROBABILITY), Measure(q, Space.PROBABILITY))
