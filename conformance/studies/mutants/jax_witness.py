"""Proofs by tiny examples that a JAX kernel is wrong: its answer and the one by the definition."""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from studies.mutants.kernel import KlDiv, Proof

P, Q = (0.1, 0.2, 0.7), (0.3, 0.3, 0.4)
"""Two distributions over three classes."""


def array(*values: Any) -> Any:
    """Return numbers as an array of float32."""
    jnp = importlib.import_module("jax.numpy")
    return jnp.asarray(values, jnp.float32)


def logs(values: Sequence[float]) -> list[float]:
    """Return natural logarithms."""
    return [math.log(each) for each in values]


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Return Σ p·ln(p/q)."""
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def row(p: Sequence[float], log_q: Sequence[float]) -> Callable[[KlDiv], Proof]:
    """Return a proof by one row."""
    expected = math.fsum(a * (math.log(a) - b) for a, b in zip(p, log_q, strict=True) if a)

    def prove(kernel: KlDiv) -> Proof:
        return Proof(float(kernel(array(*log_q), array(*p))), expected)

    return prove


def log_row(p: Sequence[float], q: Sequence[float]) -> Callable[[KlDiv], Proof]:
    """Return a proof by one row whose target is given in logarithms."""

    def prove(kernel: KlDiv) -> Proof:
        return Proof(float(kernel(array(*logs(q)), array(*logs(p)))), divergence(p, q))

    return prove


def element(p: float, q: float, expected: float) -> Callable[[KlDiv], Proof]:
    """Return a proof by one element."""
    return lambda kernel: Proof(float(kernel(array(p), array(q))[0]), expected)


def shape(expected: tuple[int, ...], *given: int) -> Callable[[KlDiv], Proof]:
    """Return a proof by the shape of the answer to a problem of a given one."""

    def prove(kernel: KlDiv) -> Proof:
        jnp = importlib.import_module("jax.numpy")
        operand = jnp.full(given, 0.25, jnp.float32)
        return Proof(str(kernel(jnp.log(operand), operand).shape), str(expected))

    return prove


def slope(argument: int, expected: float, upstream: float = 1.0) -> Callable[[KlDiv], Proof]:
    """Return a proof by the derivative at the first class, P and Q given as model and target."""

    def prove(kernel: KlDiv) -> Proof:
        jax = importlib.import_module("jax")

        def loss(log_q: Any, p: Any) -> Any:
            return (kernel(log_q, p) * upstream).sum()

        by = jax.grad(loss, argument)(array(*logs(Q)), array(*P))
        return Proof(float(by[0]), expected)

    return prove


def element_slope(argument: int, p: float, q: float, expected: float) -> Callable[[KlDiv], Proof]:
    """Return a proof by the derivative of one element."""

    def prove(kernel: KlDiv) -> Proof:
        jax = importlib.import_module("jax")

        def loss(p: Any, q: Any) -> Any:
            return kernel(p, q).sum()

        by = jax.grad(loss, argument)(array(p), array(q))
        return Proof(float(by[0]), expected)

    return prove
