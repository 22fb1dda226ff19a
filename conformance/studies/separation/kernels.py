"""Kernels in float32 with one fault each, and the right one beside them."""

from __future__ import annotations

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
"""How many elements a kernel reads at a time; what is over is its tail."""

LANES = (32, 256, 1024)
"""How many partial sums a kernel may keep side by side before it adds them in pairs."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What computes terms from p and log q, and rows' sums from terms, with classes last.

    Parameters
    ----------
    name
        The fault in words.
    terms
        ``terms(p, log_q)`` gives p·(log p − log q), 0 where p = 0.
    total
        ``total(terms)`` gives the sum of each row.
    """

    name: str
    terms: Terms
    total: Total

    def rows(self, p: Float32, log_q: Float32) -> Float32:
        """Return the sum of each row."""
        return self.total(self.terms(p, log_q))


def logarithm(p: Float32) -> Float32:
    """Return log p, and 0 where p = 0, which is multiplied by p anyway."""
    return np.log(np.where(p > 0, p, np.float32(1)))


def plain(p: Float32, log_q: Float32) -> Float32:
    """Return p·(log p − log q)."""
    return p * (logarithm(p) - log_q)


def total(terms: Float32) -> Float32:
    """Return rows' sums in float32, added up in pairs as NumPy does."""
    return np.asarray(np.sum(terms, axis=-1, dtype=np.float32))


def shortened(values: Float32, bits: int) -> Float32:
    """Round to nearest, ties to even, leaving out so many of the 23 bits after the point; the range stays."""
    whole = values.view(np.uint32)
    half = np.uint32((1 << (bits - 1)) - 1) + ((whole >> np.uint32(bits)) & np.uint32(1))
    return ((whole + half) & ~np.uint32((1 << bits) - 1)).view(np.float32)


def halved(values: Float32) -> Float32:
    """Round to float16, whose range is small: infinities and zeros may appear."""
    with np.errstate(over="ignore", under="ignore"):
        return values.astype(np.float16).astype(np.float32)


ROUNDINGS: dict[str, Rounding] = {
    "bf16": partial(shortened, bits=16),
    "fp16": halved,
    "tf32": partial(shortened, bits=13),
}


def accumulated(terms: Float32, rounding: Rounding, lanes: int) -> Float32:
    """Return rows' sums in lanes and then in pairs (lanes: a power of two), rounding after each addition."""
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


def kernels() -> Iterator[Kernel]:
    """Yield every faulty kernel, those whose terms are wrong before those whose sums are."""

    def wrong_terms(name: str, terms: Terms) -> Kernel:
        return Kernel(name, terms, total)

    def wrong_total(name: str, adding: Total) -> Kernel:
        return Kernel(name, plain, adding)

    for epsilon in (1e-8, 1e-10, 1e-12):
        yield wrong_terms(f"log(p + {epsilon:.0e})", partial(_shifted, epsilon=np.float32(epsilon)))
    yield wrong_terms("p clipped to 1e-07", lambda p, log_q: plain(np.maximum(p, np.float32(1e-7)), log_q))
    for error in (1e-4, 1e-5, 1e-6):
        yield wrong_terms(
            f"log off by {error:.0e}, relatively", partial(_biased, factor=np.float32(1 + error))
        )
    for name, rounding in ROUNDINGS.items():
        yield wrong_terms(f"operands in {name}", partial(_rounded, rounding=rounding))
    for name, lanes in product(("fp16", "bf16"), LANES):
        adding = partial(accumulated, rounding=ROUNDINGS[name], lanes=lanes)
        yield wrong_total(f"sums in {name}, {lanes} lanes", adding)
    yield wrong_total("last element dropped", lambda terms: total(terms[..., :-1]))
    yield wrong_total(f"tail dropped (n mod {BLOCK})", lambda terms: total(terms[..., : _whole(terms)]))


def right() -> Iterator[Kernel]:
    """Yield kernels without a fault."""
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
