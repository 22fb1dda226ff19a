"""Families of pairs of probability distributions, and the registry of all families by name."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kl_cases.family import (
    Family,
    Rng,
    Shape,
    bell,
    between,
    block,
    exponential,
    family,
    log_between,
    logits,
    normalised,
    one_class,
    order,
    per_row,
    probabilities,
)
from kl_cases.measures import MEASURES
from kl_cases.pair import Measure, Pair
from kl_cases.portable_math import Array, exp, log
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

DISTRIBUTIONS: dict[str, Family] = {}


@family(DISTRIBUTIONS, normalised=True)
def dirichlet_flat(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """P and Q uniform on the simplex (Dirichlet, α = 1)."""
    return probabilities(normalised(exponential(rng, shape)), normalised(exponential(rng, shape)))


@family(DISTRIBUTIONS, normalised=True)
def dirichlet_sparse(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """A few classes have nearly all of the mass, the others very little and never 0 (Dirichlet, α ≈ 0.05)."""
    # Gamma(α) = Gamma(α + 1)·U^(1/α), with Gamma(1) instead of Gamma(1.05). The exponent is limited so that q
    # does not underflow in float64.
    p, q = (exponential(rng, shape) * exp(np.maximum(20.0 * log(rng.random(shape)), -500.0)) for _ in "pq")
    return probabilities(normalised(p), normalised(q))


@family(DISTRIBUTIONS, normalised=True)
def dirichlet_dense(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Every class has nearly the same mass (Dirichlet, α ≈ 50)."""
    # Wilson and Hilferty 1931: the cube root of a gamma variable is nearly normal.
    roots = [1.0 - 1.0 / 450.0 + bell(rng, shape) / math.sqrt(450.0) for _ in range(2)]
    p, q = (normalised(root * root * root) for root in roots)
    return probabilities(p, q)


@family(DISTRIBUTIONS, normalised=True)
def uniform(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """P and Q uniform over the classes up to a jitter of 5 %, so that no number repeats."""
    return probabilities(normalised(between(rng, 0.95, 1.05, shape)), normalised(between(rng, 0.95, 1.05, shape)))


@family(DISTRIBUTIONS, normalised=True)
def power_law(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Zipf's law as in a vocabulary: P and Q rank the classes alike and decrease at different rates."""
    rank = log(1.0 + order(rng, shape).astype(np.float64))
    p = exp(-between(rng, 0.8, 1.6, per_row(shape)) * rank) * between(rng, 0.99, 1.01, shape)
    q = exp(-between(rng, 0.8, 1.6, per_row(shape)) * rank) * between(rng, 0.5, 1.5, shape)
    return probabilities(normalised(p), normalised(q))


@family(DISTRIBUTIONS, normalised=True)
def one_hot(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """P is 1 at one class and 0 at the others; Q is positive everywhere."""
    return probabilities(one_class(rng, shape).astype(np.float64), normalised(exponential(rng, shape)))


@family(DISTRIBUTIONS, normalised=True)
def near_one_hot(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """P and Q have a mass of 1e-1 … 1e-6 outside one class, which is not always the same in both."""

    def side(top: NDArray[np.bool_]) -> Array:
        rest = normalised(exponential(rng, shape)) * log_between(rng, 1e-6, 1e-1, per_row(shape))
        return normalised(np.where(top, 1.0, rest))

    top = one_class(rng, shape)
    other = np.where(rng.random(per_row(shape)) < 0.5, top, one_class(rng, shape))
    return probabilities(side(top), side(other))


@family(DISTRIBUTIONS, normalised=True)
def near_equal(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Q is within a relative distance of 1e-12 … 1e-3 of P, or within the least distance that the dtype can express."""
    p = normalised(exponential(rng, shape))
    distance = np.maximum(log_between(rng, 1e-12, 1e-3, per_row(shape)), 4.0 * dtype.roundoff)
    return probabilities(p, normalised(p * (1.0 + distance * between(rng, -1.0, 1.0, shape))))


@family(DISTRIBUTIONS, normalised=True)
def same(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """P equals Q."""
    p = normalised(exponential(rng, shape))
    return probabilities(p, p)


@family(DISTRIBUTIONS, normalised=True)
def sparse(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """P is 0 in about half of the classes, and Q is 0 in about half of those; Q > 0 wherever P > 0."""
    kept = (rng.random(shape) < 0.5) | one_class(rng, shape)
    allowed = kept | (rng.random(shape) < 0.5)
    return probabilities(normalised(exponential(rng, shape) * kept), normalised(exponential(rng, shape) * allowed))


@family(DISTRIBUTIONS, normalised=True)
def masked(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """A range of classes of each row is masked: p = 0, q = 0, log q = −∞."""
    open_classes = ~block(rng, shape)
    return probabilities(
        normalised(exponential(rng, shape) * open_classes), normalised(exponential(rng, shape) * open_classes)
    )


@family(DISTRIBUTIONS, normalised=True)
def masked_finite(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """A range of classes of each row is masked by a logit of −1e9 (float16: −16376) instead of −∞."""
    closed = block(rng, shape)
    mask = -min(1e9, dtype.largest / 4.0)
    return logits(np.where(closed, mask, bell(rng, shape)), np.where(closed, mask, bell(rng, shape)))


@family(DISTRIBUTIONS, normalised=True)
def flat_logits(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Logits that differ by 0.01 … 1, around a different level in each row."""
    rows = per_row(shape)
    p, q = (between(rng, -8.0, 8.0, rows) + log_between(rng, 0.01, 1.0, rows) * bell(rng, shape) for _ in "pq")
    return logits(p, q)


@family(DISTRIBUTIONS, normalised=True)
def peaked_logits(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Logits that differ by 3 … 100: one class, sometimes another in P than in Q, has nearly all of the mass."""
    p, q = (log_between(rng, 3.0, 100.0, per_row(shape)) * bell(rng, shape) for _ in "pq")
    return logits(p, q)


@family(DISTRIBUTIONS, normalised=True, repeats=True)
def grid_logits(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Logits k/8 with k from −31 to 31: adding ±8 or ±16 is exact in every dtype, even with 8 bits."""
    p, q = (np.floor(between(rng, -31.0, 32.0, shape)) / 8.0 for _ in "pq")
    return logits(p, q)


@family(DISTRIBUTIONS, normalised=True, classes=2)
def asymmetric(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """KL(Q‖P) is more than three times KL(P‖Q): half of Q is at a class with very small p."""
    rare = one_class(rng, shape)
    weights = np.where(rare, 0.0, exponential(rng, shape))
    seldom = max(1e-6, 4.0 * dtype.least_normal) * between(rng, 1.0, 2.0, per_row(shape))
    common = normalised(weights * between(rng, 0.95, 1.05, shape))
    p = np.where(rare, seldom, (1.0 - seldom) * common)
    q = np.where(rare, 0.5, 0.5 * normalised(weights))
    return probabilities(p, q)


@family(DISTRIBUTIONS, normalised=True, subnormals=True)
def distant_logs(rng: Rng, shape: Shape, dtype: Dtype) -> Pair:
    """Log-probabilities down to −1e4, in P and in Q, at different classes."""
    depth = (np.where(one_class(rng, shape), 0.0, between(rng, 0.0, 1e4, shape)) for _ in "pq")
    p, q = (Measure(bell(rng, shape) - below, Space.LOGITS).expressed(Space.LOG) for below in depth)
    return Pair(Measure(p, Space.LOG), Measure(q, Space.LOG))


FAMILIES: Mapping[str, Family] = {**DISTRIBUTIONS, **MEASURES}
