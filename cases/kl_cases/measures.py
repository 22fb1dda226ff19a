"""Families of unnormalised measures: ladders, exact sums, and the ends of the range."""

import math

import numpy as np

from kl_cases.family import Family, Rng, Shape, bell, between, exponential, family, log_between, per_row, probabilities
from kl_cases.pair import Measure, Pair
from kl_cases.portable_math import Array, exp, log
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

MEASURES: dict[str, Family] = {}


def _with_logs(p: Array, log_q: Array) -> Pair:
    return Pair(Measure(p, Space.PROBABILITY), Measure(log_q, Space.LOG))


@family(MEASURES, normalised=False)
def ladder(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Targets p log-uniform over the whole normal range up to 1, log q uniform from −110 to 0.

    With 31 classes it detects every kind of error that a single term can have.
    """
    return _with_logs(log_between(rng, dtype.least_normal, 1.0, shape), between(rng, -110.0, 0.0, shape))


@family(MEASURES, normalised=False)
def measure(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Positive p and q of any sum, with rows of small and of large mass: KL may be negative."""
    p, q = (exp(bell(rng, shape) + 2.0 * bell(rng, per_row(shape))) for _ in "pq")
    return probabilities(p, q)


@family(MEASURES, normalised=False, subnormals=True)
def extreme(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Both p and q log-uniform from the least subnormal number to 1: p/q overflows and underflows."""
    lowest = math.frexp(dtype.least_subnormal)[1] - 1
    p, q = (
        np.ldexp(between(rng, 1.0, 2.0, shape), np.floor(between(rng, lowest, 0.0, shape)).astype(np.intc))
        for _ in "pq"
    )
    return probabilities(p, q)


@family(MEASURES, normalised=False)
def largest(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Both p and q log-uniform over the upper half of the range: terms reach the largest finite number."""
    top = 0.99 * dtype.largest
    p, q = (log_between(rng, math.sqrt(top), top, shape) for _ in "pq")
    return probabilities(p, q)


@family(MEASURES, normalised=False, repeats=True)
def dyadic(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Numbers of few bits, p = k/16 (1 ≤ k ≤ 15) and log q = −k/8 (0 ≤ k ≤ 96).

    The product of two such pairs, and a shift of log q by a small power of two, is exact in every dtype.
    """
    return _with_logs(np.floor(between(rng, 1.0, 16.0, shape)) / 16.0, -np.floor(between(rng, 0.0, 97.0, shape)) / 8.0)


@family(MEASURES, normalised=False, repeats=True)
def exact_sum(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Targets p of 0 or 1 and dyadic log q, so that every partial sum in every order is exact in the dtype.

    All terms −log q are multiples of 1/8 and together 2^k − 1 of at most 2^bits eighths: no rounding can
    happen anywhere, and dividing by a power of two keeps it so. The total fills every bit, so that an
    accumulator of fewer bits cannot hold it. The first and the last element always count.
    """
    size = math.prod(shape)
    budget = int(1.0 / dtype.roundoff)
    ones = max(1, min((size + 1) // 2, budget // 4))
    if size > 1:
        ones = max(2, ones)
    draw = rng.random(size)
    draw[[0, -1]] = -1.0  # first and last come first
    counted = np.zeros(size, dtype=np.bool_)
    counted[np.argsort(draw, kind="stable")[:ones]] = True

    highest = max(1, min(64, budget // (2 * ones)))
    eighths = np.floor(between(rng, 1.0, highest + 1.0, (size,)))
    total = int(eighths[counted].sum())
    missing = (1 << (total - 1).bit_length()) - total
    share = np.full(ones, missing // ones, dtype=np.float64)
    share[: missing % ones] += 1.0
    eighths[counted] += share
    largest = int(np.argmax(np.where(counted, eighths, 0.0)))
    if eighths[largest] > 1.0:
        eighths[largest] -= 1.0
    return _with_logs(counted.astype(np.float64).reshape(shape), -eighths.reshape(shape) / 8.0)


@family(MEASURES, normalised=False)
def half_range(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Sums that a 16-bit accumulator cannot compute, although the result is representable in 16 bits.

    Every second row stagnates: its first term is seven eighths of the sum, and the others are each too
    small to change it. The other rows overflow in between: their positive terms add up to 1.5 times the
    largest float16, their negative terms subtract 1.0 times of it.
    """
    size = shape[-1]
    first, up = np.arange(size) == 0, np.arange(size) < (size + 1) // 2
    jitter = between(rng, 0.98, 1.02, shape)
    rest = np.where(first, 0.0, jitter)
    stagnant = np.where(first, 0.875, 0.125 * rest / np.maximum(rest.sum(axis=-1, keepdims=True), 1.0))

    rising = min(1.5 / ((size + 1) // 2), 0.75)
    falling = (rising * ((size + 1) // 2) - 0.5) / max(size // 2, 1)
    signed = np.where(up, rising, -falling) * Dtype.FLOAT16.largest * jitter

    row = np.arange(math.prod(shape[:-1])).reshape(per_row(shape))
    overflows = (row + int(2.0 * rng.random())) % 2 == 1
    # A ratio of e^±8 makes each term ±8·p.
    p = np.where(overflows, np.abs(signed) / 8.0, stagnant)
    log_ratio = np.where(overflows & ~up, -8.0, 8.0)
    return _with_logs(p, log(p) - log_ratio)


@family(MEASURES, normalised=False)
def unit_target(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Targets p of 1 everywhere, so that each term is −log q exactly."""
    return _with_logs(np.ones(shape), -exponential(rng, shape))
