"""Implementation: a callable under test, its Convention and its capabilities."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform, Transformed
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.tolerance import Profile

ALL_DTYPES = tuple(Dtype)

Mistake = Callable[[Any, Call], Any]


@dataclass(frozen=True, slots=True)
class Spelling:
    """A deprecated spelling of a reduction: the arguments, and the reduction they are documented to select."""

    options: Mapping[str, Any]
    reduction: Reduction


@dataclass(frozen=True, slots=True)
class Weighting:
    """A reduction that takes one weight per row.

    Parameters
    ----------
    reduction
        The implementation's own name for it.
    kind
        The reduction it computes when every weight is 1.
    by_weights
        Whether a mean divides by the sum of the weights rather than by the number of rows.
    versions
        Versions that offer it (PEP 440); empty for all.
    """

    reduction: str
    kind: Reduction
    by_weights: bool = False
    versions: str = ""


class Mixing(Enum):
    """The documented dtype of the result when the operands have two dtypes."""

    WIDER = "the wider of the two"
    REQUESTED = "the one requested"


@dataclass(frozen=True, slots=True)
class Implementation:
    """A callable under test, its Convention and its capabilities.

    Parameters
    ----------
    name
        Its public name, such as ``torch.nn.functional.kl_div``.
    framework
        Name of the :class:`~kl_conformance.frameworks.framework.Framework` whose tensors it takes.
    package
        Distribution whose version its columns show.
    requires
        Modules it imports in addition to its framework, such as ``optax``; if one is not installed, only the cells of
        this implementation are MISSING.
    convention
        The function it is documented to compute.
    call
        ``call(modules, call)`` returns the framework's tensor; ``modules`` has the framework's imported modules
        as attributes (``modules.torch``), so that a declaration can be read without importing any framework.
    documentation
        URL of the page that documents the Convention.
    dtypes
        Supported dtypes.
    gradients
        Sides with respect to which it is differentiable.
    gradient
        For a framework without automatic differentiation: ``gradient(modules, call, side, upstream)``.
    broadcasts
        Whether operands of different shapes are documented to broadcast.
    compares_distributions
        Whether the documentation calls the arguments distributions, so that different numbers of classes are an
        error and are not broadcast.
    needs_distributions
        Whether the documentation requires that P sums to 1; the result for other measures is then unspecified.
    like
        Name of the built-in implementation it follows: the known deviations of that one are permitted here, and not
        required.
    legacy
        Deprecated spellings of reductions.
    weightings
        Reductions that take :attr:`Call.weights`.
    masks
        Versions that take a :attr:`Call.mask` (PEP 440, such as ``">=0.2.4"``); empty for none.
    typical_shape
        Rows and classes of the size used in production, which is tested as well; None to test no such size.
    mistakes
        Common calls that compute no divergence, by name: ``mistake(modules, call)`` must raise.
    mixing
        The documented dtype of the result when the operands have two dtypes; None where it is not documented.
    transforms
        The transforms it supports, as far as its framework supports them.
    may_refuse
        Transforms of these that it may refuse by raising; a refusal is not a failure.
    custom_transforms
        Transforms it implements itself where its framework has none: ``transform(modules, call, …)``, followed by the
        side and the direction, or the upstream gradient, where :class:`Transformer` takes them.
    unsupported_transforms
        Transforms of its framework that it does not support, each with the reason.
    profile
        The arithmetic it declares in a dtype, where it differs from its framework's: ``Profile.fused`` for one
        kernel that computes in float32 whatever it reads, ``Profile.fast`` for one compiled with fast-math.
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
    mistakes: Mapping[str, Mistake] = field(default_factory=dict[str, Mistake])
    mixing: Mixing | None = None
    transforms: frozenset[Transform] = frozenset({Transform.JOINT, Transform.DEFERRED})
    may_refuse: frozenset[Transform] = frozenset()
    custom_transforms: Mapping[Transform, Transformed] = field(default_factory=dict[Transform, Transformed])
    unsupported_transforms: Mapping[Transform, str] = field(default_factory=dict[Transform, str])
    profile: Callable[[Dtype], Profile] | None = None


# Conventions that several libraries share.

KL_DIV = Convention(
    target=(Space.PROBABILITY, Space.LOG),
    model=(Space.LOG,),
    reductions={
        "none": Reduction.TERMS,
        "sum": Reduction.SUM,
        "mean": Reduction.MEAN,
        "batchmean": Reduction.BATCHMEAN,
    },
    default="mean",
)

CROSS_ENTROPY = Convention(
    formula=Formula.CROSS_ENTROPY,
    target=(Space.PROBABILITY,),
    model=(Space.LOGITS,),
    reductions={"none": Reduction.ROWS, "sum": Reduction.SUM, "mean": Reduction.ROWMEAN},
    default="mean",
    axis=1,
)


def pointwise(formula: Formula) -> Convention:
    """Return the Convention of an elementwise function of p and q, such as ``scipy.special.rel_entr``."""
    return Convention(formula=formula, model=(Space.PROBABILITY,), order=(Side.TARGET, Side.MODEL))


def of_rows(space: Space, *, normalise: bool = False) -> Convention:
    """Return the Convention of a divergence of P and Q, in that order and space, summed over the last axis."""
    return Convention(
        target=(space,),
        model=(space,),
        reductions={"none": Reduction.ROWS},
        axis=-1,
        order=(Side.TARGET, Side.MODEL),
        normalise=normalise,
    )
