"""Intermediate results shared by all reductions and gradients of one problem."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from kl_reference.bounds.scaled import Scaled
from kl_reference.convention import Side
from kl_reference.enclosure import Scale
from kl_reference.evaluation.blocks import BLOCK, BlockView
from kl_reference.evaluation.reduction import Terms, matrix_shape
from kl_reference.problem import Problem

Slopes = tuple[Scaled, Scale]
"""The slope of every term, and the scales of its error."""


@dataclass(slots=True)
class Intermediates:
    """Cache of the views, terms and slopes of a problem that fits in one block; a larger problem is not cached.

    It may be shared by problems that differ in reduction and layout only, and changes no bit of an answer.
    """

    problem: Problem
    _views: dict[Side, BlockView] = field(default_factory=dict[Side, BlockView])
    _terms: list[Terms] = field(default_factory=list[Terms])
    _slopes: dict[tuple[Side, bool], Slopes] = field(default_factory=dict[tuple[Side, bool], Slopes])

    @property
    def fits_one_block(self) -> bool:
        """Whether all terms are evaluated in one block."""
        return 0 < math.prod(matrix_shape(self.problem.shape, self.problem.class_axis)) <= BLOCK

    def view(self, side: Side, make: Callable[[], BlockView]) -> BlockView:
        """Return an operand as a block view."""
        if not self.fits_one_block:
            return make()
        if side not in self._views:
            self._views[side] = make()
        return self._views[side]

    def terms(self, make: Callable[[], Terms]) -> Terms:
        """Return a block of terms, not summed."""
        if not self.fits_one_block:
            return make()
        if not self._terms:
            self._terms.append(make())
        return self._terms[0]

    def slopes(self, side: Side, logarithmic: bool, make: Callable[[], Slopes]) -> Slopes:
        """Return a block of slopes by one side or by its logarithm, for an upstream gradient of 1."""
        if not self.fits_one_block:
            return make()
        key = side, logarithmic
        if key not in self._slopes:
            self._slopes[key] = make()
        return self._slopes[key]
