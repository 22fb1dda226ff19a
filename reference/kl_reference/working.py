"""What a problem's answers in every reduction and its gradients have in common, worked out once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from kl_reference.convention import Side
from kl_reference.enclosure import Scale
from kl_reference.problem import Problem
from kl_reference.reduction import Terms, sheet_shape
from kl_reference.scaled import Scaled
from kl_reference.sheet import BLOCK, Sheet

Slopes = tuple[Scaled, Scale]
"""The slope of every term, and the scales of its error."""


@dataclass(slots=True)
class Working:
    """Sheets, terms and slopes of a problem that fits in one block; of a larger one nothing is kept.

    It serves problems that differ in their reduction and layout alone, as often as they are asked, and changes no bit
    of any answer.
    """

    problem: Problem
    _sheets: dict[Side, Sheet] = field(default_factory=dict[Side, Sheet])
    _terms: list[Terms] = field(default_factory=list[Terms])
    _slopes: dict[tuple[Side, bool], Slopes] = field(default_factory=dict[tuple[Side, bool], Slopes])

    @property
    def single(self) -> bool:
        """Whether all terms are worked on at once."""
        return 0 < math.prod(sheet_shape(self.problem.shape, self.problem.class_axis)) <= BLOCK

    def sheet(self, side: Side, make: Callable[[], Sheet]) -> Sheet:
        """Return an operand as a sheet."""
        if not self.single:
            return make()
        if side not in self._sheets:
            self._sheets[side] = make()
        return self._sheets[side]

    def terms(self, make: Callable[[], Terms]) -> Terms:
        """Return a block of terms, not summed."""
        if not self.single:
            return make()
        if not self._terms:
            self._terms.append(make())
        return self._terms[0]

    def slopes(self, side: Side, logarithmic: bool, make: Callable[[], Slopes]) -> Slopes:
        """Return a block of slopes by one side, or by its logarithm, before anything arrives from above."""
        if not self.single:
            return make()
        key = side, logarithmic
        if key not in self._slopes:
            self._slopes[key] = make()
        return self._slopes[key]
