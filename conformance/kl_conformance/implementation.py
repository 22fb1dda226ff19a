"""Who is asked: a callable, what it says it computes, and what it can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference.convention import Convention, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile
from kl_reference.problem import Operand

ALL_DTYPES = tuple(Dtype)


@dataclass(frozen=True, slots=True)
class Call:
    """One call as an implementation receives it.

    ``target`` and ``model`` are tensors of the framework; ``reduction`` is the implementation's own name for
    the reduction and ``axis`` the class axis, each None where the default is to stand.
    """

    target: Any
    model: Any
    target_space: Space
    model_space: Space
    reduction: str | None
    axis: int | None
    dtype: Dtype

    @property
    def log_target(self) -> bool:
        """Whether the target is handed over as log-probabilities."""
        return self.target_space is Space.LOG

    @property
    def keywords(self) -> dict[str, Any]:
        """``reduction=…`` and ``axis=…`` where they are asked for."""
        asked = {"reduction": self.reduction, "axis": self.axis}
        return {name: value for name, value in asked.items() if value is not None}


@dataclass(frozen=True, slots=True)
class Implementation:
    """A callable under test, its Convention and its capabilities.

    Parameters
    ----------
    name
        What people call it, such as ``torch.nn.functional.kl_div``.
    framework
        Name of the :class:`Framework` whose tensors it takes.
    package
        Distribution whose version the column bears.
    convention
        What it says it computes.
    call
        ``call(modules, call)`` returns the framework's tensor; ``modules`` has the framework's imported modules
        as attributes (``modules.torch``), so that a declaration can be read without importing any framework.
    documentation
        Address of the page that promises the Convention.
    dtypes
        Formats it takes.
    gradients
        Sides it can be differentiated by.
    gradient
        For a framework that cannot differentiate: ``gradient(modules, call, side, upstream)``.
    broadcasts
        Whether operands of different shape are promised to broadcast.
    compares_distributions
        Whether its documentation names the arguments distributions, so that another number of classes is an
        error rather than something to broadcast.
    needs_distributions
        Whether its documentation demands that P sums to 1: nothing is promised for measures then.
    """

    name: str
    framework: str
    package: str
    convention: Convention
    call: Callable[[Any, Call], Any]
    documentation: str = ""
    dtypes: tuple[Dtype, ...] = ALL_DTYPES
    gradients: frozenset[Side] = frozenset({Side.TARGET, Side.MODEL})
    gradient: Callable[[Any, Call, Side, Any], Any] | None = None
    broadcasts: bool = True
    compares_distributions: bool = True
    needs_distributions: bool = False


@dataclass(frozen=True, slots=True)
class Output:
    """What came back: values as float64 (exact for every dtype asked) and the dtype they came in."""

    values: NDArray[np.float64]
    dtype: str


@dataclass(slots=True)
class Modules:
    """The imported modules of a framework, as attributes."""

    by_name: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __getattr__(self, name: str) -> Any:
        try:
            return self.by_name[name]
        except KeyError:
            raise AttributeError(name) from None


class Framework(ABC):
    """One array library: how numbers get in and out of it, and what it is known to do to them.

    The library itself is imported by :meth:`load` and nowhere else.
    """

    name: str
    devices: tuple[str, ...] = ("cpu",)
    strided: bool = False  # whether a tensor can lie in memory otherwise than row after row
    compiles: bool = False  # whether every operation compiles anew for every new shape, even when eager

    @abstractmethod
    def load(self) -> Modules:
        """Import the library; whatever its import raises is the caller's to explain."""

    def absent(self, modules: Modules, device: str) -> str | None:
        """Return why a device cannot be asked here, or None where it can."""
        del modules
        return None if device in self.devices else f"{self.name} columns know no device {device!r}"

    def modes(self) -> tuple[str, ...]:
        """Return the ways of running a call that make columns of their own."""
        return ("eager",)

    @abstractmethod
    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the numerical profile declared for that column."""

    @abstractmethod
    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over, bit for bit."""

    @abstractmethod
    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take an answer back, bit for bit."""

    @abstractmethod
    def differentiate(
        self,
        modules: Modules,
        function: Callable[[Any], Any],
        tensor: Any,
        upstream: NDArray[np.float64] | None,
        dtype: Dtype,
    ) -> Any:
        """Return the gradient of ``sum(function(tensor)·upstream)`` with respect to the tensor."""

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
