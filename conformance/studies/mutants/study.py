"""Which requirement stops which fault: every wrong kernel and every right one, tried.

Run ``python conformance/studies/mutants/study.py`` (needs torch, JAX and optax), or ``tox -e mutants``. The table is
printed and, where nobody is left out, kept in ``mutants.md`` beside this file; exit code 1 says that a wrong
kernel survived or a right one was accused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from rich.console import Console
from rich.progress import Progress

from kl_cases.recipes import TestProfile
from kl_conformance import host
from kl_reference.dtype import Dtype
from studies.mutants import catalogue as mutants
from studies.mutants.checkpoint import Kept
from studies.mutants.kernel import Right, Wrong
from studies.mutants.report import Matrix, page, record
from studies.mutants.runner import Plan, rulings

TABLE = Path(__file__).with_name("mutants.md")
DTYPES = ("float32", "float16", "float64", "bfloat16")


def chosen(names: Sequence[str], like: Sequence[str]) -> list[Wrong | Right]:
    """Return the kernels of these names, and like these implementations; all where nothing is named."""
    asked = [mutants.kernel(name) for name in names] or [
        *mutants.wrong().values(),
        *mutants.right().values(),
    ]
    return [kernel for kernel in asked if not like or kernel.like in like]


def tried(kernels: Sequence[Wrong | Right], plan: Plan, command: str, console: Console, kept: Kept) -> Matrix:
    """Try the kernels of which no ruling is kept, showing how far they are."""
    found = {kernel.name: kept.rulings[kernel.name] for kernel in kernels if kernel.name in kept.rulings}
    with Progress(console=console, auto_refresh=False, disable=not console.is_terminal) as progress:
        task = progress.add_task("tried", total=len(kernels))
        for ruling in rulings([kernel for kernel in kernels if kernel.name not in found], plan):
            kernel, stops = ruling.kernel, len(ruling.stops)
            found[kernel.name] = ruling
            kept.keep(ruling)
            progress.advance(task)
            progress.refresh()
            if (stops == 0) is isinstance(kernel, Wrong):
                said = (
                    "survived" if isinstance(kernel, Wrong) else f"was accused by {', '.join(ruling.stops)}"
                )
            else:
                said = f"stopped by {stops}" if stops else "held"
            text = f"{len(found)}/{len(kernels)} {kernel.name} {said} ({ruling.seconds:.0f} s)"
            console.print(text, highlight=False, markup=False, soft_wrap=True)
    ordered = tuple(found[kernel.name] for kernel in kernels)
    return Matrix(command, plan, ordered, sum(ruling.seconds for ruling in ordered) / plan.jobs)


def main() -> int:
    """Print the matrix; 1 where a wrong kernel survived or a right one was accused."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    profiles = [each.value for each in TestProfile]
    parser.add_argument(
        "--profile", choices=profiles, default="standard", help="how much is asked (%(default)s)"
    )
    parser.add_argument("--seeds", type=int, default=5, help="searches that right kernels meet (%(default)s)")
    parser.add_argument("--right", choices=profiles, help="how much right kernels are asked, if not as much")
    parser.add_argument("--dtype", nargs="+", choices=[each.label for each in Dtype], default=DTYPES)
    parser.add_argument("--only", nargs="+", default=[], metavar="KERNEL", help="try these; keep no table")
    parser.add_argument(
        "--like", nargs="+", default=[], metavar="NAME", help="try those like these; keep no table"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="kernels at a time (%(default)s)"
    )
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="keep rulings there, and take those that are there"
    )
    parser.add_argument("--no-more", action="store_true", help="try nobody: the table of what --resume holds")
    parser.add_argument("-o", "--output", type=Path, help="where to write the matrix as JSON")
    given = parser.parse_args()
    try:
        kernels = chosen(given.only, given.like)
    except ValueError as error:
        parser.error(str(error))
    os.environ.update(host.threads())
    with tempfile.TemporaryDirectory() as cache:
        # JAX compiles each operation for each shape: once, and not again for every kernel.
        os.environ.update(
            JAX_COMPILATION_CACHE_DIR=cache,
            JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
            JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES="-1",
        )
        return _main(given, kernels)


def _main(given: argparse.Namespace, kernels: Sequence[Wrong | Right]) -> int:
    right = TestProfile(given.right) if given.right else None
    plan = Plan(TestProfile(given.profile), tuple(range(given.seeds)), tuple(given.dtype), given.jobs, right)
    # Files are somebody's own.
    own = {str(given.resume), str(given.output), "--resume", "-o", "--output"}
    asked = [each for each in sys.argv[1:] if each not in own]
    command = " ".join(["python", "conformance/studies/mutants/study.py", *asked])
    kept = Kept(given.resume, plan)
    if given.no_more:
        kernels = [kernel for kernel in kernels if kernel.name in kept.rulings]
    matrix = tried(kernels, plan, command, Console(stderr=True), kept)
    text = page(matrix)
    print(text)
    if given.output:
        given.output.write_text(json.dumps(record(matrix), indent=1, ensure_ascii=False), encoding="utf-8")
    if not given.only and not given.like:
        TABLE.write_text(text, encoding="utf-8")
    return 1 if matrix.survivors or matrix.alarms or matrix.mistakes else 0


if __name__ == "__main__":
    sys.exit(main())
