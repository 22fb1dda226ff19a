"""Names and installed versions of the built-in frameworks and implementations; imports no framework."""

from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pkgutil import iter_modules

from kl_conformance.errors import check_known
from kl_conformance.frameworks.framework import Framework
from kl_conformance.frameworks.jax import Jax, Tfp
from kl_conformance.frameworks.mlx import Mlx
from kl_conformance.frameworks.numpy import NumPy, SciPy
from kl_conformance.frameworks.paddle import Paddle
from kl_conformance.frameworks.tensorflow import TensorFlow
from kl_conformance.frameworks.tinygrad import Tinygrad
from kl_conformance.frameworks.torch import Torch
from kl_conformance.implementations.implementation import Implementation

BUILTIN = "kl_conformance.implementations.builtin"

FRAMEWORKS: dict[str, Framework] = {
    framework.name: framework
    for framework in (Torch(), TensorFlow(), Jax(), SciPy(), Paddle(), Tfp(), Mlx(), Tinygrad(), NumPy())
}


def declared() -> list[Implementation]:
    """Return the implementations that the modules of :data:`BUILTIN` declare, ordered by framework."""
    found: list[Implementation] = []
    for module in sorted(each.name for each in iter_modules(import_module(BUILTIN).__path__, f"{BUILTIN}.")):
        found += import_module(module).IMPLEMENTATIONS
    # Within a framework its own package comes first.
    return sorted(found, key=lambda each: (list(FRAMEWORKS).index(each.framework), each.package != each.framework))


IMPLEMENTATIONS: dict[str, Implementation] = {each.name: each for each in declared()}


def framework(name: str) -> Framework:
    """Return the framework of that name."""
    check_known("framework", [name], FRAMEWORKS)
    return FRAMEWORKS[name]


def frameworks_with_builtins() -> list[str]:
    """Return the frameworks that have built-in implementations, in display order."""
    return list(dict.fromkeys(each.framework for each in IMPLEMENTATIONS.values()))


def is_builtin(name: str) -> bool:
    """Whether a name is that of a built-in implementation, which its upstream project tests as well."""
    return name in IMPLEMENTATIONS


@cache
def installed_version(package: str) -> str:
    """Return the installed version of a distribution, or ``"absent"``."""
    for name in (package, f"{package}-cpu"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return "absent"
