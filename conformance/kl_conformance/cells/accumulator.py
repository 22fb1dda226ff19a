"""What one cell has seen so far."""

from __future__ import annotations

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
    """What becomes a :class:`~kl_reports.runfile.distribution.Spread`."""

    signed: dict[int, int] = field(default_factory=dict[int, int])
    classes: dict[int, int] = field(default_factory=dict[int, int])
    condition: dict[int, int] = field(default_factory=dict[int, int])

    def take(self, judgement: Judgement) -> None:
        """Take in the worst element of a judgement that holds and was measured."""
        share = judgement.headroom
        if share is None or not 0 <= share <= 1 or not judgement.got.size:
            return
        got, right = float(judgement.got[judgement.at]), float(judgement.right[judgement.at])
        place = round(math.copysign(share * BINS, got - right)) if got != right else 0
        self.signed[place] = self.signed.get(place, 0) + 1
        used = math.ceil(share * THOUSANDTHS)
        _raise(self.classes, judgement.classes, used)
        if judgement.condition is not None:
            _raise(self.condition, _power(judgement.condition), used)

    def spread(self) -> ErrorDistribution | None:
        """Return what was gathered, in order; None where nothing was measured."""
        if not self.signed:
            return None
        return ErrorDistribution(
            *(dict(sorted(each.items())) for each in (self.signed, self.classes, self.condition))
        )


def _power(condition: float) -> int:
    """Return the whole part of a binary logarithm, from 0 to the largest that is told apart."""
    if not condition < 2.0**MOST_CONDITION:
        return MOST_CONDITION
    return math.frexp(max(condition, 1.0))[1] - 1


def _raise(largest: dict[int, int], place: int, used: int) -> None:
    largest[place] = max(used, largest.get(place, 0))


@dataclass(slots=True)
class CellAccumulator:
    """What is counted and kept of a cell's judgements."""

    problems: int = 0
    decisive: int = 0
    closest: Judgement | None = None
    vacuous: str = ""
    deviations: dict[str, Expectation] = field(default_factory=dict[str, Expectation])
    grade: Grade | None = None
    excused: tuple[Pair, Judgement] | None = None
    spreading: ErrorHistogram = field(default_factory=ErrorHistogram)
    fixed: Fixed | None = None
    _print: Any = field(default_factory=lambda: blake2b(digest_size=8))

    def mark(self, judgement: Judgement) -> None:
        """Take in the bits of an answer to a fixed problem."""
        if self.fixed is None:
            got = np.where(np.isnan(judgement.got), np.nan, judgement.got)  # a NaN's payload is no answer
            self._print.update(f"{got.shape}|{judgement.raised}|".encode() + got.tobytes())

    def close(self) -> None:
        """Keep what was given on the fixed problems, now that all of them were asked."""
        headroom = None if self.closest is None else self.closest.headroom
        self.fixed = Fixed(self.problems, headroom, self._print.hexdigest())

    def count(self, judgement: Judgement) -> None:
        """Take in one judgement that is not broken."""
        self.problems += 1
        if judgement.grade is not None:
            worst = judgement.grade if self.grade is None else max(self.grade, judgement.grade, key=_rank)
            self.grade = worst
        if judgement.vacuous is not None:
            self.vacuous = judgement.vacuous
            return
        self.decisive += 1
        self.spreading.take(judgement)
        best = -1.0 if self.closest is None else (self.closest.headroom or 0.0)
        if judgement.headroom is not None and judgement.headroom > best:
            self.closest = judgement


def _rank(grade: Grade) -> int:
    return list(Grade).index(grade)
