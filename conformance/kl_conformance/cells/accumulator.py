"""Accumulates a cell's judgements: counts, closest call, error histogram, fingerprint."""

import math
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.expectations.expectation import Expectation
from kl_conformance.judging.judgement import Grade, Judgement
from kl_reports.runfile.distribution import BINS, MOST_CONDITION, THOUSANDTHS, ErrorDistribution
from kl_reports.runfile.records import Fixed


@dataclass(slots=True)
class ErrorHistogram:
    """Accumulates a :class:`~kl_reports.runfile.distribution.ErrorDistribution`."""

    signed: dict[int, int] = field(default_factory=dict[int, int])
    classes: dict[int, int] = field(default_factory=dict[int, int])
    condition: dict[int, int] = field(default_factory=dict[int, int])

    def add(self, judgement: Judgement) -> None:
        """Add the worst element of a judgement that passed and was measured."""
        headroom = judgement.headroom
        if headroom is None or not 0 <= headroom <= 1 or not judgement.answer.size:
            return
        answer, expected = float(judgement.answer[judgement.at]), float(judgement.expected[judgement.at])
        signed = round(math.copysign(headroom * BINS, answer - expected)) if answer != expected else 0
        self.signed[signed] = self.signed.get(signed, 0) + 1
        thousandths = math.ceil(headroom * THOUSANDTHS)
        _keep_largest(self.classes, judgement.classes, thousandths)
        if judgement.condition is not None:
            _keep_largest(self.condition, _binary_exponent(judgement.condition), thousandths)

    def distribution(self) -> ErrorDistribution | None:
        """Return the distribution, each part in order; None where nothing was measured."""
        if not self.signed:
            return None
        return ErrorDistribution(*(dict(sorted(each.items())) for each in (self.signed, self.classes, self.condition)))


def _binary_exponent(condition: float) -> int:
    """Return the whole part of a binary logarithm, from 0 to the largest that is distinguished."""
    if not condition < 2.0**MOST_CONDITION:
        return MOST_CONDITION
    return math.frexp(max(condition, 1.0))[1] - 1


def _keep_largest(largest: dict[int, int], key: int, value: int) -> None:
    largest[key] = max(value, largest.get(key, 0))


@dataclass(slots=True)
class CellAccumulator:
    """The counts and the notable judgements of a cell."""

    problems: int = 0
    decisive: int = 0
    closest: Judgement | None = None
    vacuous: str = ""
    deviations: dict[str, Expectation] = field(default_factory=dict[str, Expectation])
    grade: Grade | None = None
    excused: tuple[Pair, Judgement] | None = None
    histogram: ErrorHistogram = field(default_factory=ErrorHistogram)
    fixed: Fixed | None = None
    _digest: Any = field(default_factory=lambda: blake2b(digest_size=8))

    def record_answer(self, judgement: Judgement) -> None:
        """Add the bits of an answer to the fingerprint of the fixed problems."""
        if self.fixed is None:
            # The payload of a NaN is not part of an answer.
            answer = np.where(np.isnan(judgement.answer), np.nan, judgement.answer)
            self._digest.update(f"{answer.shape}|{judgement.raised}|".encode() + answer.tobytes())

    def close(self) -> None:
        """Store the fingerprint: all fixed problems have been evaluated."""
        headroom = None if self.closest is None else self.closest.headroom
        self.fixed = Fixed(self.problems, headroom, self._digest.hexdigest())

    def count(self, judgement: Judgement) -> None:
        """Add a judgement that passed."""
        self.problems += 1
        if judgement.grade is not None:
            worst = judgement.grade if self.grade is None else max(self.grade, judgement.grade, key=_rank)
            self.grade = worst
        if judgement.vacuous is not None:
            self.vacuous = judgement.vacuous
            return
        self.decisive += 1
        self.histogram.add(judgement)
        best = -1.0 if self.closest is None else (self.closest.headroom or 0.0)
        if judgement.headroom is not None and judgement.headroom > best:
            self.closest = judgement


def _rank(grade: Grade) -> int:
    return list(Grade).index(grade)
