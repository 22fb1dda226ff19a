"""An array library: how numbers get in and out of it, and what it is known to do to them."""

from __future__ import annotations

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

from kl_conformance.implementation import AbsentError, Call
from kl_conformance.surroundings import RandomSource
from kl_conformance.transform import Transformer
from kl_reference.convention import Space
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile
from kl_reference.problem import Operand

LARGE = 2**31  # elements: the last index a signed 32-bit number can hold is one less


@dataclass(frozen=True, slots=True)
class Output:
    """What came back: values as float64 (exact for every dtype asked) and the dtype they came in."""

    values: NDArray[np.float64]
    dtype: str


@dataclass(slots=True)
class Modules:
    """The imported modules of a framework, as attributes."""

    by_name: dict[str, Any] = field(default_factory=dict[str, Any])
    _absent: dict[str, str] = field(default_factory=dict[str, str])

    def __getattr__(self, name: str) -> Any:
        try:
            return self.by_name[name]
        except KeyError:
            raise AttributeError(name) from None

    def require(self, name: str, package: str = "") -> Any:
        """Return a package beside the framework's own, an attribute from now on; it is tried once.

        Parameters
        ----------
        name
            The module to import; of ``a.b`` the attribute is ``a``.
        package
            The distribution it comes with, where that has another name.

        Raises
        ------
        AbsentError
            It cannot be imported; the message says why, and what to do.
        """
        if name in self._absent:
            raise AbsentError(self._absent[name])
        top = name.partition(".")[0]
        try:
            import_module(name)
        except (
            Exception,
            SystemExit,
        ) as error:  # an import may fail in any way; the reason goes into the verdict
            self._absent[name] = import_failure(name, error, f"pip install {package or top}")
            raise AbsentError(self._absent[name]) from error
        self.by_name[top] = sys.modules[top]
        return self.by_name[top]


def import_failure(name: str, error: BaseException, install: str) -> str:
    """Return why a module cannot be imported, and the command that may help."""
    if isinstance(error, ModuleNotFoundError):
        what = "is not installed" if error.name in {name, name.partition(".")[0]} else "fails to import"
        return f"{name} {what} ({error.msg}); install it with {install}"
    said = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{name} fails to import ({said}); see that `import {name}` works, or install it with {install}"


class Framework(Transformer, ABC):
    """One array library: how numbers get in and out of it, and what it is known to do to them.

    The library itself is imported by :meth:`load` and nowhere else.
    """

    name: str
    devices: tuple[str, ...] = ("cpu",)
    strided: bool = False  # whether a tensor can lie in memory otherwise than row after row
    compiles_per_shape: bool = (
        False  # whether every operation compiles anew for every new shape, even when eager
    )
    compiled_modes: Mapping[str, str] = MappingProxyType(
        {}
    )  # columns whose calls are compiled, and by which compiler
    setting_modes: Mapping[str, frozenset[Dtype]] = MappingProxyType(
        {}
    )  # columns asked under another setting of the library's, and the dtypes there are under it

    @abstractmethod
    def load(self) -> Modules:
        """Import the library; whatever its import raises is the caller's to explain."""

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why a device cannot be asked here, or None where it can."""
        del modules
        return None if device in self.devices else f"{self.name} columns know no device {device!r}"

    def mode_context(self, modules: Modules, mode: str) -> AbstractContextManager[Any]:
        """Return a region in which the library is set as a mode of ``setting_modes`` says; as ever in the others."""
        del modules, mode
        return nullcontext()

    def clear_cache(self, modules: Modules) -> None:
        """Let go of what was compiled, where keeping it makes the next compilation slower."""
        del modules

    @abstractmethod
    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the numerical profile declared for that column."""

    @abstractmethod
    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over, bit for bit."""

    @abstractmethod
    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand over a NumPy array in its own dtype, integers included."""

    @abstractmethod
    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor behind so many rows of one number, all made on the tensor's own device."""

    def fits_large_tensors(self, device: str) -> bool:
        """Whether a device's memory is asked for tensors of more than 2^31 elements."""
        return device == "cuda"

    def large_tensor(self, modules: Modules, operand: Operand, device: str) -> Any:
        """Hand an operand over as the last rows of a tensor of more than 2^31 elements.

        All rows before it say p = 1, in the operand's own space.
        """
        tail = self.tensor(modules, operand, device, "contiguous")
        return self.prepend_rows(modules, tail, LARGE // operand.values[0].size + 1, ones(operand.space))

    def overwrite(self, modules: Modules, tensor: Any, other: Any) -> None:
        """Write the numbers of another tensor into this one's own memory.

        Raises
        ------
        NotImplementedError
            The library's tensors cannot be written to.
        """
        raise NotImplementedError(f"tensors of {self.name} cannot be written to")

    @abstractmethod
    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take an answer back, bit for bit."""

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return what the library keeps for the whole process, by name."""
        return {}

    def random_sources(self, modules: Modules) -> Mapping[str, RandomSource]:
        """Return the random generators the library shares among everybody, by name."""
        return {}

    @abstractmethod
    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Return the library's own log_softmax over the last axis."""

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Return −Σ p·log softmax(x) for every row by the library's own function.

        Raises
        ------
        NotImplementedError
            The library has no cross-entropy of its own.
        """
        raise NotImplementedError(f"{self.name} has no cross-entropy with probabilities as targets")

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Return −Σ p·log p for every row of the target by the library's own function."""
        raise NotImplementedError(f"{self.name} has no entropy")

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Return p·log(p/q) for every class of two tensors of probabilities by the library's own function."""
        raise NotImplementedError(f"{self.name} has no relative entropy of probabilities")


def ones(space: Space) -> float:
    """Return the number that says p = 1."""
    return 1.0 if space is Space.PROBABILITY else 0.0
