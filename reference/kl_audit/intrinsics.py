"""Fast logarithms, exponentials and divisions with their documented maximum error, and float32 kernels made of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_reference import Formula, Operand, Problem, Side, Space

Float32 = NDArray[Any]
"""An array of float32."""


@dataclass(frozen=True, slots=True)
class Intrinsics:
    """The functions of ``nvcc --use_fast_math`` with their maximum error, always in the same direction, 1 or −1.

    Source: CUDA C++ programming guide, mathematical functions, intrinsic functions.
    """

    log_sign: float
    exp_sign: float
    division_sign: float

    def log(self, x: Float32) -> Float32:
        """Return log x with an error of 2^-21.41 for x in [1/2, 2], and of 3 ulp elsewhere; −∞ for 0."""
        with np.errstate(divide="ignore"):
            exact = np.log(x.astype(np.float64))
        near = (x >= 0.5) & (x <= 2.0)
        return _off(exact, self.log_sign * np.where(near, 2.0**-21.41, 3.0 * _ulp(exact)))

    def exp(self, x: Float32) -> Float32:
        """Return e^x with an error of 2 + ⌊1.173·|x|⌋ ulp."""
        exact = np.exp(x.astype(np.float64))
        return _off(exact, self.exp_sign * (2.0 + np.floor(1.173 * np.abs(x.astype(np.float64)))) * _ulp(exact))

    def divide(self, x: Float32, y: Float32) -> Float32:
        """Return x ÷ y with an error of 2 ulp."""
        exact = x.astype(np.float64) / y.astype(np.float64)
        return _off(exact, self.division_sign * 2.0 * _ulp(exact))

    def log_softmax(self, x: Float32) -> Float32:
        """Return x − max x − log Σ e^(x − max x), summed in pairs."""
        shifted = x - np.max(x, axis=-1, keepdims=True)
        return np.asarray(shifted - self.log(np.sum(self.exp(shifted), axis=-1, keepdims=True)))

    def softmax(self, x: Float32) -> Float32:
        """Return e^(x − max x) ÷ Σ e^(x − max x)."""
        raised = self.exp(x - np.max(x, axis=-1, keepdims=True))
        return self.divide(raised, np.sum(raised, axis=-1, keepdims=True))


def worst() -> Iterator[Intrinsics]:
    """Yield fast functions with every combination of error directions."""
    for signs in product((1.0, -1.0), (1.0, -1.0), (1.0, -1.0)):
        yield Intrinsics(*signs)


def kernels(problem: Problem, fast: Intrinsics) -> Iterator[tuple[str, Float32]]:
    """Yield the terms of each algorithm with its name, 0 where p = 0; the classes are last."""
    normalise = problem.normalise
    p, q = (_probability(operand, normalise, fast) for operand in (problem.target, problem.model))
    log_p, log_q = (_logarithm(operand, normalise, fast) for operand in (problem.target, problem.model))
    algorithms: dict[str, Float32] = {}
    if problem.formula is Formula.CROSS_ENTROPY:
        algorithms["−p·log q"] = -p * log_q
    else:
        algorithms["p·(log p − log q)"] = p * (log_p - log_q)
        algorithms["p·log p − p·log q"] = p * log_p - p * log_q
        if problem.target.space is problem.model.space is Space.PROBABILITY:
            algorithms["p·log(p/q)"] = p * fast.log(fast.divide(p, q))
    if problem.formula is Formula.GENERALISED:
        algorithms = {f"{name} − p + q": each - p + q for name, each in algorithms.items()}
    for name, terms in algorithms.items():
        yield name, np.where(p == 0.0, np.float32(0.0), terms)


def slopes(problem: Problem, side: Side, fast: Intrinsics) -> Float32:
    """Return the gradient of Σ p·(log p − log q) by one side, as in a hand-written kernel; the classes are last."""
    normalise = problem.normalise
    p, q = (_probability(operand, normalise, fast) for operand in (problem.target, problem.model))
    log_p, log_q = (_logarithm(operand, normalise, fast) for operand in (problem.target, problem.model))
    inner = log_p - log_q + np.float32(1.0)
    match side, problem.side(side).space:
        case Side.TARGET, Space.PROBABILITY:
            return _through_normalisation(problem, problem.target, inner, p * inner, fast)
        case Side.TARGET, Space.LOG:
            return p * inner
        case Side.TARGET, Space.LOGITS:
            return np.asarray(p * inner - p * np.sum(p * inner, axis=-1, keepdims=True))
        case _, Space.PROBABILITY:
            return _through_normalisation(problem, problem.model, -fast.divide(p, q), -p, fast)
        case _, Space.LOG:
            return -p
        case _, Space.LOGITS:
            return np.asarray(fast.softmax(problem.model.values) * np.sum(p, axis=-1, keepdims=True) - p)


def _through_normalisation(
    problem: Problem, operand: Operand, by_p: Float32, by_log: Float32, fast: Intrinsics
) -> Float32:
    if not problem.normalise:
        return by_p
    difference = by_p - np.sum(by_log, axis=-1, keepdims=True)
    return fast.divide(difference, np.sum(operand.values, axis=-1, keepdims=True) + np.zeros_like(by_p))


def _probability(operand: Operand, normalise: bool, fast: Intrinsics) -> Float32:
    match operand.space:
        case Space.PROBABILITY:
            p = operand.values
            return fast.divide(p, np.sum(p, axis=-1, keepdims=True)) if normalise else p
        case Space.LOG:
            return fast.exp(operand.values)
        case Space.LOGITS:
            return fast.exp(fast.log_softmax(operand.values))


def _logarithm(operand: Operand, normalise: bool, fast: Intrinsics) -> Float32:
    match operand.space:
        case Space.PROBABILITY:
            p = _probability(operand, normalise, fast)
            return fast.log(np.where(p == 0.0, np.float32(1.0), p))
        case Space.LOG:
            return operand.values
        case Space.LOGITS:
            return fast.log_softmax(operand.values)


def _ulp(exact: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the spacing of float32 numbers at a number, and 0 where it overflows."""
    with np.errstate(over="ignore"):
        size = np.abs(exact).astype(np.float32)
    finite = np.isfinite(size)
    return np.where(finite, np.spacing(np.where(finite, size, np.float32(0.0))), 0.0)


def _off(exact: NDArray[np.float64], error: NDArray[np.float64]) -> Float32:
    """Return the float32 farthest from a number in the direction of the error, but no farther than the error."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        moved = (exact + error).astype(np.float32)
        beyond = np.abs(moved.astype(np.float64) - exact) > np.abs(error)
    return np.where(beyond, np.nextafter(moved, exact.astype(np.float32)), moved)
