"""What came of a call: an answer beside what is right and what is allowed, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kl_reference.convention import Side
from kl_reference.enclosure import Array, Enclosure
from kl_reference.precision import Profile, Tolerance
from kl_reference.problem import Problem


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A problem, what an implementation gave for it, and what is right.

    ``side`` is set where the answer is a gradient; ``solve`` gives what is right for another problem in place
    of this one.
    """

    problem: Problem
    got: Array
    dtype: str
    enclosure: Enclosure
    tolerance: Tolerance
    profile: Profile
    call: str
    solve: Callable[[Problem], Enclosure]
    side: Side | None = None
