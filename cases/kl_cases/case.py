"""Case: one corpus entry; PublishedValue: a value as its source printed it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kl_cases.pair import Pair
from kl_reference.dtype import Dtype


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """A number as its source printed it, with all its digits."""

    text: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def unit(self) -> float:
        """One unit of the last printed digit; 0 for an infinity or a NaN."""
        exponent = Decimal(self.text).as_tuple().exponent
        return 10.0**exponent if isinstance(exponent, int) else 0.0

    def matches(self, number: float) -> bool:
        """Return whether a number, printed with the same number of digits, equals this one."""
        if not math.isfinite(self.value):
            return number == self.value or (math.isnan(number) and math.isnan(self.value))
        # Slightly more than half a unit: a source that printed float32 may have rounded a tie the other way.
        return abs(number - self.value) <= 0.500001 * self.unit


@dataclass(frozen=True, slots=True)
class Case:
    """A fixed problem with the known facts about its answer.

    Parameters
    ----------
    id
        Words joined by hyphens, unique in the corpus.
    chapter
        One of ``corpus.CHAPTERS``.
    sentence
        A description for people.
    flags
        Bug classes that it detects, names in ``flags.FLAGS``.
    link
        Where it was reported or documented; "derived" if it follows from the formula.
    requirements
        Ids of the requirements it tests.
    expectation
        ``exact`` (the enclosure applies), ``one-of`` (see ``accept``), ``unspecified`` (recorded only) or
        ``error`` (the call must raise).
    pair, dtype
        The numbers, and the format in which the source had them; None if the call itself is tested.
    shapes
        Shapes of target and model, if only these matter.
    arguments
        Further arguments of the call, such as ``reduction`` or ``misuse``.
    printed
        Numbers that the source printed, or that were derived by hand, by quantity: the name of a reduction
        in lower case (``terms``, ``sum``), after another formula (``generalised/terms``,
        ``cross-entropy/sum``), or ``ce-minus-h``.
    accept
        Further accepted answers, with or instead of the exact one: ``exact``, ``nan``, ``infinity``, ``error``.
    """

    id: str
    chapter: str
    sentence: str
    flags: tuple[str, ...]
    link: str
    requirements: tuple[str, ...]
    expectation: str
    pair: Pair | None = None
    dtype: Dtype | None = None
    shapes: tuple[tuple[int, ...], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    printed: Mapping[str, tuple[PublishedValue, ...]] = field(default_factory=dict[str, tuple[PublishedValue, ...]])
    accept: tuple[str, ...] = ()

    @property
    def subnormals(self) -> bool:
        """Whether the pair is realised with subnormal numbers."""
        return "subnormal" in self.flags
