"""All kernels of the study, by name."""

import importlib
import pkgutil
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any, TypeVar

import studies.mutants.correct
import studies.mutants.wrong
from studies.mutants.kernel import CorrectKernel, Mutant

Kernel = TypeVar("Kernel", Mutant, CorrectKernel)


@cache
def mutants() -> dict[str, Mutant]:
    """Return the mutants of every module in package ``wrong``.

    Raises
    ------
    ValueError
        Two of them have the same name.
    """
    tables = [module.MUTANTS for module in _modules(studies.mutants.wrong)]
    return _named(replace(kernel, name=name) for table in tables for name, kernel in table.items())


@cache
def correct_kernels() -> dict[str, CorrectKernel]:
    """Return the correct kernels of every module in package ``correct``.

    Raises
    ------
    ValueError
        Two of them have the same name.
    """
    return _named(kernel for module in _modules(studies.mutants.correct) for kernel in module.KERNELS)


def kernel_named(name: str) -> Mutant | CorrectKernel:
    """Return a kernel by its name.

    Raises
    ------
    ValueError
        No kernel has this name; the message lists the known names.
    """
    known: dict[str, Mutant | CorrectKernel] = {**mutants(), **correct_kernels()}
    if name not in known:
        raise ValueError(f"unknown kernel {name!r}; known: {', '.join(known)}")
    return known[name]


def _modules(package: Any) -> list[Any]:
    """Import every module of a package, in alphabetical order."""
    names = [each.name for each in pkgutil.iter_modules(package.__path__)]
    return [importlib.import_module(f"{package.__name__}.{name}") for name in names]


def _named(kernels: Iterable[Kernel]) -> dict[str, Kernel]:
    named: dict[str, Kernel] = {}
    for each in kernels:
        if named.setdefault(each.name, each) is not each:
            raise ValueError(f"two kernels are named {each.name!r}")
    return named
