"""A case someone met, and a number as its source printed it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kl_cases.pair import Pair
from kl_reference.dtype import Dtype


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """A number as its source printed it, digits and all."""

    text: str

    @property
    def value(self) -> float:
        """The number."""
        return float(self.text)

    @property
    def unit(self) -> float:
        """One unit of the last digit shown; 0 for an infinity or a NaN."""
        exponent = Decimal(self.text).as_tuple().exponent
        return 10.0**exponent if isinstance(exponent, int) else 0.0

    def shows(self, number: float) -> bool:
        """Tell whether a number, printed with as many digits, reads like this one."""
        if not math.isfinite(self.value):
            return number == self.value or (math.isnan(number) and math.isnan(self.value))
        # Half a unit and a hair: a source that printed float32 may have rounded a tie the other way.
        return abs(number - self.value) <= 0.500001 * self.unit


@dataclass(frozen=True, slots=True)
class Case:
    """One fixed question with what is known of its answer.

    Parameters
    ----------
    id
        Words joined by hyphens, unique in the corpus.
    chapter
        One of ``corpus.CHAPTERS``.
    sentence
        What is true of it, for people.
    flags
        Classes of bug it finds, names in ``flags.FLAGS``.
    link
        Where it was met or promised; "derived" where it follows from the formula.
    requirements
        Ids of the requirements it serves.
    expectation
        ``exact`` (the enclosure holds), ``one-of`` (see ``accept``), ``unspecified`` (recorded only) or
        ``error`` (the call must raise).
    pair, dtype
        The question and the format in which its source had the numbers; None where the call itself is
        the question.
    shapes
        Shapes of target and model where only these matter.
    arguments
        Whatever else the call is given, such as ``reduction`` or ``misuse``.
    printed
        Numbers the source printed, or that were worked out by hand, by quantity: the name of a reduction
        in lower case (``terms``, ``sum``), with another formula before it (``generalised/terms``,
        ``cross-entropy/sum``), or ``ce-minus-h``.
    accept
        What else is right beside the exact answer, or instead: ``exact``, ``nan``, ``infinity``, ``error``.
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
    printed: Mapping[str, tuple[PublishedValue, ...]] = field(
        default_factory=dict[str, tuple[PublishedValue, ...]]
    )
    accept: tuple[str, ...] = ()

    @property
    def subnormals(self) -> bool:
        """Whether the pair is to be realised with subnormal numbers."""
        return "subnormal" in self.flags
