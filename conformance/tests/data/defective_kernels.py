"""User kernels for `kl-conformance run broken_kernels.py:BROKEN`: defective ones, and RIGHT, the correct one."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations.implementation import Implementation
from kl_reference import Convention, Reduction, Space
from kl_reference.dtype import Dtype

Array = NDArray[Any]
_CALLS = itertools.count()


def terms(target: Array, log_model: Array) -> Array:
    """Return p·(log p − log q), 0 where p = 0."""
    target, log_model = np.asarray(target), np.asarray(log_model)
    if target.shape[-1:] != log_model.shape[-1:]:
        raise ValueError(f"{target.shape} against {log_model.shape}")
    with np.errstate(all="ignore"):
        found = target * (np.log(target) - log_model)
    return np.asarray(np.where((target == 0) & ~np.isnan(log_model), np.zeros_like(found), found))


def reduced(found: Array, reduction: str | None, rows: Callable[[Array], int]) -> Array:
    """Return the terms reduced; ``rows`` says what "batchmean" divides by."""
    match reduction:
        case "none":
            return found
        case "sum":
            return np.asarray(found.sum(), found.dtype)
        case "batchmean" | None:
            return np.asarray(found.sum() / rows(found), found.dtype)
        case _:
            raise ValueError(f"unknown reduction {reduction!r}; known: none, sum, batchmean")


def broken(modules: Any, call: Call) -> Array:
    """Answer a call, dividing "batchmean" by the number of classes."""
    del modules
    return reduced(
        terms(call.target, call.model), call.reduction, lambda found: found.shape[-1] if found.shape else 1
    )


def right(modules: Any, call: Call) -> Array:
    """Answer a call, dividing "batchmean" by the number of rows."""
    del modules
    return reduced(
        terms(call.target, call.model), call.reduction, lambda found: found.shape[0] if found.shape else 1
    )


def dying(modules: Any, call: Call) -> Array:
    """Answer as many calls as a process usually gets in a few cells, then end it without a word."""
    if next(_CALLS) > 100:
        os.kill(os.getpid(), signal.SIGKILL)
    return right(modules, call)


def slow(modules: Any, call: Call) -> Array:
    """Answer a first few calls, and from then on none within anybody's patience."""
    if next(_CALLS) > 100:
        time.sleep(3600)
    return right(modules, call)


class RudeError(BaseException):
    """Nothing that is meant to be caught."""


def rude(modules: Any, call: Call) -> Array:
    """Raise what passes through everybody who catches errors."""
    raise RudeError("get out")


def declared(name: str, call: Callable[[Any, Call], Array]) -> Implementation:
    """Declare what such a kernel computes."""
    return Implementation(
        name=name,
        framework="numpy",
        package="numpy",
        convention=Convention(
            target=(Space.PROBABILITY,),
            model=(Space.LOG,),
            reductions={"none": Reduction.TERMS, "sum": Reduction.SUM, "batchmean": Reduction.BATCHMEAN},
            default="batchmean",
        ),
        call=call,
        dtypes=(Dtype.FLOAT64, Dtype.FLOAT32),
        gradients=frozenset(),
    )


BROKEN = declared("broken_kl", broken)
RIGHT = declared("right_kl", right)
DYING = declared("dying_kl", dying)
SLOW = declared("slow_kl", slow)
RUDE = declared("rude_kl", rude)
