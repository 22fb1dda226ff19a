"""What the suite's time goes on, framework by framework, and how it grows with requirements, columns and classes.

Run ``python conformance/benchmarks/suite_time.py [FRAMEWORK…] [--profile standard] [--dtype float32] [--markdown]``; all of
quick's dtypes for every framework installed take half an hour. Every figure is of a worker's own process, its start
included, in CPU seconds: what else the machine does moves them little, and shares and growth less.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[2] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from kl_conformance_testkit.profiling import Measured, Question, measure
from kl_conformance_testkit.stopwatch import Part

FRAMEWORKS = ("torch", "tensorflow", "jax", "scipy")
FRACTIONS, COLUMNS, CLASSES = (8, 4, 2, 1), (1, 2, 4), (4, 64, 1024, 16384)
Rows = Iterable[Sequence[str]]


def options(name: str, profile: str, dtypes: Sequence[str]) -> tuple[str, ...]:
    """Return what a worker of one framework is told; on the CPU, which every machine has."""
    return (
        f"--framework={name}",
        f"--profile={profile}",
        "--device=cpu",
        *(f"--dtype={each}" for each in dtypes),
    )


def shares(found: dict[str, Measured]) -> Iterator[Sequence[str]]:
    """Yield what the time of a framework's whole worker went on."""
    yield "", "cells", "CPU s", "problems/s", *(part.value for part in Part)
    for name, measured in found.items():
        parts = (f"{measured.shares[part.value]:.0%}" for part in Part)
        speed = measured.problems / measured.total
        yield name, str(measured.cells), f"{measured.total:.1f}", f"{speed:.0f}", *parts


def growth(told: dict[str, tuple[str, ...]], whole: dict[str, Measured]) -> Iterator[Sequence[str]]:
    """Yield how CPU seconds beyond imports grow with requirements, in one column, and with columns."""
    yield "", "requirements", "columns", "cells", "CPU s beyond imports", "ms a cell"
    for name, asked in told.items():
        steps = [Question(asked, every, 1) for every in FRACTIONS]
        steps += [Question(asked, 1, count) for count in COLUMNS[1:] if count < whole[name].columns]
        for measured in (*map(measure, steps), whole[name]):
            counts = (str(each) for each in (measured.requirements, measured.columns, measured.cells))
            beyond = measured.total - measured.seconds[Part.IMPORTS.value]
            yield name, *counts, f"{beyond:.1f}", f"{1000 * beyond / max(measured.cells, 1):.0f}"


def by_classes(found: dict[str, Measured]) -> Iterator[Sequence[str]]:
    """Yield what one problem takes by its number of classes."""
    parts = [part for part in Part if part is not Part.IMPORTS]
    yield "", "classes", "ms a problem", *(part.value for part in parts)
    for name, measured in found.items():
        for count, seconds in measured.classes.items():
            each = (f"{1000 * seconds[part.value]:.2f}" for part in parts)
            yield name, count, f"{1000 * sum(seconds.values()):.2f}", *each


def show(title: str, rows: Rows, *, markdown: bool) -> None:
    """Print a table whose first row is its head."""
    head, *body = (list(map(str, row)) for row in rows)
    widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
    ruled = [head, ["-" * width for width in widths], *body] if markdown else [head, *body]
    left, between, right = ("| ", " | ", " |") if markdown else ("", "  ", "")
    print(f"\n{title}\n" if markdown else f"\n{title}")
    for row in ruled:
        padded = (
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        print(f"{left}{between.join(padded)}{right}".rstrip())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="what the suite's time goes on")
    parser.add_argument("frameworks", nargs="*", metavar="FRAMEWORK", help=", ".join(FRAMEWORKS))
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--dtype", action="append", default=[])
    parser.add_argument("--markdown", action="store_true")
    given = parser.parse_args()
    names = given.frameworks or [name for name in FRAMEWORKS if find_spec(name) is not None]
    told = {name: options(name, given.profile, given.dtype) for name in names}
    try:
        whole = {name: measure(Question(asked, classes=CLASSES)) for name, asked in told.items()}
    except RuntimeError as error:
        raise SystemExit(f"nothing was measured: {error}") from None
    show(f"Profile {given.profile}: a worker's time", shares(whole), markdown=given.markdown)
    show("A problem of values/pointwise", by_classes(whole), markdown=given.markdown)
    show("Growth", growth(told, whole), markdown=given.markdown)


if __name__ == "__main__":
    main()
