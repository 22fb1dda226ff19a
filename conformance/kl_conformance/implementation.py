"""Who is asked: a callable, what it says it computes, and what it can do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile

ALL_DTYPES = tuple(Dtype)


class AbsentError(Exception):
    """What would be asked needs something this machine has not; the message says what."""


class MisgivenError(TypeError):
    """What was given is no tensor; the message says what it is, and what is due."""


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
    REQUESTED = "the one it is told"


@dataclass(frozen=True, slots=True)
class Implementation:
    """A callable under test, its Convention and its capabilities.

    Parameters
    ----------
    name
        What people call it, such as ``torch.nn.functional.kl_div``.
    framework
        Name of the :class:`~kl_conformance.framework.Framework` whose tensors it takes.
    package
        Distribution whose version the column bears.
    requires
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
    typical_shape
        Rows and classes of the size it is used at, to be asked as well; None where none is named.
    mistakes
        Calls people make that give no divergence, by name: ``mistake(modules, call)`` must raise.
    mixing
        The dtype documented for the answer to operands of two dtypes; None where nothing is.
    transforms
        What it promises can be done with a call beside making it, as far as its framework can.
    may_refuse
        Of these, what it may also refuse by raising: then it has no such answer, and none that is wrong.
    custom_transforms
        Transforms it brings itself where its framework has none: ``own(modules, call, …)``, followed by the side
        and the direction, or the upstream gradient, where :class:`Transformer` takes them.
    unsupported_transforms
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
    requires: tuple[str, ...] = ()
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
    typical_shape: tuple[int, int] | None = None
    mistakes: Mapping[str, Callable[[Any, Call], Any]] = field(
        default_factory=dict[str, Callable[[Any, Call], Any]]
    )
    mixing: Mixing | None = None
    transforms: frozenset[Transform] = frozenset({Transform.JOINT, Transform.DEFERRED})
    may_refuse: frozenset[Transform] = frozenset()
    custom_transforms: Mapping[Transform, Callable[..., Any]] = field(
        default_factory=dict[Transform, Callable[..., Any]]
    )
    unsupported_transforms: Mapping[Transform, str] = field(default_factory=dict[Transform, str])
    profile: Callable[[Dtype], Profile] | None = None
