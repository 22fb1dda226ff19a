"""CPU time of the suite by part and framework, and its growth with requirements, columns and classes.

Run ``python conformance/benchmarks/suite_time.py [FRAMEWORK…] [--profile standard] [--dtype float32] [--markdown]``.
By default: every installed framework, the dtypes of the quick profile (half an hour). Figures are CPU seconds of a
worker process including its start; other load on the machine changes them little, shares and growth even less.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[2] / house) for house in ("conformance", "cases", "reports", "reference")
)

from kl_conformance_testkit.profiling import Measurement, Workload, measure
from kl_conformance_testkit.stopwatch import Part

FRAMEWORKS = ("torch", "tensorflow", "jax", "scipy")
FRACTIONS, COLUMNS, CLASSES = (8, 4, 2, 1), (1, 2, 4), (4, 64, 1024, 16384)
Rows = Iterable[Sequence[str]]


def worker_options(name: str, profile: str, dtypes: Sequence[str]) -> tuple[str, ...]:
    """Return the options of a worker of one framework; the device is the CPU, which every machine has."""
    return (f"--framework={name}", f"--profile={profile}", "--device=cpu", *(f"--dtype={each}" for each in dtypes))


def shares(measurements: dict[str, Measurement]) -> Iterator[Sequence[str]]:
    """Yield the table of a worker's time by part, a row for each framework."""
    yield "", "cells", "CPU s", "problems/s", *(part.value for part in Part)
    for name, measured in measurements.items():
        parts = (f"{measured.shares[part.value]:.0%}" for part in Part)
        speed = measured.problems / measured.total
        yield name, str(measured.cells), f"{measured.total:.1f}", f"{speed:.0f}", *parts


def growth(workers: dict[str, tuple[str, ...]], whole: dict[str, Measurement]) -> Iterator[Sequence[str]]:
    """Yield the table of CPU seconds without imports, by the number of requirements (one column) and of columns."""
    yield "", "requirements", "columns", "cells", "CPU s without imports", "ms a cell"
    for name, options in workers.items():
        steps = [Workload(options, every, 1) for every in FRACTIONS]
        steps += [Workload(options, 1, count) for count in COLUMNS[1:] if count < whole[name].columns]
        for measured in (*map(measure, steps), whole[name]):
            counts = (str(each) for each in (measured.requirements, measured.columns, measured.cells))
            remaining = measured.total - measured.seconds[Part.IMPORTS.value]
            yield name, *counts, f"{remaining:.1f}", f"{1000 * remaining / max(measured.cells, 1):.0f}"


def by_classes(measurements: dict[str, Measurement]) -> Iterator[Sequence[str]]:
    """Yield the table of milliseconds per problem, by its number of classes."""
    parts = [part for part in Part if part is not Part.IMPORTS]
    yield "", "classes", "ms a problem", *(part.value for part in parts)
    for name, measured in measurements.items():
        for count, seconds in measured.classes.items():
            each = (f"{1000 * seconds[part.value]:.2f}" for part in parts)
            yield name, count, f"{1000 * sum(seconds.values()):.2f}", *each


def show(title: str, rows: Rows, *, markdown: bool) -> None:
    """Print a table whose first row is its header."""
    head, *body = (list(map(str, row)) for row in rows)
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    ruled = [head, ["-" * width for width in widths], *body] if markdown else [head, *body]
    start, between, end = ("| ", " | ", " |") if markdown else ("", "  ", "")
    print(f"\n{title}\n" if markdown else f"\n{title}")
    for row in ruled:
        padded = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(f"{start}{between.join(padded)}{end}".rstrip())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="CPU time of the suite by part")
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=", ".join(FRAMEWORKS))
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--dtype", action="append", default=[])
    parser.add_argument("--markdown", action="store_true")
    arguments = parser.parse_args()
    names = arguments.frameworks or [name for name in FRAMEWORKS if find_spec(name) is not None]
    workers = {name: worker_options(name, arguments.profile, arguments.dtype) for name in names}
    try:
        whole = {name: measure(Workload(each, classes=CLASSES)) for name, each in workers.items()}
    except RuntimeError as error:
        raise SystemExit(f"no measurement: {error}") from None
    show(f"Profile {arguments.profile}: a worker's time", shares(whole), markdown=arguments.markdown)
    show("A problem of values/pointwise", by_classes(whole), markdown=arguments.markdown)
    show("Growth", growth(workers, whole), markdown=arguments.markdown)


if __name__ == "__main__":
    main()
