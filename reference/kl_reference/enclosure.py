"""Enclosure: the exact answer as midpoint and radius, with the error scales for a tolerance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference.convention import Side

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Scale:
    """Error scales of each element of an answer, from which a tolerance is built; divided as the answer is.

    Parameters
    ----------
    condition
        S: multiplied by (a + 2)·u it bounds the rounding error of a straightforward evaluation, where a is the
        relative error of log and exp in u.
    fixed
        Further error as a multiple of u (softmax pipelines, gradients).
    magnitude
        T = Σ|term|: the rounding error of a summation is proportional to it.
    gradual, flushed
        Underflow: multiples of the least subnormal number, and of the least normal number if the implementation
        flushes subnormals to zero.
    count
        Number of terms summed into one element (1: nothing is summed).
    """

    condition: Array
    fixed: Array
    magnitude: Array
    gradual: Array
    flushed: Array
    count: int

    def map_arrays(self, change: Callable[[Array], Array]) -> Scale:
        """Return the scale with a function applied to each of its arrays."""
        return Scale(
            change(self.condition),
            change(self.fixed),
            change(self.magnitude),
            change(self.gradual),
            change(self.flushed),
            self.count,
        )

    @property
    def arrays(self) -> tuple[Array, ...]:
        """All arrays."""
        return self.condition, self.fixed, self.magnitude, self.gradual, self.flushed


@dataclass(frozen=True, slots=True)
class Slope:
    """Identifies an enclosed gradient: the side of the operand, and the upstream gradient (None: 1)."""

    side: Side
    upstream: NDArray[Any] | None = None


@dataclass(frozen=True, slots=True)
class Enclosure:
    """The exact answer lies within ``value + tail ± radius``, element by element.

    ``value`` is the exact answer rounded to float64, ``tail`` is the remainder of this rounding, both of the
    answer's shape. An infinite or NaN value is exact: its tail and radius are 0. ``slope`` is set for a gradient.
    """

    value: Array
    tail: Array
    radius: Array
    scale: Scale
    slope: Slope | None = None

    def error(self, got: Array) -> Array:
        """Return ``got − (value + tail)``, the signed error of an answer, rounded once.

        The error is 0 for equal infinities, and for NaN if the exact value is NaN; it is infinite for any other
        mismatch of non-finite values.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            difference: Array = (got - self.value) - self.tail
        if np.isfinite(difference).all():  # then both numbers are finite, too
            return difference
        same = (got == self.value) | (np.isnan(got) & np.isnan(self.value))
        plain = np.isfinite(got) & np.isfinite(self.value)
        mismatch = np.where(same, 0.0, np.inf)
        return np.where(plain, difference, mismatch)

    def map_arrays(self, change: Callable[[Array], Array]) -> Enclosure:
        """Return the enclosure with a function applied to each of its arrays."""
        value, tail, radius = change(self.value), change(self.tail), change(self.radius)
        return replace(self, value=value, tail=tail, radius=radius, scale=self.scale.map_arrays(change))

    def write(self, part: Enclosure, rows: slice, columns: slice) -> None:
        """Write another enclosure into rows and columns of this one, which has two axes."""
        mine, theirs = ((each.value, each.tail, each.radius, *each.scale.arrays) for each in (self, part))
        for array, other in zip(mine, theirs, strict=True):
            array[rows, columns] = other
