"""Mutation study: which requirement detects which mutant, and whether any requirement rejects a correct kernel.

Run ``python conformance/studies/mutants/study.py`` (needs torch, JAX and optax), or ``tox -e mutants``. The table is
printed and, if no kernel is left out, written to ``mutants.md`` beside this file. The exit code is 1 if a mutant
survived or a correct kernel was rejected.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / folder) for folder in ("conformance", "cases", "reports", "reference")
)

from rich.console import Console
from rich.progress import Progress

from kl_cases.recipes import TestProfile
from kl_conformance import processes
from kl_reference.dtype import Dtype
from studies.mutants.catalogue import correct_kernels, kernel_named, mutants
from studies.mutants.checkpoint import Checkpoint
from studies.mutants.kernel import CorrectKernel, Mutant
from studies.mutants.report import KillMatrix, render, to_json
from studies.mutants.runner import Plan, run_all

TABLE = Path(__file__).with_name("mutants.md")
DTYPES = ("float32", "float16", "float64", "bfloat16")


def selected(names: Sequence[str], like: Sequence[str]) -> list[Mutant | CorrectKernel]:
    """Return the kernels of these names that follow these implementations; an empty list selects all."""
    kernels = [kernel_named(name) for name in names] or [*mutants().values(), *correct_kernels().values()]
    return [kernel for kernel in kernels if not like or kernel.like in like]


def tested(
    kernels: Sequence[Mutant | CorrectKernel], plan: Plan, command: str, console: Console, checkpoint: Checkpoint
) -> KillMatrix:
    """Test the kernels without a stored result, and show the progress."""
    found = {kernel.name: checkpoint.results[kernel.name] for kernel in kernels if kernel.name in checkpoint.results}
    with Progress(console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        task = progress.add_task("tested", total=len(kernels))
        for result in run_all([kernel for kernel in kernels if kernel.name not in found], plan):
            kernel, detections = result.kernel, len(result.detections)
            found[kernel.name] = result
            checkpoint.add(result)
            progress.advance(task)
            progress.refresh()
            if (detections == 0) is isinstance(kernel, Mutant):
                names = ", ".join(result.detections)
                outcome = "survived" if isinstance(kernel, Mutant) else f"rejected by {names}"
            else:
                outcome = f"detected by {detections}" if detections else "passed"
            text = f"{len(found)}/{len(kernels)} {kernel.name} {outcome} ({result.seconds:.0f} s)"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    ordered = tuple(found[kernel.name] for kernel in kernels)
    return KillMatrix(command, plan, ordered, sum(result.seconds for result in ordered) / plan.jobs)


def main() -> int:
    """Print the matrix; return 1 if a mutant survived or a correct kernel was rejected."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    profiles = [each.value for each in TestProfile]
    parser.add_argument("--profile", choices=profiles, default="standard", help="test profile (%(default)s)")
    parser.add_argument("--seeds", type=int, default=5, help="search seeds for correct kernels (%(default)s)")
    parser.add_argument("--correct", choices=profiles, help="test profile for correct kernels, if another")
    parser.add_argument("--dtype", nargs="+", choices=[each.label for each in Dtype], default=DTYPES)
    parser.add_argument("--only", nargs="+", default=[], metavar="KERNEL", help="test these kernels; writes no table")
    parser.add_argument(
        "--like", nargs="+", default=[], metavar="NAME", help="test kernels that follow these; writes no table"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="kernels tested at a time (%(default)s)")
    parser.add_argument("--resume", type=Path, metavar="FILE", help="store results in this file, and reuse those in it")
    parser.add_argument("--no-more", action="store_true", help="test no kernel: table of the results in --resume")
    parser.add_argument("-o", "--output", type=Path, help="where to write the matrix as JSON")
    given = parser.parse_args()
    try:
        kernels = selected(given.only, given.like)
    except ValueError as error:
        parser.error(str(error))
    os.environ.update(processes.thread_limits())
    with tempfile.TemporaryDirectory() as cache:
        # JAX compiles each operation for each shape once, not again for every kernel.
        os.environ.update(
            JAX_COMPILATION_CACHE_DIR=cache,
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
            JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
        )
        return _main(given, kernels)


def _main(given: argparse.Namespace, kernels: Sequence[Mutant | CorrectKernel]) -> int:
    correct = TestProfile(given.correct) if given.correct else None
    plan = Plan(TestProfile(given.profile), tuple(range(given.seeds)), tuple(given.dtype), given.jobs, correct)
    # Paths of output files are left out of the recorded command.
    own = {str(given.resume), str(given.output), "--resume", "-o", "--output"}
    options = [each for each in sys.argv[1:] if each not in own]
    command = " ".join(["python", "conformance/studies/mutants/study.py", *options])
    checkpoint = Checkpoint(given.resume, plan)
    if given.no_more:
        kernels = [kernel for kernel in kernels if kernel.name in checkpoint.results]
    matrix = tested(kernels, plan, command, Console(stderr=True), checkpoint)
    text = render(matrix)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(to_json(matrix), indent=1, ensure_ascii=False), encoding="utf-8")
    if not given.only and not given.like:
        TABLE.write_text(text, encoding="utf-8")
    return 1 if matrix.survivors or matrix.false_alarms or matrix.suite_errors else 0


if __name__ == "__main__":
    sys.exit(main())
