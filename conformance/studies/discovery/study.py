"""How soon the search finds each class of bug: the examples within which 95 of 100 seeds have hit it.

Run ``python conformance/studies/discovery/study.py``, or ``tox -e discovery``. The table is printed and kept in
``discovery.md`` beside this file; ``--seeds 20`` asks fewer seeds, and keeps nothing.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.extend(
    str(Path(__file__).resolve().parents[3] / house)
    for house in ("conformance", "cases", "reports", "reference")
)

from rich.console import Console
from rich.progress import track

from kl_cases.flags import FLAGS
from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance import catalogue
from kl_conformance.errors import RefusedError
from kl_conformance.registry import installed_version
from kl_conformance.requirement import VALUE_DRAWS
from kl_conformance.search import search
from kl_conformance.subject import Subject
from kl_conformance_testkit.subjects import subject
from kl_reference import Dtype
from studies.discovery.faults import FAULTS, Fault

TABLE = Path(__file__).with_name("discovery.md")
SEEDS = 100
SHARE = 0.95
PROFILE = TestProfile.STANDARD
MOST = VALUE_DRAWS[TestProfile.THOROUGH]
HEADER = ("flag", "what it is", "the wrong implementation", "found by", "drawn", "examples")


@dataclass(frozen=True, slots=True)
class Discovery:
    """When a fault was hit: for each seed the number of the example, or None where it never was."""

    fault: Fault
    first: tuple[int | None, ...]

    @property
    def within(self) -> int | None:
        """Examples within which 95 of 100 seeds have hit, or None."""
        place = math.ceil(SHARE * len(self.first)) - 1
        return sorted(self.first, key=lambda each: math.inf if each is None else each)[place]


def discover(fault: Fault, seeds: Iterable[int], most: int = MOST) -> Discovery:
    """Search for a fault from each seed, among at most so many examples: no corpus, no grid."""
    asked = subject(fault.sketch, fault.dtype)
    return Discovery(fault, tuple(_first(fault, asked, seed, most) for seed in seeds))


def _first(fault: Fault, asked: Subject, seed: int, most: int) -> int | None:
    """Return which example hits first, or None."""
    requirement = catalogue.requirement(fault.requirement)
    shapes = requirement.shapes or requirement.palette[PROFILE]
    hits: list[bool] = []

    def broken(pair: Pair) -> bool:
        try:
            hits.append(any(judgement.broken for judgement in requirement.check(asked, pair)))
        except RefusedError:
            hits.append(True)
        return hits[-1]

    search(requirement, Dtype.named(fault.dtype), shapes, most, seed, broken)
    return hits.index(True) + 1 if True in hits else None


def table(discoveries: Sequence[Discovery]) -> str:
    """Return the page: what was measured, and a row for each flag."""
    seeds = len(discoveries[0].first)
    versions = ", ".join(f"{name} {installed_version(name)}" for name in ("hypothesis", "numpy"))
    lines = [HEADER, ["---"] * len(HEADER), *map(_row, discoveries)]
    return (
        "# Discovery: how soon the search finds each class of bug\n\n"
        f"Made by `python conformance/studies/discovery/study.py`; do not edit. {versions}.\n\n"
        "One wrong implementation for each flag of the corpus, and the requirement that must find it. The search "
        f"alone is asked, without corpus and grid, in the shapes of the {PROFILE.value} profile (which draws "
        "as many examples as the last column but one says): the last column is the number of examples within which "
        f"{math.ceil(SHARE * seeds)} of {seeds} seeds have hit the fault.\n\n"
        + "\n".join(f"| {' | '.join(line)} |" for line in lines)
        + "\n"
    )


def _row(found: Discovery) -> tuple[str, ...]:
    fault = found.fault
    within = f"more than {MOST}" if found.within is None else str(found.within)
    words = fault.words.replace("|", "\\|")
    drawn = catalogue.requirement(fault.requirement).draws[PROFILE]
    return (fault.flag, FLAGS[fault.flag], words, fault.requirement, str(drawn), within)


def stated() -> Mapping[str, int]:
    """Return the figures of the page that is kept, by flag; a flag that has none is left out."""
    rows = [line.strip("| \n").split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    return {row[0]: int(row[-1]) for row in rows if row[0] in FLAGS and row[-1].isdecimal()}


def study(seeds: int) -> Iterator[Discovery]:
    """Yield what each fault took, over so many seeds."""
    for fault in track(FAULTS, "Searching", console=Console(stderr=True)):
        yield discover(fault, range(seeds))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--seeds", type=int, default=SEEDS, help="how many seeds; fewer than 100 are not kept"
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
