"""Family: a named way to draw pairs, and the random draws that all families share."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kl_cases.pair import Measure, Pair
from kl_cases.portable_math import Array, exp, log
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

Rng = np.random.Generator
Shape = tuple[int, ...]
Build = Callable[[Rng, Shape, Dtype], Pair]


@dataclass(frozen=True, slots=True)
class Family:
    """A named way to draw pairs, classes last.

    Parameters
    ----------
    name
        Words joined by hyphens.
    sentence
        A description of its pairs.
    build
        ``build(rng, shape, dtype)`` draws one pair; ``shape`` has at least one axis, and the range and precision of the
        pair are meant for ``dtype``.
    normalised
        Each row of P and of Q sums to 1 in float64, before any rounding to ``dtype``.
    repeats
        Many classes have the same number, so that all roundings of a sum may have the same direction: sums need a
        bound that applies to every order of summation, or exact values.
    subnormals
        The family tests subnormal numbers: realise with ``subnormals=True``.
    classes
        Least number of classes for which the family has its properties.
    """

    name: str
    sentence: str
    build: Build
    normalised: bool
    repeats: bool = False
    subnormals: bool = False
    classes: int = 1


def family(
    registry: dict[str, Family], *, normalised: bool, repeats: bool = False, subnormals: bool = False, classes: int = 1
) -> Callable[[Build], Family]:
    """Return a decorator that turns a function into a family and adds it to a registry.

    The name is the function's, the sentence the first paragraph of its docstring; the other arguments are
    those of :class:`Family`.
    """

    def enter(build: Build) -> Family:
        name = getattr(build, "__name__", "").replace("_", "-")
        sentence = " ".join((build.__doc__ or "").split("\n\n")[0].split())
        registry[name] = Family(name, sentence, build, normalised, repeats, subnormals, classes)
        return registry[name]

    return enter


# All numbers are drawn by rng.random, whose stream NumPy keeps stable, and transformed by kl_cases.portable_math:
# a recipe gives the same bits with every NumPy and on every processor.


def per_row(shape: Shape) -> Shape:
    """Return the shape that holds one number per row."""
    return (*shape[:-1], 1)


def between(rng: Rng, low: float, high: float, shape: Shape) -> Array:
    """Draw uniformly from [low, high)."""
    return np.asarray(low + (high - low) * rng.random(shape))


def log_between(rng: Rng, low: float, high: float, shape: Shape) -> Array:
    """Draw from [low, high), uniformly in the logarithm; both are positive."""
    edges = log(np.array([low, high]))
    return np.clip(exp(between(rng, float(edges[0]), float(edges[1]), shape)), low, high)


def exponential(rng: Rng, shape: Shape) -> Array:
    """Draw from the exponential distribution of mean 1: weights of a flat Dirichlet distribution."""
    return np.asarray(-log(1.0 - rng.random(shape)))


def bell(rng: Rng, shape: Shape) -> Array:
    """Draw from a bell-shaped distribution of mean 0 and variance 1 within ±3.5: the sum of four uniform numbers."""
    total = rng.random(shape)
    for _ in range(3):
        total += rng.random(shape)
    return np.asarray((total - 2.0) * 3.0**0.5)


def order(rng: Rng, shape: Shape) -> NDArray[np.intp]:
    """Draw a random permutation of the classes of each row."""
    return np.asarray(np.argsort(rng.random(shape), axis=-1, kind="stable"))


def one_class(rng: Rng, shape: Shape) -> NDArray[np.bool_]:
    """Mark one random class of each row."""
    chosen = (rng.random(per_row(shape)) * shape[-1]).astype(np.intp)
    return np.asarray(np.arange(shape[-1]) == chosen)


def block(rng: Rng, shape: Shape) -> NDArray[np.bool_]:
    """Mark one random range of classes of each row, from no class to all but one."""
    classes = shape[-1]
    length = (rng.random(per_row(shape)) * classes).astype(np.intp)
    start = (rng.random(per_row(shape)) * (classes - length + 1)).astype(np.intp)
    place = np.arange(classes)
    return np.asarray((place >= start) & (place < start + length))


def normalised(weights: Array) -> Array:
    """Divide weights by their sum over the classes."""
    return np.asarray(weights / np.sum(weights, axis=-1, keepdims=True))


def probabilities(p: Array, q: Array) -> Pair:
    """Pair two arrays of probabilities."""
    return Pair(Measure(p, Space.PROBABILITY), Measure(q, Space.PROBABILITY))


def logits(p: Array, q: Array) -> Pair:
    """Pair two arrays of logits."""
    return Pair(Measure(p, Space.LOGITS), Measure(q, Space.LOGITS))
