"""NumPy kernels in float32: correct ones, and faulty ones with one fault each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.floating[Any]]
"""An array of float32."""

Rounding = Callable[[Float32], Float32]
Terms = Callable[[Float32, Float32], Float32]
Total = Callable[[Float32], Float32]

BLOCK = 32
"""Elements that a kernel reads at a time; the elements after the last whole block are its tail."""

LANES = (32, 256, 1024)
"""Numbers of partial sums that a kernel accumulates in parallel before it adds them in pairs."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """Computes terms from p and log q, and sums of rows from terms; the classes are the last axis.

    Parameters
    ----------
    name
        The fault, or the formula of a correct kernel.
    terms
        ``terms(p, log_q)`` returns p·(log p − log q), 0 where p = 0.
    total
        ``total(terms)`` returns the sum of each row.
    """

    name: str
    terms: Terms
    total: Total

    def rows(self, p: Float32, log_q: Float32) -> Float32:
        """Return the sum of each row."""
        return self.total(self.terms(p, log_q))


def logarithm(p: Float32) -> Float32:
    """Return log p, and 0 where p = 0; the caller multiplies it by p."""
    return np.log(np.where(p > 0, p, np.float32(1)))


def plain(p: Float32, log_q: Float32) -> Float32:
    """Return p·(log p − log q)."""
    return p * (logarithm(p) - log_q)


def total(terms: Float32) -> Float32:
    """Return the sums of rows in float32, by NumPy's pairwise summation."""
    return np.asarray(np.sum(terms, axis=-1, dtype=np.float32))


def shortened(values: Float32, bits: int) -> Float32:
    """Round to nearest, ties to even, to 23 − ``bits`` bits after the point; the exponent range stays."""
    whole = values.view(np.uint32)
    half = np.uint32((1 << (bits - 1)) - 1) + ((whole >> np.uint32(bits)) & np.uint32(1))
    return ((whole + half) & ~np.uint32((1 << bits) - 1)).view(np.float32)


def halved(values: Float32) -> Float32:
    """Round to float16; overflow gives infinities, underflow zeros."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float16).astype(np.float32)


ROUNDINGS: dict[str, Rounding] = {
    "bf16": partial(shortened, bits=16),
    "fp16": halved,
    "tf32": partial(shortened, bits=13),
}


def accumulated(terms: Float32, rounding: Rounding, lanes: int) -> Float32:
    """Return the sums of rows in ``lanes`` partial sums (a power of two), then in pairs, rounding each addition."""
    rows, classes = terms.shape
    padded = np.zeros((rows, -(-classes // lanes) * lanes), np.float32)
    padded[:, :classes] = terms
    steps = np.moveaxis(padded.reshape(rows, -1, lanes), 1, 0)
    partial_sums = rounding(steps[0])
    for step in steps[1:]:
        partial_sums = rounding(partial_sums + step)
    while partial_sums.shape[-1] > 1:
        partial_sums = rounding(partial_sums[:, ::2] + partial_sums[:, 1::2])
    return partial_sums[:, 0]


def faulty_kernels() -> Iterator[Kernel]:
    """Yield every faulty kernel, those with faulty terms before those with faulty sums."""

    def faulty_terms(name: str, terms: Terms) -> Kernel:
        return Kernel(name, terms, total)

    def faulty_total(name: str, adding: Total) -> Kernel:
        return Kernel(name, plain, adding)

    for epsilon in (1e-8, 1e-10, 1e-12):
        yield faulty_terms(f"log(p + {epsilon:.0e})", partial(_shifted, epsilon=np.float32(epsilon)))
    yield faulty_terms("p clipped to 1e-07", lambda p, log_q: plain(np.maximum(p, np.float32(1e-7)), log_q))
    for error in (1e-4, 1e-5, 1e-6):
        yield faulty_terms(f"log off by {error:.0e}, relatively", partial(_biased, factor=np.float32(1 + error)))
    for name, rounding in ROUNDINGS.items():
        yield faulty_terms(f"operands in {name}", partial(_rounded, rounding=rounding))
    for name, lanes in product(("fp16", "bf16"), LANES):
        adding = partial(accumulated, rounding=ROUNDINGS[name], lanes=lanes)
        yield faulty_total(f"sums in {name}, {lanes} lanes", adding)
    yield faulty_total("last element dropped", lambda terms: total(terms[..., :-1]))
    yield faulty_total(f"tail dropped (n mod {BLOCK})", lambda terms: total(terms[..., : _whole(terms)]))


def correct_kernels() -> Iterator[Kernel]:
    """Yield the correct kernels."""
    yield Kernel("none: p·(log p − log q)", plain, total)
    yield Kernel("none: p·log p − p·log q", lambda p, log_q: p * logarithm(p) - p * log_q, total)


def _shifted(p: Float32, log_q: Float32, epsilon: np.float32) -> Float32:
    return np.asarray(p * (np.log(p + epsilon) - log_q))


def _biased(p: Float32, log_q: Float32, factor: np.float32) -> Float32:
    return p * (logarithm(p) * factor - log_q)


def _rounded(p: Float32, log_q: Float32, rounding: Rounding) -> Float32:
    return plain(rounding(p), rounding(log_q))


def _whole(terms: Float32) -> int:
    return int(terms.shape[-1]) // BLOCK * BLOCK
