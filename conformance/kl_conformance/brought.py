"""Where a user's kernel lies, read without running a line of it."""

from __future__ import annotations

import ast
import importlib
import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

FUNCTION = "kernel({tensors}, {keywords})"
MADE = "kernel({keywords})({tensors})"  # a class: of modules, or of losses


@dataclass(frozen=True, slots=True)
class Brought:
    """How a script gets hold of a user's kernel.

    Parameters
    ----------
    imports
        Lines after which it bears the name ``kernel``.
    call
        How it is called, with ``{tensors}`` and ``{keywords}``.
    """

    imports: tuple[str, ...]
    call: str


def brought(name: str, folder: Path) -> Brought | None:
    """Return how a script gets hold of the kernel at ``module:attribute`` or ``file.py:attribute``.

    Parameters
    ----------
    name
        The place, as it was asked for.
    folder
        The folder it was asked in.

    Returns
    -------
    Brought or None
        None where what lies there is no function, class or object written out in that file.
    """
    place, _, attribute = name.rpartition(":")
    path = _file(place, folder)
    call = None if path is None else _called(_statement(path, attribute))
    if path is None or call is None:
        return None
    if place.endswith(".py"):
        reach, taken = path.parent, f'kernel = runpy.run_path({str(path)!r})["{attribute}"]'
        return Brought(("import runpy, sys", f"sys.path.append({str(reach)!r})", taken), call)
    taken = f"from {place} import {attribute} as kernel"
    return Brought(("import sys", f"sys.path.append({str(folder)!r})", taken), call)


def defined(name: str, folder: Path) -> bool:
    """Whether a file plainly defines a function or class at ``module:attribute`` or ``file.py:attribute``."""
    place, _, attribute = name.rpartition(":")
    path = _file(place, folder)
    return path is not None and isinstance(_statement(path, attribute), ast.FunctionDef | ast.ClassDef)


def _file(place: str, folder: Path) -> Path | None:
    """Return the file of ``file.py``, or of a module that is written in Python."""
    return (folder / place).resolve() if place.endswith(".py") else _module(place, folder)


def _module(name: str, folder: Path) -> Path | None:
    """Return the file of a module, whose packages are not imported to find it."""
    parts = name.split(".")
    places: list[str] = [*sys.path, str(folder)]
    origin = None
    importlib.invalidate_caches()  # the file may be younger than the last look into its folder
    for depth in range(len(parts)):
        spec = PathFinder.find_spec(".".join(parts[: depth + 1]), places)
        if spec is None:
            return None
        places, origin = list(spec.submodule_search_locations or []), spec.origin
    return Path(origin) if origin is not None and origin.endswith(".py") else None


def _statement(path: Path, attribute: str) -> ast.stmt | None:
    """Return the last statement of a file that gives something a name; None where there is none to be read."""
    try:
        body = ast.parse(path.read_text(encoding="utf-8")).body
    except (OSError, SyntaxError, ValueError):
        return None
    found = None
    for statement in body:
        match statement:
            case (
                ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)])
            ):
                found = statement if name == attribute else found
            case _:
                pass
    return found


def _called(statement: ast.stmt | None) -> str | None:
    """Return how what a statement gives a name to is called; None where it does not say what it is."""
    match statement:
        case ast.FunctionDef() | ast.Assign(value=ast.Lambda()):
            return FUNCTION
        case ast.ClassDef():
            return MADE
        case ast.Assign(value=ast.Call() as value):
            made = ast.unparse(value.func).rpartition(".")[2]
            return None if made in {"Implementation", "replace", "adapted"} else FUNCTION
        case _:
            return None
