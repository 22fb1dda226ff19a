"""Attributes the CPU time of a process to the parts of the suite whose functions spent it."""

import sys
import time
from collections.abc import Callable
from enum import Enum
from functools import wraps
from types import FunctionType
from typing import Any

from kl_cases.pair import Pair
from kl_conformance.cells.cell import Cell
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry


class Part(Enum):
    """A part of the suite; the value is its label in tables."""

    IMPORTS = "imports"
    FRAMEWORK = "framework"
    REFERENCE = "reference"
    JUDGE = "judge"
    STRATEGY = "strategy"
    REST = "the rest"


# The part of a function, by the module that defines it, otherwise by that module's top-level package.
MODULES = {
    "kl_conformance.judging.judge": Part.JUDGE,
    "kl_conformance.judging.elements": Part.JUDGE,
    "kl_reference.tolerance": Part.JUDGE,
    "kl_conformance.cells.search": Part.STRATEGY,
}
PACKAGES = {"kl_reference": Part.REFERENCE, "kl_cases": Part.STRATEGY}
CONVERSIONS = (
    "tensor",
    "from_numpy",
    "prepend_rows",
    "large_tensor",
    "overwrite",
    "output",
    "log_softmax",
)  # methods that convert numbers to and from tensors


class Stopwatch:
    """CPU seconds of this process by part; each moment counts for the part entered last and not yet left.

    Time before the first part is entered counts as imports.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._since = 0.0  # CPU time starts with the process
        self._parts = [Part.IMPORTS]
        self._spent = dict.fromkeys(Part, 0.0)

    def enter(self, part: Part) -> None:
        """Start a part, nested in the current one."""
        self._charge()
        self._parts.append(part)

    def leave(self) -> None:
        """End the current part and return to the one around it."""
        self._charge()
        self._parts.pop()

    def timed(self, part: Part, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, wrapped so that its time counts for a part."""

        @wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            self.enter(part)
            try:
                return function(*arguments, **keywords)
            finally:
                self.leave()

        return wrapper

    def spent(self) -> dict[Part, float]:
        """Return the seconds so far, by part."""
        self._charge()
        return dict(self._spent)

    def _charge(self) -> None:
        now = self._clock()
        self._spent[self._parts[-1]] += now - self._since
        self._since = now


def instrument(watch: Stopwatch) -> None:
    """Time every call in this process from one part's code into another's.

    Functions are replaced in the modules that call them, so calls within one part are not timed.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("kl_conformance."):
            for own, value in list(vars(module).items()):
                part = None if own.startswith("_") else _part(value)
                if part is not None:
                    setattr(module, own, watch.timed(part, value))
    for owner, name, part in (
        (Pair, "realise", Part.STRATEGY),
        (Cell, "_fails", Part.REST),  # the callbacks of a search
        (Cell, "_same_failure", Part.REST),
        *((type(each), "load", Part.IMPORTS) for each in registry.FRAMEWORKS.values()),
        *((type(each), name, Part.FRAMEWORK) for each in registry.FRAMEWORKS.values() for name in CONVERSIONS),
    ):
        if name in vars(owner):
            setattr(owner, name, watch.timed(part, vars(owner)[name]))
    attempt = Subject.collect_output

    def attempted(subject: Subject, make: Callable[[], Any]) -> Any:
        return attempt(subject, watch.timed(Part.FRAMEWORK, make))

    setattr(Subject, attempt.__name__, attempted)


def _part(value: object) -> Part | None:
    """Return the part of a function, or None for any other object."""
    if not isinstance(value, FunctionType):
        return None
    package, _, _ = value.__module__.partition(".")
    return MODULES.get(value.__module__, PACKAGES.get(package))
