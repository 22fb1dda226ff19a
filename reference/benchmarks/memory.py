"""Measures the memory that judging a huge answer needs beyond its inputs.

Run ``python reference/benchmarks/memory.py [ROWS CLASSES]`` (Linux; by default 8192 × 131072 in float32, whose two
inputs are 4 GiB each). Every reduction is judged in its own process, because the peak memory of a process never falls.
"""

import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_reference import Dtype, Operand, Problem, Profile, Reduction, Space, answer, tolerance

FULL = (8192, 131_072)
MIB = 2**20

Float32 = NDArray[np.float32]


def inputs(rows: int, classes: int) -> tuple[Float32, Float32]:
    """Return p and log q, created row by row, so that no temporary array is larger than a row."""
    rng = np.random.default_rng(0)
    p, log_q = (np.empty((rows, classes), dtype=np.float32) for _ in range(2))
    for p_row, q_row in zip(p, log_q, strict=True):
        p_row[:] = rng.uniform(0.01, 1.0, classes)
        q_row[:] = np.log(rng.uniform(0.01, 1.0, classes))
    return p, log_q


def float32_answer(p: Float32, log_q: Float32, reduction: Reduction) -> NDArray[np.float64]:
    """Return the answer under test: float32, row by row."""
    rows = [np.sum(p_row * (np.log(p_row) - q_row)) for p_row, q_row in zip(p, log_q, strict=True)]
    got = np.array(rows, dtype=np.float32)
    return np.asarray(got if reduction is Reduction.ROWS else np.sum(got), dtype=np.float64)


def resident() -> int:
    """Return the number of bytes of this process that are in memory now."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()


def judge(rows: int, classes: int, reduction: Reduction) -> None:
    """Judge one answer, and print the time and the increase of the memory in use."""
    p, log_q = inputs(rows, classes)
    got = float32_answer(p, log_q, reduction)
    # Not Operand.of, which would copy the arrays.
    target, model = Operand(p, Space.PROBABILITY, Dtype.FLOAT32), Operand(log_q, Space.LOG, Dtype.FLOAT32)
    problem = Problem(target, model, reduction=reduction)
    before, start = resident(), time.perf_counter()
    truth = answer(problem)
    allowed = tolerance(problem, truth, Profile.of(Dtype.FLOAT32)).total
    used = float(np.max(np.abs(truth.error(got)) / allowed))
    taken, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{reduction.name:5} {rows} × {classes}: {taken:.1f} s, {(peak - before) / MIB:.1f} MiB beyond the "
        f"{(p.nbytes + log_q.nbytes) / MIB:.0f} MiB of the inputs; NumPy's float32 is at {used:.2g} of its tolerance"
    )


def main() -> None:
    """Judge each reduction in its own process."""
    *named, rows, classes = sys.argv[1:] or map(str, FULL)
    if named:
        judge(int(rows), int(classes), Reduction[named[0]])
        return
    for reduction in (Reduction.ROWS, Reduction.SUM):
        subprocess.run([sys.executable, __file__, reduction.name, rows, classes], check=True)


if __name__ == "__main__":
    main()
