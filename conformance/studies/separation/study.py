"""Right kernels pass and wrong ones are stopped: the tolerances, measured.

Run ``python conformance/studies/separation/study.py`` (needs torch, JAX and TensorFlow), or ``tox -e separation``. The
table is printed and kept in ``separation.md`` beside this file; ``--quick`` asks NumPy alone, and keeps nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from kl_conformance import host
from kl_conformance.registry import installed_version
from kl_reference import Reduction
from studies.separation.agreement import Agreement, Size, agree
from studies.separation.detection import (
    PEERS,
    Line,
    Question,
    battery,
    compare,
    detect,
    everyday,
    ladder,
    probe,
)
from studies.separation.kernels import Kernel, kernels, right

HERE = Path(__file__).resolve()
TABLE = HERE.with_name("separation.md")
EVERYDAY = ("dirichlet-flat", "power-law", "peaked-logits")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is asked.

    Parameters
    ----------
    frameworks, sizes
        Who is asked for right answers, and for which.
    tests, ladders, probes
        How often a fault meets ladders and exact sums of so many classes.
    contrast
        The exact sum on which others' defaults are tried as well.
    rows
        How many rows of so many classes each everyday family gives.
    """

    frameworks: tuple[str, ...]
    sizes: tuple[Size, ...]
    tests: int
    ladders: tuple[int, ...]
    probes: tuple[int, ...]
    contrast: int
    rows: dict[int, int]


FULL = Plan(
    frameworks=("numpy", "torch", "jax", "tensorflow"),
    sizes=((256, 31), (128, 128), (32, 1000), (8, 4097), (2, 32003), (1, 131072)),
    tests=100,
    ladders=(31, 33, 127, 1023),
    probes=(64, 1000, 1025, 4097, 32003, 131072),
    contrast=32003,
    rows={128: 200, 32003: 20},
)
QUICK = Plan(
    frameworks=("numpy",),
    sizes=((64, 31), (8, 1000)),
    tests=20,
    ladders=(31, 33),
    probes=(64, 1025, 32003),
    contrast=1025,
    rows={128: 20},
)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The shares of problems in which a kernel's answers are refused: by us, then by each of the peers."""

    kernel: str
    shares: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Study:
    """All that was measured."""

    plan: Plan
    agreements: tuple[Agreement, ...]
    lines: tuple[Line, ...]
    contrasts: tuple[Contrast, ...]


def study(plan: Plan) -> Study:
    """Measure everything."""
    with ThreadPoolExecutor(2) as pool:
        asked = pool.map(partial(apart, plan), plan.frameworks)
        lines, contrasts = _lines(plan), _contrasts(plan)
        agreements = tuple(agreement for each in asked for agreement in each)
    return Study(plan, agreements, lines, contrasts)


def apart(plan: Plan, framework: str) -> list[Agreement]:
    """Ask a framework in a process of its own, NumPy in this one."""
    if framework == "numpy":
        return list(agree(framework, plan.sizes))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agreements.json"
        subprocess.run(
            [sys.executable, str(HERE), "--ask", framework, str(file)], env=host.environment(), check=True
        )
        return [Agreement(**each) for each in json.loads(file.read_text(encoding="utf-8"))]


def _lines(plan: Plan) -> tuple[Line, ...]:
    asked = battery(plan.tests, plan.ladders, plan.probes)
    return tuple(detect(kernel, asked) for kernel in kernels())


def _contrasts(plan: Plan) -> tuple[Contrast, ...]:
    asked: dict[str, list[Question]] = {
        f"ladder {plan.ladders[0]}, terms": [ladder(plan.tests, plan.ladders[0])],
        f"exact-sum {plan.contrast}, rows": [probe(plan.tests, plan.contrast)],
    }
    for judged, word in ((Reduction.TERMS, "terms"), (Reduction.ROWS, "rows")):
        for classes, rows in plan.rows.items():
            questions = [everyday(family, rows, classes, judged) for family in EVERYDAY]
            asked[f"everyday {classes}, {word}"] = questions
    everyone: list[Kernel] = [*right(), *kernels()]
    return tuple(
        Contrast(kernel.name, {name: compare(kernel, questions) for name, questions in asked.items()})
        for kernel in everyone
    )


def table(measured: Study) -> str:
    """Return what was measured as a page of Markdown."""
    sections = (_agreement_section, _detection_section, _contrast_section)
    return "\n\n".join([_head(measured.plan), *(section(measured) for section in sections)]) + "\n"


def _head(plan: Plan) -> str:
    packages = ("numpy", "torch", "jax", "tensorflow") if len(plan.frameworks) > 1 else ("numpy",)
    versions = ", ".join(f"{name} {installed_version(name)}" for name in packages)
    return (
        "# Separation: right kernels pass, wrong ones are stopped\n\n"
        "Made by `python conformance/studies/separation/study.py`; do not edit. "
        f"{platform.machine()}, Python {platform.python_version()}, {versions}."
    )


def _agreement_section(measured: Study) -> str:
    """Return how near right implementations come to the tolerance."""
    each = measured.agreements
    count = {word: sum(one.count for one in each if one.judged == word) for word in ("terms", "rows")}
    false = sum(one.violations for one in each)
    header = (
        "implementation", "dtype", "judged", "answers", "beyond tolerance", "excused", "median", "p99", "max",
        "where the max is",
    )  # fmt: skip
    rows = [
        (
            one.implementation, one.dtype, one.judged, f"{one.count:,}", f"{one.violations}", f"{one.excused}",
            f"{one.median:.3f}", f"{one.p99:.3f}", f"{one.largest:.3f}", one.worst,
        )
        for one in each
    ]  # fmt: skip
    return (
        "## No false alarm\n\n"
        f"{count['terms']:,} terms and {count['rows']:,} sums of rows, judged by the declared profiles: "
        f"**{false} beyond the tolerance**. The last columns are of error ÷ tolerance. "
        "Excused: overflowed or flushed to zero where that is right; not in the other columns.\n\n"
        f"{_markdown(header, rows)}"
    )


def _detection_section(measured: Study) -> str:
    """Return where each fault is stopped."""
    plan = measured.plan
    header = (
        "fault", *(f"ladder {n}" for n in plan.ladders), *(f"exact-sum {n}" for n in plan.probes), "together",
        "always stopped by",
    )  # fmt: skip
    rows = [
        (
            line.fault,
            *map(_percent, (*line.ladders, *line.probes)),
            f"**{_percent(line.together)}**",
            line.stopper,
        )
        for line in measured.lines
    ]
    return (
        "## Every fault is stopped\n\n"
        f"Kernels in NumPy float32 with one fault each, in {plan.tests} tests: a ladder of each size judged "
        "term by term, and an exact sum of each size, where no error is allowed. "
        "The share of tests, in percent, that stop the fault. "
        "(A tail of n mod 32 is none where n is a multiple of 32.)\n\n"
        f"{_markdown(header, rows)}"
    )


def _contrast_section(measured: Study) -> str:
    """Return what others' defaults make of the same answers."""
    names = list(measured.contrasts[0].shares)
    rows = [
        (each.kernel, *(" · ".join(map(_percent, each.shares[name])) for name in names))
        for each in measured.contrasts
    ]
    peers = "\n".join(
        f"{number}. `{peer.name}`: rtol {peer.rtol:g}, atol {peer.atol:g} ([defaults]({peer.source}))"
        for number, peer in enumerate(PEERS, 2)
    )
    return (
        "## Beside others' defaults\n\n"
        "The share of problems, in percent, in which the same answers are refused by\n\n"
        f"1. our tolerance\n{peers}\n\n"
        f"Everyday: rows of {', '.join(EVERYDAY)}. Kernels without a fault should never be refused.\n\n"
        f"{_markdown(('fault', *names), rows)}"
    )


def _percent(share: float) -> str:
    """Return a share in whole percent; only nothing is 0 and only all is 100."""
    return str(round(100 * share)) if share in {0.0, 1.0} else str(min(99, max(1, round(100 * share))))


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table, or answer for one framework."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="NumPy alone, in few sizes; nothing is kept")
    parser.add_argument("--ask", nargs=2, metavar=("FRAMEWORK", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        framework, file = given.ask
        agreements = [asdict(each) for each in agree(framework, FULL.sizes)]
        Path(file).write_text(json.dumps(agreements), encoding="utf-8")
        return
    start = time.perf_counter()
    page = table(study(QUICK if given.quick else FULL))
    print(page)
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if not given.quick:
        TABLE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
