"""Loads an implementation by registry name or from a user's `FILE:NAME` / `MODULE:NAME`."""

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from hashlib import blake2b
from importlib import import_module
from pathlib import Path
from typing import Any

from kl_conformance.errors import UnknownNameError
from kl_conformance.implementations.adapter import adapted, checked
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.implementations.registry import FRAMEWORKS, IMPLEMENTATIONS, is_builtin
from kl_reference.convention import Convention
from kl_reference.dtype import Dtype


def is_user_kernel(name: str) -> bool:
    """Whether a name locates a user kernel, ``module:attribute`` or ``file.py:attribute``."""
    return ":" in name


def implementation(name: str, like: str = "", *, framework: str = "", strict: bool = False) -> Implementation:
    """Return the implementation of that name, or the one at ``module:attribute`` or ``file.py:attribute``.

    Parameters
    ----------
    name
        The name of a built-in implementation, or the location of a user kernel.
    like
        Built-in implementation in whose calling convention a callable at that location is called.
    framework
        Framework whose tensors that callable takes; that of ``like`` when empty.
    strict
        Whether the known deviations of ``like`` are failures, too.

    Raises
    ------
    UnknownNameError
        No implementation has the name.
    ValueError
        The module or file cannot be imported, or the attribute is no valid Implementation.
    """
    if not is_user_kernel(name):
        if not is_builtin(name):
            raise UnknownNameError("implementation", name, [*IMPLEMENTATIONS, "or module:attribute, file.py:attribute"])
        return IMPLEMENTATIONS[name]
    location, _, attribute = name.rpartition(":")
    module = _module(location)
    if attribute not in vars(module):
        candidates = ", ".join(_own(module)) or "none"
        raise ValueError(f"no implementation named {attribute!r} in {location}; found: {candidates}")
    found = vars(module)[attribute]
    if like:
        found = adapted(found, implementation(like), attribute, framework=framework, strict=strict)
    if not isinstance(found, Implementation):
        own = [key for key in _own(module) if isinstance(vars(module)[key], Implementation)]
        others = f"the file declares {', '.join(own)}; " if own else ""
        raise ValueError(
            f"{name!r} is of type {type(found).__name__}, not kl_conformance.Implementation; {others}for a callable "
            "name the implementation it follows with --like NAME, or declare it (`kl-conformance run -h` shows how)"
        )
    for fault in _faults(found):
        raise ValueError(f"{name!r} cannot be tested: {fault}")
    return found if like else checked(found)


def _own(module: Any) -> list[str]:
    """Return the names of what a module itself defines: Implementations and public callables."""
    return [
        name
        for name, value in vars(module).items()
        if isinstance(value, Implementation)
        or (callable(value) and not name.startswith("_") and getattr(value, "__module__", "") == module.__name__)
    ]


def _faults(found: Any) -> Iterator[str]:
    """Yield the errors in an Implementation's declaration."""
    if not isinstance(found.name, str) or not found.name.strip():
        yield f"its name is {found.name!r}"
    elif IMPLEMENTATIONS.get(found.name, found) is not found:
        yield f"{found.name!r} is the name of a built-in implementation; choose another"
    if found.framework not in FRAMEWORKS:
        yield str(UnknownNameError("framework", str(found.framework), FRAMEWORKS))
    if not isinstance(found.convention, Convention):
        yield f"its convention is of type {type(found.convention).__name__}, not kl_reference.Convention"
    if not callable(found.call):
        yield f"its call is {found.call!r}, which is not callable"
    if found.profile is not None and not callable(found.profile):
        yield f"its profile is {found.profile!r}, not a function of a dtype such as Profile.fast"
    if not found.dtypes or not all(isinstance(each, Dtype) for each in found.dtypes):
        yield f"its dtypes are {found.dtypes!r}, not a tuple of kl_reference.Dtype"
    if found.like and found.like not in IMPLEMENTATIONS:
        yield str(UnknownNameError("implementation", str(found.like), IMPLEMENTATIONS))


def _module(location: str) -> Any:
    """Import a module by dotted name or by path; it can import the modules of its own folder."""
    path = Path(location).resolve() if location.endswith(".py") else None
    if path is not None and not path.is_file():
        raise ValueError(f"{location!r} cannot be imported: no such file in {Path.cwd()}")
    try:
        _reach(Path.cwd() if path is None else path.parent)
        return import_module(location) if path is None else _file(path)
    except (Exception, SystemExit) as error:  # shown to the user, whatever their module raises
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        where = f" (line {lines[-1]})" if lines else ""
        message = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{location!r} cannot be imported: {message}{where}") from error


def _reach(folder: Path) -> None:
    """Append a folder to the import path, so that its modules hide no others."""
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def _file(path: Path) -> Any:
    """Import a file once, under a name that hides no other module: a kernel may be in a file ``torch.py``."""
    name = f"kl_conformance_user_{blake2b(str(path).encode(), digest_size=6).hexdigest()}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError("not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
