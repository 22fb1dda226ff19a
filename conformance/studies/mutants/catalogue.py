"""Every kernel on trial, by name."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import Any, TypeVar

import studies.mutants.correct
import studies.mutants.wrong
from studies.mutants.kernel import Right, Wrong

Kernel = TypeVar("Kernel", Wrong, Right)


@cache
def wrong() -> dict[str, Wrong]:
    """Return the wrong kernels, from every module beside each other in ``wrong``.

    Raises
    ------
    ValueError
        Two of them bear one name.
    """
    return _named(kernel for module in _modules(studies.mutants.wrong) for kernel in module.WRONG)


@cache
def right() -> dict[str, Right]:
    """Return the right kernels, from every module beside each other in ``right``.

    Raises
    ------
    ValueError
        Two of them bear one name.
    """
    return _named(kernel for module in _modules(studies.mutants.correct) for kernel in module.RIGHT)


def kernel(name: str) -> Wrong | Right:
    """Return a kernel by its name.

    Raises
    ------
    ValueError
        Nobody bears it; the message says who does.
    """
    known: dict[str, Wrong | Right] = {**wrong(), **right()}
    if name not in known:
        raise ValueError(f"unknown kernel {name!r}; known: {', '.join(known)}")
    return known[name]


def _modules(package: Any) -> list[Any]:
    """Import every module of a package, in the order of their names."""
    names = [each.name for each in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def _named(kernels: Iterable[Kernel]) -> dict[str, Kernel]:
    named: dict[str, Kernel] = {}
    for each in kernels:
        if named.setdefault(each.name, each) is not each:
            raise ValueError(f"two kernels are named {each.name!r}")
    return named
