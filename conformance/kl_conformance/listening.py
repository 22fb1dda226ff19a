"""Which divergences of a library a call hands its work to, where Python can hear it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from kl_conformance import registry

BUILTINS = ("torch.kl_div",)  # what a known implementation itself calls, and others may call past it


def known() -> dict[Any, str]:
    """Return what can be heard among the known implementations, of modules that are loaded.

    Returns
    -------
    dict
        Code objects, of functions written in Python, and functions written in C; each with its name. What a
        compiler has in hand (``jax.jit``, a ufunc) makes no call that Python sees.
    """
    found: dict[Any, str] = {}
    for name in (*registry.IMPLEMENTATIONS, *BUILTINS):
        function = inspect.unwrap(_loaded(name))
        heard = getattr(function, "__code__", function if inspect.isbuiltin(function) else None)
        if heard is not None:
            found.setdefault(heard, name)
    return found


def _loaded(name: str) -> Any:
    """Return what bears a dotted name, or None where its module is not loaded; nothing is imported."""
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
    """Gather the names of what is called in this thread, among :func:`known`.

    Raises
    ------
    RuntimeError
        Somebody else listens: there is one place for a profiler, and one in C cannot be put back.
    """
    if profiler_active():
        raise RuntimeError("a profiler is at work in this thread")
    names, heard = known(), set[str]()

    def hear(frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code in names:
            heard.add(names[frame.f_code])
        elif event == "c_call" and frame.f_code not in names and _hashable(argument) and argument in names:
            heard.add(names[argument])

    sys.setprofile(hear)
    try:
        yield heard
    finally:
        sys.setprofile(None)


def profiler_active() -> bool:
    """Whether a profiler is at work in this thread already."""
    return sys.getprofile() is not None


def _hashable(thing: Any) -> bool:
    """Whether a function in C can be looked up; one bound to a list, say, cannot."""
    owner = getattr(thing, "__self__", None)
    return owner is None or inspect.ismodule(owner) or isinstance(owner, type)
