"""Distribution of the errors of a cell relative to their tolerance."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BINS = 10  # bins on either side of 0, each a tenth of the tolerance
THOUSANDTHS = 1000
MOST_CONDITION = 64  # binary logarithm; larger condition numbers are counted here


@dataclass(frozen=True, slots=True)
class ErrorDistribution:
    """Counts over all problems of a cell that pass, each by its worst element.

    Parameters
    ----------
    signed
        Number of problems by signed error ÷ allowed error, in tenths rounded to the nearest: −10 … 10.
    classes
        Largest error ÷ allowed error, in thousandths rounded up, by number of classes.
    condition
        The same by condition number, the error scale S ÷ |answer|: the whole part of its binary logarithm, 0 … 64.
    """

    signed: Mapping[int, int] = field(default_factory=dict[int, int])
    classes: Mapping[int, int] = field(default_factory=dict[int, int])
    condition: Mapping[int, int] = field(default_factory=dict[int, int])

    @property
    def problems(self) -> int:
        """The number of problems measured."""
        return sum(self.signed.values())


def combined(spreads: Iterable[ErrorDistribution]) -> ErrorDistribution:
    """Return the distribution of several cells: the sum of counts and the largest of errors."""
    signed, classes, condition = dict[int, int](), dict[int, int](), dict[int, int]()
    for spread in spreads:
        for tenths, number in spread.signed.items():
            signed[tenths] = signed.get(tenths, 0) + number
        for total, part in ((classes, spread.classes), (condition, spread.condition)):
            for key, error in part.items():
                total[key] = max(error, total.get(key, 0))
    return ErrorDistribution(*(dict(sorted(each.items())) for each in (signed, classes, condition)))
