"""Cost of verifying a kernel at its production size, as a multiple of the kernel's own time.

Run ``python conformance/studies/cost_at_size.py [ROWSxCLASSES]`` (needs torch). Everything runs in one process and one
thread, alternately; the smallest time of each is reported.
"""

import importlib
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.extend(
    str(Path(__file__).resolve().parents[2] / folder) for folder in ("conformance", "cases", "reports", "reference")
)

from kl_cases.recipes import Recipe, TestProfile, build
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.harness.opening import open_subject
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.chapters import layouts_sizes
from kl_conformance.runs.selection import columns_of, parse_shape
from kl_reference.answer import answer
from kl_reference.convention import Reduction
from kl_reference.dtype import Dtype

REQUIREMENT, ROUNDS = "layouts/used-at", 3


def timed(step: Callable[[], Any]) -> float:
    """Return the seconds of one call."""
    began = time.perf_counter()
    step()
    return time.perf_counter() - began


def main(size: tuple[int, int]) -> None:
    """Print the ratio and its parts."""
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    kernel = replace(loading.implementation("torch.nn.functional.kl_div"), typical_shape=size)
    (column,) = (each for each in columns_of(kernel) if (each.device, each.dtype) == ("cpu", "float32"))
    subject = open_subject(kernel, column)
    assert isinstance(subject, Subject), subject
    modules = subject.modules
    requirement = catalogue.requirement(REQUIREMENT)
    pair = build(Recipe(requirement.families[0], requirement.shapes[0], Dtype.FLOAT32, 0))
    _, terms = layouts_sizes.vector_and_windows(subject, pair, size)
    summed = replace(terms, reduction=Reduction.SUM)
    call = subject.build_call(terms)
    calls = [call, replace(call, reduction="sum")]

    def verified() -> None:
        result = Cell(requirement, subject, effort_of(requirement, subject, TestProfile.QUICK), 0).evaluate()
        assert result.verdict.name == "PASS", result.detail

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    kernels = [lambda call=call: kernel.call(modules, call) for call in calls]
    rounds = [[timed(verified), *map(timed, kernels), timed(lambda: answer(summed))] for _ in range(ROUNDS)]
    whole, one, other, reference = map(min, zip(*rounds, strict=True))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"{size[0]:,} × {size[1]:,} float32, one thread, the best of {ROUNDS} rounds")
    print(f"  the kernel, every term {one:6.2f} s; summed {other:6.2f} s")
    print(f"  the reference, one pass {reference:5.2f} s")
    print(
        f"  the whole cell         {whole:6.2f} s = {(whole - reference) / (one + other):.2f} × the kernel + the pass"
    )
    print(f"  memory {before / 2**20:.1f} GiB with the inputs, {peak / 2**20:.1f} GiB at most")


if __name__ == "__main__":
    main(parse_shape(sys.argv[1] if len(sys.argv) > 1 else "2048x131072") or (1, 1))
