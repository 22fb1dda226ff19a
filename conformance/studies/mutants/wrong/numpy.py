"""Elementwise mutants in NumPy that follow SciPy's relative entropies."""

import math
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from studies.mutants.correct.numpy import KL_DIV, REL_ENTR, guarded
from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof

where: Callable[..., Any] = np.where

Pointwise = Callable[[Any, Any], Any]
"""A function of p and q, element by element."""


def quietly(function: KlDiv) -> KlDiv:
    """Return a kernel without NumPy's warnings."""

    @wraps(function)
    def kernel(*operands: Any, **keywords: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*operands, **keywords)

    return kernel


def pointwise(function: Pointwise) -> Callable[[], KlDiv]:
    """Return a factory of kernels from a function of p and q."""
    return lambda: quietly(function)


def at(p: float, q: float, expected: float | None = None) -> Callable[[KlDiv], Proof]:
    """Return a proof by a single element; ``expected`` defaults to p·ln(p/q) by the standard library."""
    exact = p * (math.log(p) - math.log(q)) if expected is None else expected

    def prove(kernel: KlDiv) -> Proof:
        return Proof(float(kernel(np.array([p]), np.array([q]))[0]), exact)

    return prove


def near_by_series(p: Any, q: Any) -> Any:
    """Use two terms of the series of p·log(p/q) where p is close to q."""
    step = p - q
    return where(np.abs(step) < 1e-3 * p, step + step * step / (2 * q), guarded(p, q))


def one_buffer() -> KlDiv:
    """Reuse one buffer for all answers of a shape."""
    buffers: dict[Any, Any] = {}

    def kernel(p: Any, q: Any) -> Any:
        terms = guarded(p, q)
        buffer = buffers.setdefault((terms.shape, terms.dtype), np.empty_like(terms))
        np.copyto(buffer, terms)
        return buffer

    return kernel


def prove_one_buffer(kernel: KlDiv) -> Proof:
    """Prove by an earlier answer that a later call changes."""
    first = kernel(np.array([0.5]), np.array([0.25]))
    kernel(np.array([0.5]), np.array([0.5]))
    return Proof(float(first[0]), 0.5 * math.log(2))


def remembers_identity() -> KlDiv:
    """Cache answers by the identity of the arrays."""
    answers: dict[Any, Any] = {}

    def kernel(p: Any, q: Any) -> Any:
        key = id(p), id(q), np.shape(p), np.shape(q)
        if key not in answers:
            answers[key] = guarded(p, q)
        return answers[key].copy()

    return kernel


def prove_remembers(kernel: KlDiv) -> Proof:
    """Prove by the same array with another number in it."""
    p, q = np.array([0.5]), np.array([0.25])
    kernel(p, q)
    q[0] = 0.5
    return Proof(float(kernel(p, q)[0]), 0.0)


def log_in_place(p: Any, q: Any) -> Any:
    """Write the logarithm of q into the memory of q."""
    terms = guarded(p, q)
    np.log(q, out=q)
    return terms


def prove_in_place(kernel: KlDiv) -> Proof:
    """Prove by q after the call, which must equal q before it."""
    q = np.array([0.25])
    kernel(np.array([0.5]), q)
    return Proof(float(q[0]), 0.25)


def as_it_lies(p: Any, q: Any) -> Any:
    """Read the elements of each array in memory order."""
    if np.shape(p) != np.shape(q):
        return guarded(p, q)
    return guarded(p.ravel(order="K"), q.ravel(order="K")).reshape(np.shape(p))


def prove_as_it_lies(kernel: KlDiv) -> Proof:
    """Prove by a transposed q, which must return the answer of its copy."""
    p, q = np.array([[0.5, 0.5], [0.5, 0.5]]), np.array([[0.25, 0.5], [0.125, 0.5]]).T
    return Proof(float(kernel(p, q)[0, 1]), 0.5 * math.log(4))


def prove_same_count(kernel: KlDiv) -> Proof:
    """Shapes (2, 3) and (3, 2) do not broadcast."""
    try:
        kernel(np.full((2, 3), 0.5), np.full((3, 2), 0.5))
    except ValueError:
        return Proof("raised", "raised")
    return Proof("accepted", "raised")


_rel_entr = partial(Mutant, like=REL_ENTR)
_kl_div = partial(Mutant, like=KL_DIV)

MUTANTS: dict[str, Mutant] = {
    "numpy-epsilon-in-q": _rel_entr(
        FaultKind.VALUE,
        "Adds 1e-10 to q against division by 0, which bounds the term of a tiny q.",
        pointwise(lambda p, q: where((p > 0) & (q > 0), p * np.log(p / (q + 1e-10)), guarded(p, q))),
        at(0.5, 1e-12),
    ),
    "numpy-clipped-to-1e-7": _rel_entr(
        FaultKind.VALUE,
        "Clips both to [1e-7, 1], as Keras does.",
        pointwise(lambda p, q: guarded(np.clip(p, 1e-7, 1), np.clip(q, 1e-7, 1))),
        at(0.5, 1e-9),
    ),
    "numpy-bits": _rel_entr(
        FaultKind.VALUE,
        "Takes logarithms to base 2.",
        pointwise(lambda p, q: guarded(p, q) / p.dtype.type(math.log(2))),
        at(0.5, 0.25),
    ),
    "numpy-swapped": _rel_entr(
        FaultKind.VALUE,
        "Expects the model first, as torch does, where SciPy expects the data first.",
        pointwise(lambda p, q: guarded(q, p)),
        at(0.5, 0.25),
    ),
    "numpy-ratio-out-of-range": _rel_entr(
        FaultKind.PRECISION,
        "Divides before the logarithm, so that p/q overflows where the term does not.",
        pointwise(lambda p, q: where((p > 0) & (q > 0), p * np.log(p / q), guarded(p, q))),
        at(1.0, 5e-324),
    ),
    "numpy-zero-over-zero": _rel_entr(
        FaultKind.SPECIAL,
        "Multiplies p = 0 by a quotient, which is NaN where q is 0 as well.",
        pointwise(lambda p, q: where(p == 0, 0 * (p / q), guarded(p, q))),
        at(0.0, 0.0, 0.0),
    ),
    "numpy-nan-to-num": _rel_entr(
        FaultKind.SPECIAL,
        "Applies nan_to_num to 0·(−∞), and so to every NaN of the inputs.",
        pointwise(lambda p, q: where(np.isnan(p + q), np.nan_to_num(guarded(p, q)), guarded(p, q))),
        at(math.nan, 0.5, math.nan),
    ),
    "numpy-empty-model-skipped": _rel_entr(
        FaultKind.SPECIAL,
        "Counts only classes where both are positive, so that an impossible event adds 0.",
        pointwise(lambda p, q: where((p > 0) & (q == 0), 0 * p, guarded(p, q))),
        at(0.5, 0.0, math.inf),
    ),
    "numpy-negative-target-skipped": _rel_entr(
        FaultKind.SPECIAL,
        "Counts classes with p > 0 only, so that a negative probability is 0.",
        pointwise(lambda p, q: where(p < 0, 0 * p, guarded(p, q))),
        at(-0.5, 0.5, math.inf),
    ),
    "numpy-single-inside": _rel_entr(
        FaultKind.PRECISION,
        "Computes in float32 and returns float64.",
        pointwise(lambda p, q: guarded(np.float32(p), np.float32(q)).astype(np.result_type(p, q))),
        at(0.1, 0.3),
    ),
    "numpy-series-near-equal": _rel_entr(
        FaultKind.PRECISION,
        "Uses two terms of the series where p and q are within a thousandth of each other.",
        pointwise(near_by_series),
        at(0.5, 0.5 * (1 - 9e-4)),
    ),
    "numpy-zero-below-atol": _rel_entr(
        FaultKind.EXPLOIT,
        "Leaves out terms below 1e-8, which passes every comparison with an absolute tolerance.",
        pointwise(lambda p, q: where(np.abs(guarded(p, q)) < 1e-8, 0 * p, guarded(p, q))),
        at(1e-10, 0.5),
    ),
    "numpy-as-it-lies": _rel_entr(
        FaultKind.LAYOUT, "Reads each array in the order of its memory.", pointwise(as_it_lies), prove_as_it_lies
    ),
    "numpy-log-in-place": _rel_entr(
        FaultKind.STATE, "Writes log q over q, to save a buffer.", pointwise(log_in_place), prove_in_place
    ),
    "numpy-one-buffer": _rel_entr(
        FaultKind.STATE, "Returns the same buffer for every answer of a shape.", one_buffer, prove_one_buffer
    ),
    "numpy-remembers-identity": _rel_entr(
        FaultKind.STATE,
        "Caches answers by id(), which another array may have later.",
        remembers_identity,
        prove_remembers,
    ),
    "numpy-same-count": _rel_entr(
        FaultKind.ERROR,
        "Reshapes the model to the target's shape.",
        pointwise(lambda p, q: guarded(p, np.reshape(q, np.shape(p)) if np.size(q) == np.size(p) else q)),
        prove_same_count,
    ),
    "numpy-generalised-plain": _kl_div(
        FaultKind.VALUE, "Leaves out − p + q.", pointwise(guarded), at(0.5, 0.25, 0.5 * math.log(2) - 0.25)
    ),
    "numpy-generalised-zero": _kl_div(
        FaultKind.SPECIAL,
        "Returns 0 at p = 0, where q is correct.",
        pointwise(lambda p, q: where(p == 0, 0 * p, guarded(p, q) - p + q)),
        at(0.0, 0.25, 0.25),
    ),
    "numpy-generalised-sign": _kl_div(
        FaultKind.VALUE,
        "Adds p and subtracts q.",
        pointwise(lambda p, q: guarded(p, q) + p - q),
        at(0.5, 0.25, 0.5 * math.log(2) - 0.25),
    ),
}
