"""Framework: abstract interface of an array library (arrays in, arrays out, known properties)."""

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.errors import AbsentError
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.process_state import RandomSource
from kl_conformance.frameworks.transform import Transformer
from kl_reference.convention import Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile

LARGE = 2**31  # elements: a signed 32-bit index ends one before it


@dataclass(frozen=True, slots=True)
class Output:
    """A result: its values as float64 (exact for every supported dtype) and its own dtype."""

    values: NDArray[np.float64]
    dtype: str


@dataclass(slots=True)
class Modules:
    """The imported modules of a framework, as attributes."""

    by_name: dict[str, Any] = field(default_factory=dict[str, Any])
    _failed: dict[str, str] = field(default_factory=dict[str, str])

    def __getattr__(self, name: str) -> Any:
        try:
            return self.by_name[name]
        except KeyError:
            raise AttributeError(name) from None

    def require(self, name: str, package: str = "") -> Any:
        """Import an additional package, make it an attribute and return it; a failed import is not repeated.

        Parameters
        ----------
        name
            The module to import; for ``a.b`` the attribute is ``a``.
        package
            The distribution that contains it, if its name is another.

        Raises
        ------
        AbsentError
            The module cannot be imported; the message gives the reason and the command to install it.
        """
        if name in self._failed:
            raise AbsentError(self._failed[name])
        top = name.partition(".")[0]
        try:
            import_module(name)
        except (Exception, SystemExit) as error:  # an import may raise anything
            self._failed[name] = import_failure(name, error, f"pip install {package or top}")
            raise AbsentError(self._failed[name]) from error
        self.by_name[top] = sys.modules[top]
        return self.by_name[top]


def import_failure(name: str, error: BaseException, install: str) -> str:
    """Return why a module cannot be imported, and the command that installs it."""
    if isinstance(error, ModuleNotFoundError):
        problem = "is not installed" if error.name in {name, name.partition(".")[0]} else "fails to import"
        return f"{name} {problem} ({error.msg}); install it with {install}"
    message = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{name} fails to import ({message}); make `import {name}` work, or install it with {install}"


class Framework(Transformer, ABC):
    """Adapter for one array library. Only :meth:`load` imports the library.

    Attributes
    ----------
    name
        Name of the framework, and of the distribution whose version is recorded.
    devices
        Devices of its columns.
    strided
        Whether a tensor can have strides other than row-major.
    compiles_per_shape
        Whether every operation is compiled for every new shape, even in eager mode.
    compiled_modes
        Modes whose calls are compiled, each with its compiler.
    setting_modes
        Modes under another setting of the library, each with the dtypes that exist under it.
    """

    name: str
    devices: tuple[str, ...] = ("cpu",)
    strided: bool = False
    compiles_per_shape: bool = False
    compiled_modes: Mapping[str, str] = MappingProxyType({})
    setting_modes: Mapping[str, frozenset[Dtype]] = MappingProxyType({})

    @abstractmethod
    def load(self) -> Modules:
        """Import the library; the caller handles whatever the import raises."""

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why a device is not available, or None if it is."""
        del modules
        message = f"unknown device {device!r} for {self.name}; known: {', '.join(self.devices)}"
        return None if device in self.devices else message

    def mode_context(self, modules: Modules, mode: str) -> AbstractContextManager[Any]:
        """Return a context in which a mode of ``setting_modes`` is active; for other modes it changes nothing."""
        del modules, mode
        return nullcontext()

    def clear_cache(self, modules: Modules) -> None:
        """Discard compiled functions if keeping them slows down the next compilation."""
        del modules

    @abstractmethod
    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the numerical profile declared for that column."""

    @abstractmethod
    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand as a tensor with the same bits."""

    @abstractmethod
    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as a tensor of the same dtype, integers included."""

    @abstractmethod
    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor on the same device with ``rows`` rows of the number ``fill`` before its own."""

    def fits_large_tensors(self, device: str) -> bool:
        """Whether tensors of more than 2^31 elements are tested on a device."""
        return device == "cuda"

    def large_tensor(self, modules: Modules, operand: Operand, device: str) -> Any:
        """Return an operand as the last rows of a tensor of more than 2^31 elements.

        In all rows before it p = 1, in the operand's own space.
        """
        tail = self.tensor(modules, operand, device, "contiguous")
        return self.prepend_rows(modules, tail, LARGE // operand.values[0].size + 1, ones(operand.space))

    def overwrite(self, modules: Modules, tensor: Any, other: Any) -> None:
        """Write the values of another tensor into the memory of this one.

        Raises
        ------
        NotImplementedError
            The library's tensors cannot be written to.
        """
        raise NotImplementedError(f"tensors of {self.name} cannot be written to")

    @abstractmethod
    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return a result as float64 values, with its dtype."""

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return the library's process-wide settings, by name."""
        return {}

    def random_sources(self, modules: Modules) -> Mapping[str, RandomSource]:
        """Return the library's global random generators, by name."""
        return {}

    @abstractmethod
    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Return the library's own log_softmax over the last axis."""

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Return −Σ p·log softmax(x) for every row, by the library's own function.

        Raises
        ------
        NotImplementedError
            The library has no cross-entropy of its own.
        """
        raise NotImplementedError(f"{self.name} has no cross-entropy with probabilities as targets")

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Return −Σ p·log p for every row of the target, by the library's own function."""
        raise NotImplementedError(f"{self.name} has no entropy")

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Return p·log(p/q) for every class of two tensors of probabilities, by the library's own function."""
        raise NotImplementedError(f"{self.name} has no relative entropy of probabilities")


def ones(space: Space) -> float:
    """Return p = 1 in a space."""
    return 1.0 if space is Space.PROBABILITY else 0.0
