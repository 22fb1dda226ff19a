"""How fast the reference answers, beside torch's own kl_div in the same minute on the same machine.

Run ``python reference/benchmarks/speed.py`` (needs torch). Speeds are in millions of elements a second, the best
of three; on a busy machine only the last column, the ratio to torch on one thread, means anything.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_reference import Dtype, Operand, Problem, Reduction, Side, Space, answer, gradient, log_softmax

SMALL, LARGE = (1000, 1000), (4000, 4000)


def speed(work: Callable[[], object], shape: tuple[int, int]) -> float:
    """Return the elements done in a microsecond, the best of three times."""
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return shape[0] * shape[1] / best / 1e6


def problem(shape: tuple[int, int], space: Space, dtype: Dtype, reduction: Reduction) -> Problem:
    """Return a problem with both operands in one space, but log-probabilities for the model of probabilities."""
    p, q = np.random.default_rng(0).uniform(0.01, 1.0, (2, *shape))
    if space is not Space.PROBABILITY:
        p = np.log(p)
    model = Space.LOG if space is Space.PROBABILITY else space
    return Problem(Operand.of(p, space, dtype), Operand.of(np.log(q), model, dtype), reduction=reduction)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    p, q = (torch.rand(LARGE) for _ in range(2))
    torch_speed = speed(lambda: torch.nn.functional.kl_div(q, p, reduction="sum"), LARGE)
    rows: list[tuple[str, float]] = [("torch kl_div float32, sum, one thread", torch_speed)]
    for space in Space:
        for reduction in (Reduction.TERMS, Reduction.SUM):
            asked = problem(SMALL, space, Dtype.FLOAT64, reduction)
            rows.append(
                (f"double-double, {space.value}, {reduction.name}", speed(partial(answer, asked), SMALL))
            )
    for space in Space:
        asked = problem(LARGE, space, Dtype.FLOAT32, Reduction.SUM)
        rows.append((f"float64 with a bound, {space.value}, SUM", speed(partial(answer, asked), LARGE)))
    asked = problem(SMALL, Space.LOGITS, Dtype.FLOAT64, Reduction.SUM)
    rows.append(("double-double, log_softmax", speed(lambda: log_softmax(asked.model), SMALL)))
    rows.append(("double-double, gradient by logits", speed(lambda: gradient(asked, Side.MODEL), SMALL)))
    for name, million in rows:
        print(f"{name:48} {million:8.1f} Melem/s {million / torch_speed:8.3f}")


if __name__ == "__main__":
    main()
