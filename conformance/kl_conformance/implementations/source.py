"""Locates a user kernel's file and line without importing it (ast)."""

import ast
import importlib
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

FUNCTION = "kernel({tensors}, {keywords})"
CLASS = "kernel({keywords})({tensors})"  # of modules or losses


@dataclass(frozen=True, slots=True)
class KernelSource:
    """How a script imports and calls a user kernel.

    Parameters
    ----------
    imports
        Lines that import it under the name ``kernel``.
    call
        The call, with the placeholders ``{tensors}`` and ``{keywords}``.
    """

    imports: tuple[str, ...]
    call: str


def kernel_source(name: str, folder: Path) -> KernelSource | None:
    """Return how a script imports and calls the kernel at ``module:attribute`` or ``file.py:attribute``.

    Parameters
    ----------
    name
        The location, as the user named it.
    folder
        The folder to which the location is relative.

    Returns
    -------
    KernelSource or None
        None unless the file itself defines a function, class or object of that name.
    """
    location, _, attribute = name.rpartition(":")
    path = _file(location, folder)
    call = None if path is None else _called(_statement(path, attribute))
    if path is None or call is None:
        return None
    if location.endswith(".py"):
        line = f'kernel = runpy.run_path({str(path)!r})["{attribute}"]'
        return KernelSource(("import runpy, sys", f"sys.path.append({str(path.parent)!r})", line), call)
    line = f"from {location} import {attribute} as kernel"
    return KernelSource(("import sys", f"sys.path.append({str(folder)!r})", line), call)


def defined(name: str, folder: Path) -> bool:
    """Whether a ``def`` or ``class`` statement defines ``module:attribute`` or ``file.py:attribute``."""
    location, _, attribute = name.rpartition(":")
    path = _file(location, folder)
    return path is not None and isinstance(_statement(path, attribute), ast.FunctionDef | ast.ClassDef)


def _file(location: str, folder: Path) -> Path | None:
    return (folder / location).resolve() if location.endswith(".py") else _module(location, folder)


def _module(name: str, folder: Path) -> Path | None:
    """Return the file of a module without importing its packages."""
    parts = name.split(".")
    paths: list[str] = [*sys.path, str(folder)]
    origin = None
    importlib.invalidate_caches()  # the file may be newer than the cached listing of its folder
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), paths)
        if spec is None:
            return None
        paths, origin = list(spec.submodule_search_locations or []), spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _statement(path: Path, attribute: str) -> ast.stmt | None:
    """Return the last statement of a file that defines a name; None if the file does not, or cannot be read."""
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    found = None
    for statement in body:
        match statement:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                found = statement if name == attribute else found
            case _:
                pass
    return found


def _called(statement: ast.stmt | None) -> str | None:
    """Return how the object that a statement defines is called; None if the statement does not show it."""
    match statement:
        case ast.FunctionDef() | ast.Assign(value=ast.Lambda()):
            return FUNCTION
        case ast.ClassDef():
            return CLASS
        case ast.Assign(value=ast.Call() as value):
            constructor = ast.unparse(value.func).rpartition(".")[2]
            return None if constructor in {"Implementation", "replace", "adapted"} else FUNCTION
        case _:
            return None
