"""What one cell has seen so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.expectation import Expectation
from kl_conformance.judgement import Grade, Judgement
from kl_conformance.spreading import Spreading
from kl_reports.result import Fixed


@dataclass(slots=True)
class Tally:
    """What is counted and kept of a cell's judgements."""

    problems: int = 0
    decisive: int = 0
    closest: Judgement | None = None
    vacuous: str = ""
    deviations: dict[str, Expectation] = field(default_factory=dict[str, Expectation])
    grade: Grade | None = None
    excused: tuple[Pair, Judgement] | None = None
    spreading: Spreading = field(default_factory=Spreading)
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
