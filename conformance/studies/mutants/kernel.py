"""Kernels of the study: mutants, each with a proof that it is wrong, and correct kernels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from kl_conformance.implementations import loading
from kl_conformance.implementations.adapter import adapted
from kl_conformance.implementations.implementation import Implementation
from kl_reference.convention import Side

KlDiv = Callable[..., Any]
"""A function with the signature of the implementation that it follows, such as
``kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False)``."""


class FaultKind(Enum):
    """Kind of fault of a mutant."""

    VALUE = "value"
    SPECIAL = "special value"
    REDUCTION = "reduction"
    LOG_TARGET = "log-target"
    PRECISION = "precision"
    LAYOUT = "layout"
    GRADIENT = "gradient"
    STATE = "state"
    EXPLOIT = "exploit"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Proof:
    """What a mutant returned for its witness, and what is correct by the definition.

    ``got`` and ``expected`` are numbers, or ``"raised"`` and ``"accepted"`` where an error is expected.
    """

    got: float | str
    expected: float | str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong kernel with one fault.

    Parameters
    ----------
    kind
        The kind of fault.
    sentence
        The mistake, as a reviewer of its code would describe it.
    make
        Builds the kernel with fresh state; imports its framework.
    prove
        ``prove(kernel)`` proves that the kernel is wrong, without any part of the suite.
    like
        Name of the implementation that it follows.
    name
        A unique slug: its key in the table of its module, set by the catalogue.
    """

    kind: FaultKind
    sentence: str
    make: Callable[[], KlDiv]
    prove: Callable[[KlDiv], Proof]
    like: str = "torch.nn.functional.kl_div"
    name: str = ""


@dataclass(frozen=True, slots=True)
class CorrectKernel:
    """A correct kernel, which no requirement may reject; each is written in another style.

    Parameters
    ----------
    name, sentence, make, like
        As in :class:`Mutant`; the sentence describes its style.
    gradients
        Sides by which it declares gradients.
    """

    name: str
    sentence: str
    make: Callable[[], KlDiv]
    like: str = "torch.nn.functional.kl_div"
    gradients: frozenset[Side] = frozenset(Side)


def implementation(kernel: Mutant | CorrectKernel) -> Implementation:
    """Return a kernel as ``verify`` tests it: with the Convention of the implementation that it follows."""
    like = loading.implementation(kernel.like)
    sides = kernel.gradients if isinstance(kernel, CorrectKernel) else frozenset(Side)
    return replace(adapted(kernel.make(), like, kernel.name), gradients=like.gradients & sides)
