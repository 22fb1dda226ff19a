"""History of a cell over versions, and the version since which it fails."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from kl_reports.runfile.records import Column, Fixed, Verdict
from kl_reports.versions import sort_key


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run in the store, with its header and footer; the environment as one list.

    ``number`` is its position in the order of ingestion; ``record`` its full id, the SHA-256 of the lines of the run
    file; ``path`` that of the file at ingestion; ``planned`` and ``cells`` are the numbers of planned cells and of all
    cells; ``versions`` those of each package and framework of its columns, the oldest first.
    """

    number: int
    record: str
    path: str
    started: str
    finished: str | None
    suite: str
    profile: str
    seed: int
    planned: int
    cells: int
    environment: Mapping[str, str]
    versions: Mapping[str, tuple[str, ...]]

    @property
    def id(self) -> str:
        """The start of ``record``, for the command line."""
        return self.record[:12]


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """The result of one cell in one run, with fields of :class:`kl_reports.runfile.records.Result`.

    ``problem_set`` is the hash of the requirement's fixed problems, empty if the run file has none. ``run``, ``number``
    and ``started`` are the id of the run, its position in the order of ingestion, and its start by its clock.
    """

    requirement: str
    revision: int
    problem_set: str
    column: Column
    verdict: Verdict
    headroom: float | None
    problems: int
    detail: str
    deviation: str | None
    fixed: Fixed | None
    run: str
    number: int
    started: str

    @property
    def cell(self) -> str:
        """``requirement@column``."""
        return f"{self.requirement}@{self.column.key}"

    @property
    def is_good(self) -> bool | None:
        """Whether the requirement passed; None if it was not judged."""
        return self.verdict.is_good if self.verdict.is_judged else None


@dataclass(frozen=True, slots=True)
class History:
    """Comparable results of one cell in all versions: of one requirement revision and one problem set.

    The oldest version comes first, results of one version are in order of ingestion; clocks are ignored.
    """

    verdicts: tuple[StoredVerdict, ...]

    @property
    def versions(self) -> tuple[StoredVerdict, ...]:
        """The result ingested last of each version in which the requirement was judged."""
        last = {each.column.version: each for each in self.verdicts if each.is_good is not None}
        return tuple(last.values())

    @property
    def transitions(self) -> tuple[tuple[StoredVerdict, StoredVerdict], ...]:
        """Each pair of successive versions of which only one passed."""
        return tuple((old, new) for old, new in pairwise(self.versions) if old.is_good != new.is_good)

    @property
    def first_failed(self) -> StoredVerdict | None:
        """The result in the oldest version that failed."""
        return next((each for each in self.versions if not each.is_good), None)

    @property
    def sentence(self) -> str:
        """The history as text, such as ``passed in 2.10.0; regressed between 2.11.0 and 2.12.0``."""
        versions = self.versions
        if not versions:
            return "nothing was judged"
        start = f"{'passed' if versions[0].is_good else 'failed'} in {versions[0].column.version}"
        if len(versions) == 1:
            return f"{start}, the only version judged"
        changes = [
            f"{'fixed' if new.is_good else 'regressed'} between {old.column.version} and {new.column.version}"
            for old, new in self.transitions
        ]
        return "; ".join([start, *changes]) if changes else f"{start}, and in all later versions"


def histories(verdicts: Iterable[StoredVerdict]) -> list[History]:
    """Group results into histories, each of comparable results."""
    groups: dict[tuple[object, ...], list[StoredVerdict]] = {}
    for each in verdicts:
        column = each.column
        key = (
            *(each.requirement, column.implementation, column.device, column.dtype, column.mode),
            *(each.revision, each.problem_set),
        )
        groups.setdefault(key, []).append(each)
    return [
        History(tuple(sorted(group, key=lambda each: (sort_key(each.column.version), each.number))))
        for group in groups.values()
    ]
