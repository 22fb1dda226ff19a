"""A kernel on trial: wrong, and proven so by a witness of its own, or right."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from kl_conformance import registry
from kl_conformance.implementation import Implementation
from kl_conformance.kernel import adapted
from kl_reference.convention import Side

KlDiv = Callable[..., Any]
"""A function with the signature of what the kernel is like, such as
``kl_div(input, target, size_average=None, reduce=None, reduction="mean", log_target=False)``."""


class Kind(Enum):
    """What sort of fault it is."""

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
    """What a wrong kernel gave for its witness, what is right by the definition, and in which words it differs.

    ``got`` and ``right`` are plain numbers, or ``"raised"`` and ``"accepted"`` where an error is the question.
    """

    got: float | str
    right: float | str


@dataclass(frozen=True, slots=True)
class Wrong:
    """A wrong kernel.

    Parameters
    ----------
    name
        A slug of its own.
    kind
        The sort of fault.
    sentence
        The mistake in the words of its author's reviewer.
    make
        Makes the kernel, in a state nobody has used; imports its framework itself.
    prove
        ``prove(kernel)`` shows without any part of the suite that it is wrong.
    like
        Name of the implementation it promises to follow.
    """

    name: str
    kind: Kind
    sentence: str
    make: Callable[[], KlDiv]
    prove: Callable[[KlDiv], Proof]
    like: str = "torch.nn.functional.kl_div"


@dataclass(frozen=True, slots=True)
class Right:
    """A right kernel in a style of its own, which nothing may accuse.

    Parameters
    ----------
    name, sentence, make, like
        As a wrong kernel has them; the sentence is about its style.
    gradients
        Sides by which it says it can be differentiated.
    """

    name: str
    sentence: str
    make: Callable[[], KlDiv]
    like: str = "torch.nn.functional.kl_div"
    gradients: frozenset[Side] = frozenset(Side)


def implementation(kernel: Wrong | Right) -> Implementation:
    """Return a kernel as ``verify`` would ask it: with the Convention of what it is like."""
    like = registry.implementation(kernel.like)
    sides = kernel.gradients if isinstance(kernel, Right) else frozenset(Side)
    return replace(adapted(kernel.make(), like, kernel.name), gradients=like.gradients & sides)
