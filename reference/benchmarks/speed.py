"""Measures the speed of the reference in comparison with torch's kl_div in float32 on the same machine.

Run ``python reference/benchmarks/speed.py`` (needs torch). All jobs run in turn, several times; speeds are medians, in
millions of elements per second. On a busy machine only the ratios are meaningful.
"""

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

# Imported by name, because no framework is installed where types are checked.
torch: Any = importlib.import_module("torch")

SMALL, LARGE = (1000, 1000), (4000, 4000)
ROUNDS = 5
THREADS = torch.get_num_threads()

Job = tuple[str, Callable[[], object], tuple[int, int]]
"""A name, the work, and the shape of the operands."""


def problem(shape: tuple[int, int], space: Space, dtype: Dtype, reduction: Reduction) -> Problem:
    """Return a problem with operands in one space; with a target of probabilities, the model is in logarithms."""
    p, q = np.random.default_rng(0).uniform(0.01, 1.0, (2, *shape))
    if space is not Space.PROBABILITY:
        p = np.log(p)
    model = Space.LOG if space is Space.PROBABILITY else space
    return Problem(Operand.of(p, space, dtype), Operand.of(np.log(q), model, dtype), reduction=reduction)


def torch_job(space: Space, threads: int) -> Job:
    """Return torch's evaluation of the large problem in float32."""
    large = problem(LARGE, space, Dtype.FLOAT32, Reduction.SUM)
    p, q = torch.from_numpy(large.target.values), torch.from_numpy(large.model.values)

    def work() -> object:
        torch.set_num_threads(threads)
        return torch.nn.functional.kl_div(q, p, reduction="sum", log_target=space is Space.LOG)

    return f"torch kl_div float32, {space.value}, {threads} threads", work, LARGE


def jobs() -> Iterator[Job]:
    """Yield all jobs; the first is torch on one thread."""
    for space, threads in itertools.product((Space.PROBABILITY, Space.LOG), (1, THREADS)):
        yield torch_job(space, threads)
    for space, reduction in itertools.product(Space, (Reduction.ROWS, Reduction.SUM)):
        matrix = problem(LARGE, space, Dtype.FLOAT32, reduction)
        yield f"float64 with a bound, {space.value}, {reduction.name}", partial(answer, matrix), LARGE
    for space, reduction in itertools.product(Space, (Reduction.TERMS, Reduction.SUM)):
        matrix = problem(SMALL, space, Dtype.FLOAT64, reduction)
        yield f"double-double, {space.value}, {reduction.name}", partial(answer, matrix), SMALL
    logits = problem(SMALL, Space.LOGITS, Dtype.FLOAT64, Reduction.SUM)
    yield "double-double, log_softmax", partial(log_softmax, logits.model), SMALL
    yield "double-double, gradient by logits", partial(gradient, logits, Side.MODEL), SMALL


def seconds(work: Callable[[], object]) -> float:
    """Return the time that the work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Print the table."""
    compared = list(jobs())
    rounds = [[seconds(work) for _, work, _ in compared] for _ in range(ROUNDS)]
    taken = [statistics.median(times) for times in zip(*rounds, strict=True)]
    speeds = [math.prod(shape) / time / 1e6 for (_, _, shape), time in zip(compared, taken, strict=True)]
    for (name, _, _), million in zip(compared, speeds, strict=True):
        print(f"{name:52} {million:8.1f} Melem/s {million / speeds[0]:8.3f}")


if __name__ == "__main__":
    main()
