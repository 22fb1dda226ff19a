"""How the errors of one cell lie within what is allowed, in a few small counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BINS = 10  # either side of 0: a tenth of what is allowed each
THOUSANDTHS = 1000
MOST_CONDITION = 64  # a power of two; what is worse conditioned is counted there


@dataclass(frozen=True, slots=True)
class ErrorDistribution:
    """What was measured over all problems of a cell that hold, each by its worst element.

    Parameters
    ----------
    signed
        How many problems by signed error ÷ allowed error, in tenths rounded to the nearest: −10 … 10.
    classes
        For each number of classes that was asked, the largest error ÷ allowed error, in thousandths rounded up.
    condition
        The same by the condition number S ÷ |answer| of NUMERICS: for the whole part of its binary logarithm,
        0 … 64.
    """

    signed: Mapping[int, int] = field(default_factory=dict[int, int])
    classes: Mapping[int, int] = field(default_factory=dict[int, int])
    condition: Mapping[int, int] = field(default_factory=dict[int, int])

    @property
    def problems(self) -> int:
        """How many problems were measured."""
        return sum(self.signed.values())


def together(spreads: Iterable[ErrorDistribution]) -> ErrorDistribution:
    """Return the spread of several cells as one: counts added, of largest errors the largest."""
    signed, classes, condition = dict[int, int](), dict[int, int](), dict[int, int]()
    for spread in spreads:
        for place, number in spread.signed.items():
            signed[place] = signed.get(place, 0) + number
        for whole, part in ((classes, spread.classes), (condition, spread.condition)):
            for place, share in part.items():
                whole[place] = max(share, whole.get(place, 0))
    return ErrorDistribution(*(dict(sorted(each.items())) for each in (signed, classes, condition)))
