"""Exceptions raised in more than one package."""

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches

from kl_reports.runfile.records import Kind


class UnknownNameError(ValueError):
    """An unknown name; the message contains it, the nearest known name, and all known names."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        nearest = get_close_matches(name, known, n=1)
        hint = f"did you mean {nearest[0]!r}? " if nearest else ""
        super().__init__(f"unknown {kind} {name!r}; {hint}known: {', '.join(known)}")


class AbsentError(Exception):
    """Something that a call needs, such as a package or compiler, is missing on this machine; the message names it."""


class MisgivenError(TypeError):
    """The implementation returned something other than a tensor; the message gives its type and the expected one."""


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
        The exception; None if it returned something other than a tensor.
    """

    def __init__(self, message: str, error: Raised | None = None) -> None:
        super().__init__(message)
        self.error = error

    @property
    def kind(self) -> Kind:
        """The kind of this failure if a value was expected."""
        return Kind.NO_TENSOR if self.error is None else Kind.RAISED


def check_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise for the first name that is not known.

    Raises
    ------
    UnknownNameError
        The message gives the name and the known names.
    """
    known = list(known)
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)
