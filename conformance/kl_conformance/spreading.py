"""Errors gathered as they are judged, for the charts of a page."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from kl_conformance.judgement import Judgement
from kl_reports.spread import BINS, MOST_CONDITION, THOUSANDTHS, Spread


@dataclass(slots=True)
class Spreading:
    """What becomes a :class:`~kl_reports.spread.Spread`."""

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

    def spread(self) -> Spread | None:
        """Return what was gathered, in order; None where nothing was measured."""
        if not self.signed:
            return None
        return Spread(*(dict(sorted(each.items())) for each in (self.signed, self.classes, self.condition)))


def _power(condition: float) -> int:
    """Return the whole part of a binary logarithm, from 0 to the largest that is told apart."""
    if not condition < 2.0**MOST_CONDITION:
        return MOST_CONDITION
    return math.frexp(max(condition, 1.0))[1] - 1


def _raise(largest: dict[int, int], place: int, used: int) -> None:
    largest[place] = max(used, largest.get(place, 0))
