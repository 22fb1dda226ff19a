"""Mutants in NumPy over rows that follow scipy.stats.entropy."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from studies.mutants.correct.numpy import ENTROPY, guarded
from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.wrong.numpy import quietly

ROWS = ((0.1, 0.2, 0.7), (0.3, 0.3, 0.4))
"""Two distributions over three classes, P and Q of the proofs about rows."""


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Return Σ p·ln(p/q) of two normalised rows."""
    return math.fsum(
        a / math.fsum(p) * math.log(a / math.fsum(p) * math.fsum(q) / b) for a, b in zip(p, q, strict=True)
    )


def of_columns(p: Sequence[float], q: Sequence[float]) -> Callable[[KlDiv], Proof]:
    """Return a proof by one pair of columns: SciPy's classes are on axis 0."""

    def prove(kernel: KlDiv) -> Proof:
        columns = [np.array(each)[:, np.newaxis] for each in (p, q)]
        return Proof(float(np.ravel(kernel(*columns))[0]), divergence(p, q))

    return prove


def each_by_its_sum(p: Any, q: Any, axis: int) -> tuple[Any, Any]:
    """Divide both arrays by their sums."""
    return p / p.sum(axis, keepdims=True), q / q.sum(axis, keepdims=True)


def entropy(
    normalised: Callable[[Any, Any, int], tuple[Any, Any]] | None = None,
    total: Callable[[Any, int], Any] = np.sum,
    default: int = 0,
) -> Callable[[], KlDiv]:
    """Return a factory of kernels over rows with another normalisation, sum or default axis."""
    normalise = normalised or each_by_its_sum

    def kernel(p: Any, q: Any, axis: int = default) -> Any:
        if np.shape(p)[axis] != np.shape(q)[axis]:
            raise ValueError("another number of classes")
        return total(guarded(*normalise(p, q, axis)), axis)

    return lambda: quietly(kernel)


def whole_blocks(terms: Any, axis: int) -> Any:
    """Add blocks of eight classes and drop the tail."""
    count = max(terms.shape[axis] // 8 * 8, min(terms.shape[axis], 8))
    return np.take(terms, range(count), axis).sum(axis)


def prove_last_axis(kernel: KlDiv) -> Proof:
    """Prove by a matrix of two columns with three classes each: it has two divergences, not three."""
    p, q = (np.array([row, row[::-1]]).T for row in ROWS)
    return Proof(float(np.ravel(kernel(p, q))[0]), divergence(*ROWS))


NINE = tuple(range(1, 10)), tuple(range(9, 0, -1))
"""Nine classes: a block of eight and a tail of one."""


_entropy = partial(Mutant, like=ENTROPY)

MUTANTS: dict[str, Mutant] = {
    "numpy-rows-as-they-are": _entropy(
        FaultKind.VALUE,
        "Does not normalise its inputs.",
        entropy(lambda p, q, axis: (p, q)),
        of_columns((1.0, 2.0), (3.0, 1.0)),
    ),
    "numpy-one-normaliser": _entropy(
        FaultKind.VALUE,
        "Divides both by the sum of P.",
        entropy(lambda p, q, axis: (p / p.sum(axis, keepdims=True), q / p.sum(axis, keepdims=True))),
        of_columns((1.0, 2.0), (3.0, 1.0)),
    ),
    "numpy-mean-over-classes": _entropy(
        FaultKind.REDUCTION, "Means over classes where it should sum.", entropy(total=np.mean), of_columns(*ROWS)
    ),
    "numpy-last-axis": _entropy(
        FaultKind.REDUCTION,
        "Sums over the last axis where SciPy's default is the first.",
        entropy(default=-1),
        prove_last_axis,
    ),
    "numpy-tail-of-eight": _entropy(
        FaultKind.LAYOUT,
        "Adds blocks of eight classes and omits the rest.",
        entropy(total=whole_blocks),
        of_columns(*NINE),
    ),
}
