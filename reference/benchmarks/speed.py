"""How fast the reference answers, beside torch's own kl_div in float32 on the same machine.

Run ``python reference/benchmarks/speed.py`` (needs torch). Everything takes its turn, several times over; speeds are
medians, in millions of elements a second. On a busy machine only the ratios mean anything.
"""

from __future__ import annotations

import importlib
import itertools
import math
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_reference import Dtype, Operand, Problem, Reduction, Side, Space, answer, gradient, log_softmax

# By name, since no framework is installed where types are checked.
torch: Any = importlib.import_module("torch")

SMALL, LARGE = (1000, 1000), (4000, 4000)
TURNS = 5
THREADS = torch.get_num_threads()

Job = tuple[str, Callable[[], object], tuple[int, int]]
"""A name, the work, and the shape of what is worked on."""


def problem(shape: tuple[int, int], space: Space, dtype: Dtype, reduction: Reduction) -> Problem:
    """Return a problem with both operands in one space, but log-probabilities for the model of probabilities."""
    p, q = np.random.default_rng(0).uniform(0.01, 1.0, (2, *shape))
    if space is not Space.PROBABILITY:
        p = np.log(p)
    model = Space.LOG if space is Space.PROBABILITY else space
    return Problem(Operand.of(p, space, dtype), Operand.of(np.log(q), model, dtype), reduction=reduction)


def torch_job(space: Space, threads: int) -> Job:
    """Return torch's answer to the large problem in float32."""
    asked = problem(LARGE, space, Dtype.FLOAT32, Reduction.SUM)
    p, q = torch.from_numpy(asked.target.values), torch.from_numpy(asked.model.values)

    def work() -> object:
        torch.set_num_threads(threads)
        return torch.nn.functional.kl_div(q, p, reduction="sum", log_target=space is Space.LOG)

    return f"torch kl_div float32, {space.value}, {threads} threads", work, LARGE


def jobs() -> Iterator[Job]:
    """Yield everything that is compared, torch on one thread first."""
    for space, threads in itertools.product((Space.PROBABILITY, Space.LOG), (1, THREADS)):
        yield torch_job(space, threads)
    for space, reduction in itertools.product(Space, (Reduction.ROWS, Reduction.SUM)):
        asked = problem(LARGE, space, Dtype.FLOAT32, reduction)
        yield f"float64 with a bound, {space.value}, {reduction.name}", partial(answer, asked), LARGE
    for space, reduction in itertools.product(Space, (Reduction.TERMS, Reduction.SUM)):
        asked = problem(SMALL, space, Dtype.FLOAT64, reduction)
        yield f"double-double, {space.value}, {reduction.name}", partial(answer, asked), SMALL
    asked = problem(SMALL, Space.LOGITS, Dtype.FLOAT64, Reduction.SUM)
    yield "double-double, log_softmax", partial(log_softmax, asked.model), SMALL
    yield "double-double, gradient by logits", partial(gradient, asked, Side.MODEL), SMALL


def seconds(work: Callable[[], object]) -> float:
    """Return how long it takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    compared = list(jobs())
    turns = [[seconds(work) for _, work, _ in compared] for _ in range(TURNS)]
    taken = [statistics.median(times) for times in zip(*turns, strict=True)]
    speeds = [math.prod(shape) / time / 1e6 for (_, _, shape), time in zip(compared, taken, strict=True)]
    for (name, _, _), million in zip(compared, speeds, strict=True):
        print(f"{name:52} {million:8.1f} Melem/s {million / speeds[0]:8.3f}")


if __name__ == "__main__":
    main()
