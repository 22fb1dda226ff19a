"""User kernels for `kl-conformance run defective_kernels.py:DEFECTIVE`: defective ones, and CORRECT."""

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
    """Return the terms, reduced; "batchmean" divides by ``rows(found)``."""
    match reduction:
        case "none":
            return found
        case "sum":
            return np.asarray(found.sum(), found.dtype)
        case "batchmean" | None:
            return np.asarray(found.sum() / rows(found), found.dtype)
        case _:
            raise ValueError(f"unknown reduction {reduction!r}; known: none, sum, batchmean")


def defective(modules: Any, call: Call) -> Array:
    """Return the divergence; "batchmean" divides by the number of classes."""
    del modules
    return reduced(terms(call.target, call.model), call.reduction, lambda found: found.shape[-1] if found.shape else 1)


def correct(modules: Any, call: Call) -> Array:
    """Return the divergence; "batchmean" divides by the number of rows."""
    del modules
    return reduced(terms(call.target, call.model), call.reduction, lambda found: found.shape[0] if found.shape else 1)


def crashing(modules: Any, call: Call) -> Array:
    """Kill the process after 100 calls, which are as many as a few cells make."""
    if next(_CALLS) > 100:
        os.kill(os.getpid(), signal.SIGKILL)
    return correct(modules, call)


def slow(modules: Any, call: Call) -> Array:
    """Take an hour for each call after the first 100."""
    if next(_CALLS) > 100:
        time.sleep(3600)
    return correct(modules, call)


class UncatchableError(BaseException):
    """An error that ``except Exception`` does not catch."""


def uncatchable(modules: Any, call: Call) -> Array:
    """Raise it."""
    raise UncatchableError("not caught")


def declared(name: str, call: Callable[[Any, Call], Array]) -> Implementation:
    """Return the declaration of such a kernel."""
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


DEFECTIVE = declared("defective_kl", defective)
CORRECT = declared("correct_kl", correct)
CRASHING = declared("crashing_kl", crashing)
SLOW = declared("slow_kl", slow)
UNCATCHABLE = declared("uncatchable_kl", uncatchable)
