"""Correct kernels in NumPy: products, exact sums and normalised rows."""

import math
from typing import Any

import numpy as np

from studies.mutants.kernel import CorrectKernel, KlDiv

REL_ENTR = "scipy.special.rel_entr"
KL_DIV = "scipy.special.kl_div"
ENTROPY = "scipy.stats.entropy"


def guarded(p: Any, q: Any) -> Any:
    """Return p·(log p − log q) where both are positive, and the definition's 0 and ∞ elsewhere."""
    p, q = np.broadcast_arrays(p, q)
    with np.errstate(all="ignore"):
        inside = p * (np.log(p) - np.log(q))
    edge = np.where((p == 0) & (q >= 0), 0.0, np.inf)
    edge = np.where(np.isnan(p) | np.isnan(q), np.nan, edge)
    return np.where((p > 0) & (q > 0), inside, edge).astype(np.result_type(p, q))


def in_place() -> KlDiv:
    """Return a kernel that computes in its own buffer."""

    def kernel(p: Any, q: Any) -> Any:
        shape = np.broadcast_shapes(np.shape(p), np.shape(q))
        terms = np.empty(shape, np.result_type(p, q))
        logarithm = np.empty(np.shape(q), terms.dtype)
        with np.errstate(all="ignore"):
            np.log(p, out=terms) if np.shape(p) == shape else np.copyto(terms, np.log(p))
            np.log(q, out=logarithm)
            terms -= logarithm
            terms *= p
        nothing = (np.asarray(p) == 0) & (np.asarray(q) >= 0)
        np.copyto(terms, 0.0, where=nothing)
        np.copyto(terms, np.inf, where=(p < 0) | (np.asarray(q) < 0) & ~np.isnan(p))
        return terms

    return kernel


def one_by_one() -> KlDiv:
    """Return a kernel in plain Python, element by element, in float64."""

    def term(p: float, q: float) -> float:
        if math.isnan(p) or math.isnan(q):
            return math.nan
        if p == 0 and q >= 0:
            return 0.0
        if p < 0 or q <= 0:
            return math.inf
        if math.isinf(p) or math.isinf(q):
            return p * (math.log(p) - math.log(q)) if math.isinf(p) != math.isinf(q) else math.nan
        return p * (math.log(p) - math.log(q))

    by_element = np.frompyfunc(term, 2, 1)

    def kernel(p: Any, q: Any) -> Any:
        return np.asarray(by_element(np.asarray(p), np.asarray(q))).astype(np.result_type(p, q))

    return kernel


def generalised() -> KlDiv:
    """Return a kernel of the relative entropy, less p, plus q."""
    return lambda p, q: guarded(p, q) - p + q


def entropy() -> KlDiv:
    """Return a kernel that normalises both rows and sums along an axis."""

    def kernel(p: Any, q: Any, axis: int = 0) -> Any:
        p, q = np.asarray(p), np.asarray(q)
        if np.shape(p)[axis] != np.shape(q)[axis]:
            raise ValueError(f"{np.shape(p)[axis]} classes against {np.shape(q)[axis]}")
        with np.errstate(all="ignore"):
            p = p / p.sum(axis, keepdims=True)
            whole = q.sum(axis, keepdims=True)
            quotient = q / whole
            # The quotient may underflow where its logarithm does not.
            ordinary = quotient >= np.finfo(quotient.dtype).tiny
            log_q = np.where(ordinary, np.log(quotient), np.log(q) - np.log(whole))
            terms = p * (np.log(p) - log_q)
        terms = np.where((p == 0) & (q >= 0), np.zeros_like(terms), terms)
        return np.sum(np.where((p < 0) | (q < 0), np.full_like(terms, np.inf), terms), axis)

    return kernel


KERNELS = (
    CorrectKernel("numpy-guarded", "p·(log p − log q) between guards.", lambda: guarded, REL_ENTR),
    CorrectKernel("numpy-in-place", "A separate buffer, written in place.", in_place, REL_ENTR),
    CorrectKernel("numpy-one-by-one", "Number by number in plain Python.", one_by_one, REL_ENTR),
    CorrectKernel("numpy-generalised", "The relative entropy − p + q.", generalised, KL_DIV),
    CorrectKernel(
        "numpy-normalised-rows", "Rows normalised, by logarithms where a quotient underflows.", entropy, ENTROPY
    ),
)
