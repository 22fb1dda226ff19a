"""Public API of the conformance suite, imported lazily."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kl_conformance._version import __version__ as __version__
    from kl_conformance.implementations.implementation import Implementation
    from kl_conformance.verification import Verification, assert_conforms, verify
    from kl_reference.convention import Convention, Reduction, Space

__all__ = ["Convention", "Implementation", "Reduction", "Space", "Verification", "assert_conforms", "verify"]

_HOMES = {
    "Convention": "kl_reference.convention",
    "Implementation": "kl_conformance.implementations.implementation",
    "Reduction": "kl_reference.convention",
    "Space": "kl_reference.convention",
    "Verification": "kl_conformance.verification",
    "__version__": "kl_conformance._version",
    "assert_conforms": "kl_conformance.verification",
    "verify": "kl_conformance.verification",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, because every pytest session and every --help imports this package."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
