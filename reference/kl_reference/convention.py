"""The convention of an implementation: formula, spaces, reductions and class axis."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum


class Formula(Enum):
    """The term summed over classes; P is the data (target), Q the model, log the natural logarithm."""

    PLAIN = "p·(log p − log q)"
    GENERALISED = "p·log(p/q) − p + q"
    CROSS_ENTROPY = "−p·log q"


class Space(Enum):
    """How an implementation receives a distribution: as p, as log p, or as logits x with p = softmax(x)."""

    PROBABILITY = "probability"
    LOG = "log-probability"
    LOGITS = "logits"


class Reduction(Enum):
    """How the terms are reduced; the value describes the divisor.

    ``TERMS`` keeps the broadcast shape, ``ROWS`` sums over the class axis, the others give one number.
    """

    TERMS = "every term kept"
    ROWS = "summed over classes, every row kept"
    SUM = "summed over everything"
    MEAN = "sum ÷ number of elements"
    BATCHMEAN = "sum ÷ size of axis 0 of the broadcast shape (0-D: not divided)"
    ROWMEAN = "sum ÷ number of rows"


class Side(Enum):
    """One of the two arguments of the divergence."""

    TARGET = "target"
    MODEL = "model"


@dataclass(frozen=True, slots=True)
class Convention:
    """What an implementation computes, as plain data.

    Parameters
    ----------
    formula
        The term.
    target, model
        The spaces in which P and Q are accepted.
    reductions
        The implementation's own names for the reductions it offers.
    default
        The name in ``reductions`` that applies when none is given.
    axis
        The class axis; None for an element-wise implementation without a class axis.
    order
        The order of the two positional arguments.
    clip
        Probabilities are clipped to this range before anything else is done.
    normalise
        Probabilities are divided by their sum over the class axis first.
    smoothing
        Label smoothing ε: a target of probabilities p enters the formula as (1 − ε)·p + ε ÷ classes.
    """

    formula: Formula = Formula.PLAIN
    target: tuple[Space, ...] = (Space.PROBABILITY,)
    model: tuple[Space, ...] = (Space.LOG,)
    reductions: Mapping[str, Reduction] = field(default_factory=lambda: {"none": Reduction.TERMS})
    default: str = "none"
    axis: int | None = None
    order: tuple[Side, Side] = (Side.MODEL, Side.TARGET)
    clip: tuple[float, float] | None = None
    normalise: bool = False
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Reject a default that is not one of the reductions."""
        if self.default not in self.reductions:
            known = ", ".join(self.reductions)
            raise ValueError(f"default reduction {self.default!r} is not offered; offered: {known}")

    def named(self, reduction: Reduction) -> str | None:
        """Return this implementation's own name for a reduction, or None if it does not offer the reduction."""
        return next((name for name, kind in self.reductions.items() if kind is reduction), None)
