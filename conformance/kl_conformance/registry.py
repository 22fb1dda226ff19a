"""Every framework and implementation known by name, read without importing any framework."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kl_conformance.implementation import Framework, Implementation
from kl_conformance.implementations import jax, scipy, tensorflow, torch
from kl_conformance.implementations.jax import Jax
from kl_conformance.implementations.numpy import NumPy
from kl_conformance.implementations.scipy import SciPy
from kl_conformance.implementations.tensorflow import TensorFlow
from kl_conformance.implementations.torch import Torch

FRAMEWORKS: dict[str, Framework] = {
    framework.name: framework for framework in (Torch(), TensorFlow(), Jax(), SciPy(), NumPy())
}
IMPLEMENTATIONS: dict[str, Implementation] = {
    implementation.name: implementation
    for module in (torch, tensorflow, jax, scipy)
    for implementation in module.IMPLEMENTATIONS
}


class UnknownName(ValueError):
    """A name nobody here bears; the message gives it and the known ones."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        super().__init__(f"unknown {kind} {name!r}; known: {', '.join(known)}")


def framework(name: str) -> Framework:
    """Return the framework of that name."""
    if name not in FRAMEWORKS:
        raise UnknownName("framework", name, sorted(FRAMEWORKS))
    return FRAMEWORKS[name]


def asked_frameworks() -> list[str]:
    """Return the frameworks that have implementations of their own, in the order they are shown."""
    return list(dict.fromkeys(each.framework for each in IMPLEMENTATIONS.values()))


def implementation(name: str) -> Implementation:
    """Return the implementation of that name, or the one at ``module:attribute`` or ``file.py:attribute``.

    Raises
    ------
    UnknownName
        Nobody bears the name.
    ValueError
        The module or file cannot be imported, or the attribute is no Implementation.
    """
    if ":" not in name:
        if name not in IMPLEMENTATIONS:
            raise UnknownName(
                "implementation", name, [*IMPLEMENTATIONS, "or module:attribute, file.py:attribute"]
            )
        return IMPLEMENTATIONS[name]
    place, _, attribute = name.rpartition(":")
    found = getattr(_module(place), attribute, None)
    if not isinstance(found, Implementation):
        what = "has no such attribute" if found is None else f"it is a {type(found).__name__}"
        raise ValueError(f"{name!r} does not name a kl_conformance.Implementation: {what}")
    framework(found.framework)
    return found


def _module(place: str) -> Any:
    """Import a module by dotted name or by path."""
    try:
        if not place.endswith(".py"):
            return importlib.import_module(place)
        path = Path(place).resolve()
        if not path.is_file():
            raise ValueError(f"no such file: {place!r}")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        if spec is None or spec.loader is None:
            raise ValueError(f"{place!r} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[path.stem] = module
        spec.loader.exec_module(module)
        return module
    except ValueError:
        raise
    except Exception as error:  # whatever a user's module raises at import is theirs to read
        raise ValueError(f"{place!r} cannot be imported: {type(error).__name__}: {error}") from error


def installed_version(package: str) -> str:
    """Return the installed version of a distribution, or ``"absent"``."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "absent"
