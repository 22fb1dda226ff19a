"""Detects calls of a user kernel into its library's own KL functions."""

import inspect
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from kl_conformance.implementations import registry

INTERNAL = ("torch.kl_div",)  # functions that built-in implementations call, and kernels can call directly


def observable() -> dict[Any, str]:
    """Return the functions of built-in implementations whose calls a profiler sees, in modules that are loaded.

    Returns
    -------
    dict
        Code objects of functions written in Python, and functions written in C; each with its name. Compiled
        functions (``jax.jit``, ufuncs) make no call that a profiler sees.
    """
    found: dict[Any, str] = {}
    for name in (*registry.IMPLEMENTATIONS, *INTERNAL):
        function = inspect.unwrap(_loaded(name))
        key = getattr(function, "__code__", function if inspect.isbuiltin(function) else None)
        if key is not None:
            found.setdefault(key, name)
    return found


def _loaded(name: str) -> Any:
    """Return the object of a dotted name without importing anything; None if its module is not loaded."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        found: Any = sys.modules.get(".".join(parts[:length]))
        if found is not None:
            for part in parts[length:]:
                found = getattr(found, part, None)
            return found
    return None


@contextmanager
def record_delegation() -> Generator[set[str]]:
    """Collect the names of the functions of :func:`observable` that are called in this thread.

    Raises
    ------
    RuntimeError
        A profiler is active: a thread has one, and a profiler written in C cannot be restored.
    """
    if profiler_active():
        raise RuntimeError("a profiler is active in this thread")
    names, called = observable(), set[str]()

    def record(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in names:
            called.add(names[frame.f_code])
        elif event == "c_call" and frame.f_code not in names and _hashable(argument) and argument in names:
            called.add(names[argument])

    sys.setprofile(record)
    try:
        yield called
    finally:
        sys.setprofile(None)


def profiler_active() -> bool:
    """Whether a profiler is active in this thread."""
    return sys.getprofile() is not None


def _hashable(thing: Any) -> bool:
    """Whether a function written in C can be a dictionary key; one bound to a list, for example, cannot."""
    owner = getattr(thing, "__self__", None)
    return owner is None or inspect.ismodule(owner) or isinstance(owner, type)
