"""What became of a cell over versions and time, and since when it is broken."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

from kl_reports.runfile.records import Column, Fixed, Verdict
from kl_reports.versions import order


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run in the store.

    Parameters
    ----------
    number
        Its place in the order of ingestion.
    record
        Its id: the SHA-256 of the lines of its run file.
    path
        Where the run file lay when it was ingested.
    started, finished, suite, profile, seed, environment
        As in the run's header and footer, the environment as one list.
    planned, cells
        How many cells were planned, and how many there are.
    versions
        For each package or framework that its columns bear a version of, the versions, the oldest first.
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
        """The start of the record's id: what people type."""
        return self.record[:12]


@dataclass(frozen=True, slots=True)
class StoredVerdict:
    """One cell as one run judged it.

    Parameters
    ----------
    requirement, revision, problem_set
        What was asked: id and revision of the requirement, and the hash of its problems, empty where none was told.
    column
        Of whom.
    verdict, headroom, problems, detail, deviation, fixed
        As in :class:`kl_reports.runfile.records.Result`.
    run, number, started
        Id of the run, its place in the order of ingestion, and when its clock said that it began.
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
        """Whether the requirement held; None where nothing was judged."""
        return self.verdict.is_good if self.verdict.is_judged else None


@dataclass(frozen=True, slots=True)
class History:
    """One requirement asked of one implementation in every version: like with like, so of one revision and problem set.

    Parameters
    ----------
    judgements
        The oldest version first, and those of one version as they were ingested; clocks are not trusted.
    """

    judgements: tuple[StoredVerdict, ...]

    @property
    def versions(self) -> tuple[StoredVerdict, ...]:
        """For every version the judgement ingested last that says whether the requirement held."""
        last = {each.column.version: each for each in self.judgements if each.is_good is not None}
        return tuple(last.values())

    @property
    def turns(self) -> tuple[tuple[StoredVerdict, StoredVerdict], ...]:
        """Every pair of versions, one after the other, between which it broke or was mended."""
        return tuple((old, new) for old, new in pairwise(self.versions) if old.is_good != new.is_good)

    @property
    def first_bad(self) -> StoredVerdict | None:
        """The oldest version in which it is broken; what was asked before that held."""
        return next((each for each in self.versions if not each.is_good), None)

    @property
    def sentence(self) -> str:
        """What became of it, such as ``good in 2.10.0; broken between 2.11.0 and 2.12.0``."""
        told = self.versions
        if not told:
            return "nothing was judged"
        words = [
            f"{'fixed' if new.is_good else 'broken'} between {old.column.version} and {new.column.version}"
            for old, new in self.turns
        ]
        begin = f"{'good' if told[0].is_good else 'broken'} in {told[0].column.version}"
        if len(told) == 1:
            return f"{begin}, the only version judged"
        return "; ".join([begin, *words]) if words else f"{begin}, and in all after it"


def histories(judgements: Iterable[StoredVerdict]) -> list[History]:
    """Return judgements as histories, each of what can be compared."""
    groups: dict[tuple[object, ...], list[StoredVerdict]] = {}
    for each in judgements:
        column = each.column
        key = (
            *(each.requirement, column.implementation, column.device, column.dtype, column.mode),
            *(each.revision, each.problem_set),
        )
        groups.setdefault(key, []).append(each)
    return [
        History(tuple(sorted(group, key=lambda each: (order(each.column.version), each.number))))
        for group in groups.values()
    ]
