"""Upstream gradients: the inputs of a backward pass, in place of ones."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import assert_never

import numpy as np

from kl_reference.convention import Reduction
from kl_reference.enclosure import Array
from kl_reference.problem import Problem


class UpstreamKind(Enum):
    """The numbers of an upstream gradient."""

    ONES = "ones"
    """1 everywhere, the library's default: no gradient is passed."""
    PATTERN = "pattern"
    """The numbers of :func:`pattern`."""
    HUGE = "huge"
    """The pattern times a power of two near the square root of the largest number: a narrower dtype loses it."""
    ZERO = "zero"
    """0 everywhere."""
    EXPANDED = "expanded"
    """The first row of the pattern in every row."""


@dataclass(frozen=True, slots=True)
class Upstream:
    """An upstream gradient: its numbers, and its memory layout."""

    kind: UpstreamKind = UpstreamKind.ONES
    layout: str = "contiguous"

    def values(self, problem: Problem) -> Array | None:
        """Return the numbers in the shape of the problem's answer; None where no gradient is passed."""
        above = upstream_of(problem)
        match self.kind:
            case UpstreamKind.ONES:
                return None
            case UpstreamKind.PATTERN:
                return above
            case UpstreamKind.HUGE:
                return above * float(2.0 ** np.floor(np.log2(problem.model.dtype.largest) / 2))
            case UpstreamKind.ZERO:
                return np.zeros_like(above)
            case UpstreamKind.EXPANDED:
                return np.broadcast_to(above[:1], above.shape)
            case _:
                assert_never(self.kind)


def pattern(shape: tuple[int, ...]) -> Array:
    """Return numbers of a shape: not 1, not uniform, of both signs, never 0, and exact in every dtype."""
    return ((np.arange(math.prod(shape)) % 7 - 3) / 4 + 1 / 8).reshape(shape)


def upstream_of(problem: Problem) -> Array:
    """Return the pattern in the shape of the problem's answer."""
    match problem.reduction:
        case Reduction.TERMS:
            return pattern(problem.shape)
        case Reduction.ROWS:
            return pattern(tuple(np.delete(np.array(problem.shape, dtype=int), problem.axis).tolist()))
        case _:
            return pattern(())
