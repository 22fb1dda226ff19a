"""Separation study: with the tolerances, correct kernels pass and faulty kernels fail.

Run ``python conformance/studies/separation/study.py`` (needs torch, JAX and TensorFlow), or ``tox -e separation``. The
table is printed and written to ``separation.md`` beside this file; ``--quick`` runs NumPy alone and writes nothing.
"""

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
    str(Path(__file__).resolve().parents[3] / folder) for folder in ("conformance", "cases", "reports", "reference")
)

from kl_conformance import processes
from kl_conformance.implementations.registry import installed_version
from kl_reference import Reduction
from studies.separation.agreement import Agreement, Size, agree
from studies.separation.detection import (
    PEERS,
    DetectionRate,
    ProblemSet,
    battery,
    compare,
    detect,
    everyday,
    exact_sum,
    ladder,
)
from studies.separation.kernels import Kernel, correct_kernels, faulty_kernels

HERE = Path(__file__).resolve()
TABLE = HERE.with_name("separation.md")
EVERYDAY = ("dirichlet-flat", "power-law", "peaked-logits")


@dataclass(frozen=True, slots=True)
class Plan:
    """Size of the study."""

    frameworks: tuple[str, ...]  # tested for false alarms
    sizes: tuple[Size, ...]  # rows and classes drawn from each family
    tests: int  # of each fault
    ladders: tuple[int, ...]  # numbers of classes, as for the exact sums
    exact_sums: tuple[int, ...]
    contrast: int  # number of classes of the exact sum on which the peers' defaults are tested, too
    rows: dict[int, int]  # drawn from each everyday family, by number of classes


FULL = Plan(
    frameworks=("numpy", "torch", "jax", "tensorflow"),
    sizes=((256, 31), (128, 128), (32, 1000), (8, 4097), (2, 32003), (1, 131072)),
    tests=100,
    ladders=(31, 33, 127, 1023),
    exact_sums=(64, 1000, 1025, 4097, 32003, 131072),
    contrast=32003,
    rows={128: 200, 32003: 20},
)
QUICK = Plan(
    frameworks=("numpy",),
    sizes=((64, 31), (8, 1000)),
    tests=20,
    ladders=(31, 33),
    exact_sums=(64, 1025, 32003),
    contrast=1025,
    rows={128: 20},
)


@dataclass(frozen=True, slots=True)
class Contrast:
    """Shares of problems in which a kernel's answers are rejected: by our judge, then by each of the peers."""

    kernel: str
    shares: dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class Study:
    """All measurements of the study."""

    plan: Plan
    agreements: tuple[Agreement, ...]
    rates: tuple[DetectionRate, ...]
    contrasts: tuple[Contrast, ...]


def study(plan: Plan) -> Study:
    """Measure everything."""
    with ThreadPoolExecutor(2) as pool:
        found = pool.map(partial(measure_agreement, plan), plan.frameworks)
        rates, contrasts = _rates(plan), _contrasts(plan)
        agreements = tuple(agreement for each in found for agreement in each)
    return Study(plan, agreements, rates, contrasts)


def measure_agreement(plan: Plan, framework: str) -> list[Agreement]:
    """Measure a framework in a child process of its own, NumPy in this process."""
    if framework == "numpy":
        return list(agree(framework, plan.sizes))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "agreements.json"
        subprocess.run(
            [sys.executable, str(HERE), "--framework", framework, str(file)], env=processes.environment(), check=True
        )
        return [Agreement(**each) for each in json.loads(file.read_text(encoding="utf-8"))]


def _rates(plan: Plan) -> tuple[DetectionRate, ...]:
    tests = battery(plan.tests, plan.ladders, plan.exact_sums)
    return tuple(detect(kernel, tests) for kernel in faulty_kernels())


def _contrasts(plan: Plan) -> tuple[Contrast, ...]:
    sets: dict[str, list[ProblemSet]] = {
        f"ladder {plan.ladders[0]}, terms": [ladder(plan.tests, plan.ladders[0])],
        f"exact-sum {plan.contrast}, rows": [exact_sum(plan.tests, plan.contrast)],
    }
    for judged, word in ((Reduction.TERMS, "terms"), (Reduction.ROWS, "rows")):
        for classes, rows in plan.rows.items():
            everyday_sets = [everyday(family, rows, classes, judged) for family in EVERYDAY]
            sets[f"everyday {classes}, {word}"] = everyday_sets
    kernels: list[Kernel] = [*correct_kernels(), *faulty_kernels()]
    return tuple(
        Contrast(kernel.name, {name: compare(kernel, own) for name, own in sets.items()}) for kernel in kernels
    )


def table(measured: Study) -> str:
    """Return the measurements as a page of Markdown."""
    sections = (_agreement_section, _detection_section, _contrast_section)
    return "\n\n".join([_head(measured.plan), *(section(measured) for section in sections)]) + "\n"


def _head(plan: Plan) -> str:
    packages = ("numpy", "torch", "jax", "tensorflow") if len(plan.frameworks) > 1 else ("numpy",)
    versions = ", ".join(f"{name} {installed_version(name)}" for name in packages)
    return (
        "# Separation: correct kernels pass, faulty kernels fail\n\n"
        "Made by `python conformance/studies/separation/study.py`; do not edit. "
        f"{platform.machine()}, Python {platform.python_version()}, {versions}."
    )


def _agreement_section(measured: Study) -> str:
    """Return the section on errors of correct implementations."""
    each = measured.agreements
    count = {word: sum(one.count for one in each if one.judged == word) for word in ("terms", "rows")}
    false = sum(one.violations for one in each)
    header = (
        "implementation", "dtype", "judged", "answers", "outside tolerance", "excused", "median", "p99", "max",
        "problem of the max",
    )  # fmt: skip
    rows = [
        (
            one.implementation, one.dtype, one.judged, f"{one.count:,}", f"{one.violations}", f"{one.excused}",
            f"{one.median:.3f}", f"{one.p99:.3f}", f"{one.largest:.3f}", one.worst,
        )
        for one in each
    ]  # fmt: skip
    return (
        "## No false alarms\n\n"
        f"{count['terms']:,} terms and {count['rows']:,} sums of rows, judged with the declared profiles: "
        f"**{false} outside the tolerance**. The last columns are of error ÷ tolerance. "
        "Excused: answers that correctly overflowed or were flushed to zero; not in the other columns.\n\n"
        f"{_markdown(header, rows)}"
    )


def _detection_section(measured: Study) -> str:
    """Return the section on the detection of faults."""
    plan = measured.plan
    header = (
        "fault", *(f"ladder {n}" for n in plan.ladders), *(f"exact-sum {n}" for n in plan.exact_sums), "together",
        "always detected by",
    )  # fmt: skip
    rows = [
        (rate.fault, *map(_percent, (*rate.ladders, *rate.exact_sums)), f"**{_percent(rate.together)}**", rate.detector)
        for rate in measured.rates
    ]
    return (
        "## Every fault is detected\n\n"
        f"Kernels in NumPy float32 with one fault each, in {plan.tests} tests: a ladder of each size, judged "
        "term by term, and an exact sum of each size, in which no error is allowed. "
        "Figures: share of tests, in percent, that detect the fault. "
        "(There is no tail of n mod 32 where n is a multiple of 32.)\n\n"
        f"{_markdown(header, rows)}"
    )


def _contrast_section(measured: Study) -> str:
    """Return the section on the peers' defaults for the same answers."""
    names = list(measured.contrasts[0].shares)
    rows = [
        (each.kernel, *(" · ".join(map(_percent, each.shares[name])) for name in names)) for each in measured.contrasts
    ]
    peers = "\n".join(
        f"{number}. `{peer.name}`: rtol {peer.rtol:g}, atol {peer.atol:g} ([defaults]({peer.source}))"
        for number, peer in enumerate(PEERS, 2)
    )
    return (
        "## Default tolerances of other tools\n\n"
        "Share of problems, in percent, in which the same answers are rejected by\n\n"
        f"1. our tolerance\n{peers}\n\n"
        f"Everyday: rows of {', '.join(EVERYDAY)}. Correct kernels should never be rejected.\n\n"
        f"{_markdown(('fault', *names), rows)}"
    )


def _percent(share: float) -> str:
    """Return a share in whole percent; only 0.0 is shown as 0 and only 1.0 as 100."""
    return str(round(100 * share)) if share in {0.0, 1.0} else str(min(99, max(1, round(100 * share))))


def _markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main() -> None:
    """Print the table, or write the agreements of one framework to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="NumPy alone, in few sizes; writes no file")
    parser.add_argument("--framework", nargs=2, metavar=("FRAMEWORK", "FILE"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.framework:
        framework, file = given.framework
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
