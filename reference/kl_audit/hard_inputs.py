"""Inputs that are hard for logarithms, exponentials and sums."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference import Operand, Space

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], tuple[Array, Array]]
"""A family: draws positive numbers p and q of a shape."""

_LARGEST = 0x7FEFFFFFFFFFFFFF


def bits(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return positive finite numbers with uniformly distributed bit patterns."""
    return rng.integers(1, _LARGEST, shape, endpoint=True).view(np.float64)


def subnormals(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return positive subnormal numbers."""
    return rng.integers(1, 2**52, shape).view(np.float64)


def stepped(rng: np.random.Generator, values: Array, width: int) -> Array:
    """Return numbers at most ``width`` representable numbers away."""
    moved = values.view(np.int64) + rng.integers(-width, width, values.shape, endpoint=True)
    return np.asarray(np.clip(moved, 1, _LARGEST).view(np.float64))


def _uniform(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return rng.uniform(1e-3, 1.0, shape), rng.uniform(1e-3, 1.0, shape)


def _ladder(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return np.exp2(rng.uniform(-1022.0, 0.0, shape)), np.exp(rng.uniform(-110.0, 0.0, shape))


def _bits(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return bits(rng, shape), bits(rng, shape)


def _subnormal(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    pair = subnormals(rng, shape), rng.uniform(0.0, 1.0, shape)
    return pair if rng.integers(2) else (pair[1], pair[0])


def _neighbours(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    p = np.exp2(rng.uniform(-30.0, 1.0, shape))
    return p, stepped(rng, p, 4)


def _near(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    p = rng.uniform(1e-6, 1.0, shape)
    return p, p * (1.0 + rng.choice([-1.0, 1.0], shape) * 10.0 ** rng.uniform(-15.0, -1.0, shape))


def _next_to_one(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    return stepped(rng, np.ones(shape), 3000), stepped(rng, np.ones(shape), 3000)


def _edges(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Quotients at the boundary between two cells of the logarithm table, or at the boundary where they are halved."""
    cell = (rng.integers(90, 183, shape) + 0.5) / 128.0
    edge = np.where(rng.integers(8, size=shape) == 0, np.sqrt(0.5), cell)
    q = np.exp2(rng.integers(-300, 300, shape).astype(np.float64))
    return stepped(rng, edge * q, 3), q


def _float32(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    pair = np.exp(rng.uniform(-20.0, 0.0, (2, *shape))).astype(np.float32).astype(np.float64)
    return pair[0], pair[1]


def _apart(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Quotients that overflow or underflow."""
    exponent = rng.uniform(500.0, 1020.0, (2, *shape)) * rng.choice([-1.0, 1.0], shape)
    return np.exp2(exponent[0]), np.exp2(-exponent[1])


FAMILIES: dict[str, Draw] = {
    "uniform": _uniform,
    "ladder": _ladder,
    "bits": _bits,
    "subnormal": _subnormal,
    "neighbours": _neighbours,
    "near": _near,
    "next to one": _next_to_one,
    "edges": _edges,
    "float32": _float32,
    "apart": _apart,
}


def operands(
    rng: np.random.Generator, family: str, shape: tuple[int, ...], target: Space, model: Space
) -> tuple[Operand, Operand]:
    """Return P and Q of a family in their spaces; in some problems a few classes of P have probability 0."""
    p, q = FAMILIES[family](rng, shape)
    masked = np.zeros(shape, dtype=np.bool_)
    if shape[-1] > 1 and rng.integers(3) == 0:
        masked[..., 1:] = rng.integers(5, size=(*shape[:-1], shape[-1] - 1)) == 0
    return (
        Operand.of(_in_space(rng, np.where(masked, 0.0, p), target), target),
        Operand.of(_in_space(rng, q, model), model),
    )


def _in_space(rng: np.random.Generator, values: Array, space: Space) -> NDArray[Any]:
    if space is Space.PROBABILITY:
        return values
    with np.errstate(divide="ignore"):
        logs = np.log(values)
    if space is Space.LOG:
        return logs
    # Shift each row of logits, sometimes so far that the logits lose most of their digits.
    moved = rng.choice([0.0, 1.0, 1e3, 1e8]) * rng.normal(size=(*values.shape[:-1], 1))
    return np.asarray(logs + moved)
