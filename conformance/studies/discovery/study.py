"""Discovery study: the number of examples within which 95 of 100 seeds detect each class of bug.

Run ``python conformance/studies/discovery/study.py``, or ``tox -e discovery``. The table is printed and written to
``discovery.md`` beside this file; ``--seeds 20`` runs fewer seeds and writes nothing.
"""

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / folder) for folder in ("conformance", "cases", "reports", "reference")
)

from rich.console import Console
from rich.progress import track

from kl_cases.flags import FLAGS
from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import DRAWS
from kl_conformance.cells.search import search
from kl_conformance.errors import RefusedError
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations.registry import installed_version
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.requirement import FaultSource
from kl_conformance_testkit.subjects import subject
from kl_reference import Dtype
from studies.discovery.faults import FAULTS, Fault

TABLE = Path(__file__).with_name("discovery.md")
SEEDS = 100
SHARE = 0.95
PROFILE = TestProfile.STANDARD
MOST = DRAWS[FaultSource.VALUES][TestProfile.THOROUGH]
HEADER = ("flag", "class of bug", "faulty implementation", "detected by", "drawn", "examples")


@dataclass(frozen=True, slots=True)
class Discovery:
    """For each seed, the number of the first example that detects a fault; None if no example does."""

    fault: Fault
    first: tuple[int | None, ...]

    @property
    def within(self) -> int | None:
        """Examples within which 95 of 100 seeds detect the fault, or None."""
        place = math.ceil(SHARE * len(self.first)) - 1
        return sorted(self.first, key=lambda each: math.inf if each is None else each)[place]


def discover(fault: Fault, seeds: Iterable[int], most: int = MOST) -> Discovery:
    """Search for a fault with each seed, among at most ``most`` drawn examples, without corpus and grid."""
    tested = subject(fault.miniature, fault.dtype)
    return Discovery(fault, tuple(_first(fault, tested, seed, most) for seed in seeds))


def _first(fault: Fault, tested: Subject, seed: int, most: int) -> int | None:
    """Return the number of the first example that detects the fault, or None."""
    requirement = catalogue.requirement(fault.requirement)
    shapes = requirement.shapes or requirement.palette[PROFILE]
    detections: list[bool] = []

    def fails(pair: Pair) -> bool:
        try:
            detections.append(any(judgement.is_failure for judgement in requirement.check(tested, pair)))
        except RefusedError:
            detections.append(True)
        return detections[-1]

    search(requirement, Dtype.named(fault.dtype), shapes, most, seed, fails)
    return detections.index(True) + 1 if True in detections else None


def table(discoveries: Sequence[Discovery]) -> str:
    """Return the page of Markdown, with a row for each flag."""
    seeds = len(discoveries[0].first)
    versions = ", ".join(f"{name} {installed_version(name)}" for name in ("hypothesis", "numpy"))
    lines = [HEADER, ["---"] * len(HEADER), *map(_row, discoveries)]
    return (
        "# Discovery: examples that the search needs for each class of bug\n\n"
        f"Made by `python conformance/studies/discovery/study.py`; do not edit. {versions}.\n\n"
        "One faulty implementation for each flag of the corpus, and the requirement that must detect it. The search "
        f"runs alone, without corpus and grid, in the shapes of the {PROFILE.value} profile. Column *drawn* is the "
        "number of examples that this profile draws; column *examples* is the number within which "
        f"{math.ceil(SHARE * seeds)} of {seeds} seeds detect the fault.\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + "\n"
    )


def _row(found: Discovery) -> tuple[str, ...]:
    fault = found.fault
    within = f"more than {MOST}" if found.within is None else str(found.within)
    description = fault.description.replace("|", "\\|")
    drawn = DRAWS[catalogue.requirement(fault.requirement).fault_source][PROFILE]
    return (fault.flag, FLAGS[fault.flag], description, fault.requirement, str(drawn), within)


def recorded_figures() -> Mapping[str, int]:
    """Return the figures of ``discovery.md`` by flag, without flags that have none."""
    rows = [line.strip("| \n").split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return {row[0]: int(row[-1]) for row in rows if row[0] in FLAGS and row[-1].isdecimal()}


def study(seeds: int) -> Iterator[Discovery]:
    """Yield the discovery of each fault, over ``seeds`` seeds."""
    for fault in track(FAULTS, "Searching", console=Console(stderr=True)):
        yield discover(fault, range(seeds))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="number of seeds; with fewer than 100 no file is written"
    )
    given = parser.parse_args()
    start = time.perf_counter()
    page = table(list(study(given.seeds)))
    print(page, end="")
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    if given.seeds >= SEEDS:
        TABLE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
