"""What came of a call: an answer beside what is right and what is allowed, or none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kl_conformance.call import CallDescription
from kl_reference.convention import Side
from kl_reference.enclosure import Array, Enclosure
from kl_reference.precision import Profile, Tolerance
from kl_reference.problem import Problem
from kl_reports.result import Kind


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception of an implementation: the name of its type, and its message on one line."""

    type: str
    message: str


class RefusedError(Exception):
    """The implementation returned no tensor: it raised, or it returned something else.

    Parameters
    ----------
    message
        What it raised or returned, for people.
    error
        The exception; None where it returned something that is no tensor.
    """

    def __init__(self, message: str, error: Raised | None = None) -> None:
        super().__init__(message)
        self.error = error

    @property
    def kind(self) -> Kind:
        """The kind of this failure, where a value was expected."""
        return Kind.NO_TENSOR if self.error is None else Kind.RAISED


@dataclass(frozen=True, slots=True)
class Misshapen:
    """An answer's shape that is not the expected one."""

    got: tuple[int, ...]
    expected: tuple[int, ...]

    @property
    def note(self) -> str:
        """The same as a clause."""
        return f"gave shape {self.got} where {self.expected} is right"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A problem, an implementation's answer, and the correct one.

    ``solve`` returns the correct answer to another problem in place of this one.
    """

    problem: Problem
    got: Array
    dtype: str
    enclosure: Enclosure
    tolerance: Tolerance
    profile: Profile
    call: CallDescription
    solve: Callable[[Problem], Enclosure]

    @property
    def side(self) -> Side | None:
        """The side by which the answer is a derivative; None where it is a value."""
        return self.call.side

    @property
    def misshapen(self) -> Misshapen | None:
        """The two shapes, where the answer's is not the expected one."""
        got, expected = self.got.shape, self.enclosure.value.shape
        return None if got == expected else Misshapen(got, expected)
