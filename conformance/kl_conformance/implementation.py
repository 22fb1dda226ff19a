"""Who is asked: a callable, what it says it computes, and what it can do."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from kl_conformance.surroundings import Source
from kl_conformance.transform import Transform, Transformer
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile
from kl_reference.problem import Operand

ALL_DTYPES = tuple(Dtype)
LARGE = 2**31  # elements: the last index a signed 32-bit number can hold is one less


class AbsentError(Exception):
    """What would be asked needs something this machine has not; the message says what."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call as an implementation receives it.

    ``target`` and ``model`` are tensors of the framework; ``reduction`` is the implementation's own name for
    the reduction and ``axis`` the class axis, each None where the default is to stand. ``weights`` (one a row)
    and ``mask`` (1 for the elements to include, else 0) are tensors where rows or elements are to be weighed;
    ``options`` are further arguments by the implementation's own names, ``order`` that of the two tensors.
    """

    target: Any
    model: Any
    target_space: Space
    model_space: Space
    reduction: str | None
    axis: int | None
    dtype: Dtype
    weights: Any = None
    mask: Any = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    order: tuple[Side, Side] = (Side.MODEL, Side.TARGET)

    @property
    def arguments(self) -> tuple[Any, Any]:
        """The two tensors in the order the Convention declares: what declares it wrongly asks in a wrong one."""
        first, second = (self.target if side is Side.TARGET else self.model for side in self.order)
        return first, second

    @property
    def log_target(self) -> bool:
        """Whether the target is handed over as log-probabilities."""
        return self.target_space is Space.LOG

    @property
    def keywords(self) -> dict[str, Any]:
        """``reduction=…`` and ``axis=…`` where they are asked for, and the options."""
        asked = {"reduction": self.reduction, "axis": self.axis}
        return {name: value for name, value in asked.items() if value is not None} | dict(self.options)


@dataclass(frozen=True, slots=True)
class Spelling:
    """An old way of asking for a reduction: the arguments, and what they are documented to mean."""

    options: Mapping[str, Any]
    reduction: Reduction


@dataclass(frozen=True, slots=True)
class Weighting:
    """A reduction that takes one weight a row.

    Parameters
    ----------
    reduction
        The implementation's own name for it.
    kind
        What it is when every weight is 1.
    by_weights
        Whether a mean divides by the sum of the weights rather than by the number of rows.
    versions
        Versions that offer it (PEP 440); all where empty.
    """

    reduction: str
    kind: Reduction
    by_weights: bool = False
    versions: str = ""


class Mixing(Enum):
    """The dtype documented for the answer to operands of two dtypes."""

    WIDER = "the wider of the two"
    TOLD = "the one it is told"


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
    needs
        Modules it needs beside its framework's own, such as ``optax``; without them its cells alone are MISSING.
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
    like
        Name of a known implementation it promises to follow: what that one is recorded to do wrong is
        permitted here, never required.
    legacy
        Old ways of asking for a reduction, documented as deprecated.
    weightings
        Reductions that take :attr:`Call.weights`.
    masks
        Versions that take a :attr:`Call.mask` (PEP 440, such as ``">=0.2.4"``); none where empty.
    used_at
        Rows and classes of the size it is used at, to be asked as well; None where none is named.
    mistakes
        Calls people make that give no divergence, by name: ``mistake(modules, call)`` must raise.
    mixing
        The dtype documented for the answer to operands of two dtypes; None where nothing is.
    transforms
        What it promises can be done with a call beside making it, as far as its framework can.
    refuses
        Of these, what it may also refuse by raising: then it has no such answer, and none that is wrong.
    own
        Transforms it brings itself where its framework has none: ``own(modules, call, …)``, followed by the side
        and the direction, or the upstream gradient, where :class:`Transformer` takes them.
    lacks
        Transforms of its framework that are not promised for it, and why.
    profile
        The arithmetic it declares in a dtype, where that is not its framework's own: ``Profile.fused`` for one
        kernel that computes in float32 whatever it reads, ``Profile.fast`` for one with fast-math.
    """

    name: str
    framework: str
    package: str
    convention: Convention
    call: Callable[[Any, Call], Any]
    needs: tuple[str, ...] = ()
    documentation: str = ""
    dtypes: tuple[Dtype, ...] = ALL_DTYPES
    gradients: frozenset[Side] = frozenset({Side.TARGET, Side.MODEL})
    gradient: Callable[[Any, Call, Side, Any], Any] | None = None
    broadcasts: bool = True
    compares_distributions: bool = True
    needs_distributions: bool = False
    like: str = ""
    legacy: tuple[Spelling, ...] = ()
    weightings: tuple[Weighting, ...] = ()
    masks: str = ""
    used_at: tuple[int, int] | None = None
    mistakes: Mapping[str, Callable[[Any, Call], Any]] = field(
        default_factory=dict[str, Callable[[Any, Call], Any]]
    )
    mixing: Mixing | None = None
    transforms: frozenset[Transform] = frozenset({Transform.TOGETHER, Transform.LATER})
    refuses: frozenset[Transform] = frozenset()
    own: Mapping[Transform, Callable[..., Any]] = field(default_factory=dict[Transform, Callable[..., Any]])
    lacks: Mapping[Transform, str] = field(default_factory=dict[Transform, str])
    profile: Callable[[Dtype], Profile] | None = None


@cache
def covers(versions: SpecifierSet, version: str) -> bool:
    """Whether a version is among these; a build before the release counts as the release.

    Nightly builds are such, and Debian's torch 1.13, which calls itself 1.13.0a0.
    """
    with suppress(InvalidVersion):  # a package that is absent has no version
        version = Version(version).base_version
    return versions.contains(version, prereleases=True)


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

    def bring(self, name: str, package: str = "") -> Any:
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
            self._absent[name] = unimportable(name, error, f"pip install {package or top}")
            raise AbsentError(self._absent[name]) from error
        self.by_name[top] = sys.modules[top]
        return self.by_name[top]


def unimportable(name: str, error: BaseException, install: str) -> str:
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
    compiles: bool = False  # whether every operation compiles anew for every new shape, even when eager
    compiled_modes: Mapping[str, str] = MappingProxyType(
        {}
    )  # columns whose calls are compiled, and by which compiler
    set_modes: Mapping[str, frozenset[Dtype]] = MappingProxyType(
        {}
    )  # columns asked under another setting of the library's, and the dtypes there are under it

    @abstractmethod
    def load(self) -> Modules:
        """Import the library; whatever its import raises is the caller's to explain."""

    def absent(self, modules: Modules, device: str) -> str | None:
        """Return why a device cannot be asked here, or None where it can."""
        del modules
        return None if device in self.devices else f"{self.name} columns know no device {device!r}"

    def under(self, modules: Modules, mode: str) -> AbstractContextManager[Any]:
        """Return a region in which the library is set as a mode of ``set_modes`` says; as ever in the others."""
        del modules, mode
        return nullcontext()

    @abstractmethod
    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the numerical profile declared for that column."""

    @abstractmethod
    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over, bit for bit."""

    @abstractmethod
    def raw(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand over a NumPy array in its own dtype, integers included."""

    @abstractmethod
    def led(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor behind so many rows of one number, all made on the tensor's own device."""

    def roomy(self, device: str) -> bool:
        """Whether a device's memory is asked for tensors of more than 2^31 elements."""
        return device == "cuda"

    def large(self, modules: Modules, operand: Operand, device: str) -> Any:
        """Hand an operand over as the last rows of a tensor of more than 2^31 elements.

        All rows before it say p = 1, in the operand's own space.
        """
        tail = self.tensor(modules, operand, device, "contiguous")
        return self.led(modules, tail, LARGE // operand.values[0].size + 1, ones(operand.space))

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

    def sources(self, modules: Modules) -> Mapping[str, Source]:
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
