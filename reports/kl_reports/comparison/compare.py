"""Two runs compared, cell by cell: each cell in one bucket with the reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kl_reports.analysis.wording import listed
from kl_reports.comparison.change import Bucket, Change, Key, versionless
from kl_reports.comparison.classify import Bucketing
from kl_reports.runfile.records import Result, Run


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the environment that is not the same; empty text where a run has none."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs and what became of each cell."""

    old: Run
    new: Run
    environment: tuple[Difference, ...]
    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = field(default=())

    def of(self, bucket: Bucket) -> tuple[Change, ...]:
        """Return the cells of one bucket."""
        return tuple(change for change in self.changes if change.bucket is bucket)

    @property
    def counts(self) -> Mapping[Bucket, int]:
        """How many cells are in each bucket, empty ones left out, the gravest first."""
        every = {bucket: len(self.of(bucket)) for bucket in Bucket}
        return {bucket: number for bucket, number in every.items() if number}


class IncomparableError(ValueError):
    """Two runs of which no cell can be held against the other's; the message says why, and what to do."""


Cells = Mapping[tuple[str, Key], Result]


def compare(old: Run, new: Run) -> Comparison:
    """Hold two runs against each other, by what is recorded alone.

    Raises
    ------
    IncomparableError
        They share no column apart from the version, a run holds one column in two versions, or no requirement
        asked the same problems.
    """
    before, after = (_cells(run) for run in (old, new))
    if not {key for _, key in before} & {key for _, key in after}:
        raise IncomparableError(
            f"nothing to compare: the old run asked {_asked(old)}, the new one {_asked(new)}; "
            "compare runs of the same implementations, devices, dtypes and modes"
        )
    bucketing = Bucketing(old, new)
    columns = {versionless(column): column for run in (old, new) for column in run.header.columns.values()}
    changes = [
        Change(requirement, columns[key], was, now, *bucketing.of(was, now))
        for requirement, key in dict.fromkeys((*after, *before))
        for was, now in [(before.get((requirement, key)), after.get((requirement, key)))]
    ]
    both = [change for change in changes if change.old and change.new]
    if all(change.bucket is Bucket.SUITE_CHANGED for change in both):
        raise IncomparableError(
            f"no cell asked the same problems: the old run is of kl-conformance {old.header.suite}, profile "
            f"{old.header.profile}, the new one of {new.header.suite}, profile {new.header.profile}; run both "
            "versions with one suite and one profile"
        )
    return Comparison(old, new, differences(old, new), tuple(changes), (*_cut(old, "old"), *_cut(new, "new")))


def differences(old: Run, new: Run) -> tuple[Difference, ...]:
    """Return what differs between the environments of two runs, the suite, profile and seed among it."""
    before, after = (
        {
            **run.header.described,
            "kl-conformance": run.header.suite,
            "profile": run.header.profile,
            "seed": str(run.header.seed),
        }
        for run in (old, new)
    )
    names = dict.fromkeys((*before, *after))
    pairs = (Difference(name, before.get(name, ""), after.get(name, "")) for name in names)
    return tuple(pair for pair in pairs if pair.old != pair.new)


def _cut(run: Run, which: str) -> Iterator[str]:
    if run.finished is None:
        yield f"The {which} run was cut off: cells it did not reach cannot be compared."


def _cells(run: Run) -> Cells:
    """Return results by requirement and column, whatever the version.

    Raises
    ------
    IncomparableError
        Two columns differ in their version alone.
    """
    versions: dict[Key, str] = {}
    for column in run.header.columns.values():
        other = versions.setdefault(versionless(column), column.version)
        if other != column.version:
            raise IncomparableError(
                f"one run holds {column.implementation} {other} and {column.version}; compare runs of one "
                "version each"
            )
    columns = run.header.columns
    return {
        (result.requirement, versionless(columns[result.column])): result
        for result in run.results
        if result.column in columns
    }


def _asked(run: Run) -> str:
    names = dict.fromkeys(
        f"{column.implementation} {column.version} ({column.device}, {column.dtype}, {column.mode})"
        for column in run.header.columns.values()
    )
    return listed(list(names), 3)
