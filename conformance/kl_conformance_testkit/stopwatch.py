"""What the time of a process went on, by the functions it was spent in."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from enum import Enum
from functools import wraps
from types import FunctionType
from typing import Any

from kl_cases.pair import Pair
from kl_conformance import registry
from kl_conformance.cell import Cell
from kl_conformance.subject import Subject


class Part(Enum):
    """What time is spent on; the value is what people read."""

    IMPORTS = "imports"
    FRAMEWORK = "framework"
    REFERENCE = "reference"
    JUDGE = "judge"
    STRATEGY = "strategy"
    REST = "the rest"


# By the module a function is defined in, or else by its house.
MODULES = {
    "kl_conformance.judge": Part.JUDGE,
    "kl_reference.tolerance": Part.JUDGE,
    "kl_conformance.search": Part.STRATEGY,
}
HOUSES = {"kl_reference": Part.REFERENCE, "kl_cases": Part.STRATEGY}
HANDING = (
    "tensor",
    "from_numpy",
    "prepend_rows",
    "large_tensor",
    "overwrite",
    "output",
    "log_softmax",
)  # what numbers go in and out by


class Stopwatch:
    """CPU seconds of this process by part, every moment of them in one: that entered last and not yet left.

    What has run before the first part is entered counts as imports.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self._clock = clock
        self._since = 0.0  # CPU time begins with the process
        self._parts = [Part.IMPORTS]
        self._spent = dict.fromkeys(Part, 0.0)

    def enter(self, part: Part) -> None:
        """Begin a part, within the one that runs."""
        self._charge()
        self._parts.append(part)

    def leave(self) -> None:
        """Go back to the part that was running before."""
        self._charge()
        self._parts.pop()

    def timed(self, part: Part, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function whose time is that of a part."""

        @wraps(function)
        def wrapper(*arguments: Any, **keywords: Any) -> Any:
            self.enter(part)
            try:
                return function(*arguments, **keywords)
            finally:
                self.leave()

        return wrapper

    def spent(self) -> dict[Part, float]:
        """Return the seconds so far."""
        self._charge()
        return dict(self._spent)

    def _charge(self) -> None:
        now = self._clock()
        self._spent[self._parts[-1]] += now - self._since
        self._since = now


def put(watch: Stopwatch) -> None:
    """Time the seams of this process: where one part's code calls another's.

    Functions are replaced where they are called from, so that nothing is timed within its own part.
    """
    for name, module in list(sys.modules.items()):
        if name.startswith("kl_conformance."):
            for own, value in list(vars(module).items()):
                part = None if own.startswith("_") else _part(value)
                if part is not None:
                    setattr(module, own, watch.timed(part, value))
    for owner, name, part in (
        (Pair, "realise", Part.STRATEGY),
        (Cell, "_breaks", Part.REST),  # both are what a search calls back
        (Cell, "_breaking", Part.REST),
        *((type(each), "load", Part.IMPORTS) for each in registry.FRAMEWORKS.values()),
        *((type(each), name, Part.FRAMEWORK) for each in registry.FRAMEWORKS.values() for name in HANDING),
    ):
        if name in vars(owner):
            setattr(owner, name, watch.timed(part, vars(owner)[name]))
    attempt = Subject.attempt

    def attempted(subject: Subject, make: Callable[[], Any]) -> Any:
        return attempt(subject, watch.timed(Part.FRAMEWORK, make))

    setattr(Subject, attempt.__name__, attempted)


def _part(value: object) -> Part | None:
    """Return the part a function belongs to, or None for anything else."""
    if not isinstance(value, FunctionType):
        return None
    house, _, _ = value.__module__.partition(".")
    return MODULES.get(value.__module__, HOUSES.get(house))
