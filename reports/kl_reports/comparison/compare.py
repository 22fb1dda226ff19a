"""Compares two runs cell by cell: each cell gets one bucket and a reason."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from kl_reports.analysis.wording import listed
from kl_reports.comparison.change import Bucket, Change, Key, versionless
from kl_reports.comparison.classify import Classifier
from kl_reports.runfile.records import Result, Run


@dataclass(frozen=True, slots=True)
class Difference:
    """An entry of the environment that differs; empty text where a run does not have it."""

    name: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs and the change of each cell."""

    old: Run
    new: Run
    environment: tuple[Difference, ...]
    changes: tuple[Change, ...]
    remarks: tuple[str, ...] = ()

    def of(self, bucket: Bucket) -> tuple[Change, ...]:
        """Return the cells of one bucket."""
        return tuple(change for change in self.changes if change.bucket is bucket)

    @property
    def counts(self) -> Mapping[Bucket, int]:
        """How many cells are in each bucket, the most severe bucket first; empty ones are left out."""
        every = {bucket: len(self.of(bucket)) for bucket in Bucket}
        return {bucket: number for bucket, number in every.items() if number}


def exit_code(comparison: Comparison, fail_on: Iterable[Bucket]) -> int:
    """Return 1 if any cell is in one of these buckets, else 0."""
    return int(any(comparison.counts.get(bucket) for bucket in fail_on))


class IncomparableError(ValueError):
    """Two runs without comparable cells; the message gives the reason and what to do."""


Cells = Mapping[tuple[str, Key], Result]


def compare(old: Run, new: Run) -> Comparison:
    """Compare two runs by their recorded results.

    Raises
    ------
    IncomparableError
        The runs share no column apart from the version, a run has one column in two versions, or no requirement has
        the same problems in both.
    """
    before, after = (_cells(run) for run in (old, new))
    if not {key for _, key in before} & {key for _, key in after}:
        raise IncomparableError(
            f"nothing to compare: the old run tested {_columns(old)}, the new one {_columns(new)}; "
            "compare runs of the same implementations, devices, dtypes and modes"
        )
    classifier = Classifier(old, new)
    columns = {versionless(column): column for run in (old, new) for column in run.header.columns.values()}
    changes = [
        Change(requirement, columns[key], was, now, *classifier.classify(was, now))
        for requirement, key in dict.fromkeys((*after, *before))
        for was, now in [(before.get((requirement, key)), after.get((requirement, key)))]
    ]
    both = [change for change in changes if change.old and change.new]
    if all(change.bucket is Bucket.SUITE_CHANGED for change in both):
        raise IncomparableError(
            f"no cell has the same problems in both runs: the old run is of kl-conformance {old.header.suite}, profile "
            f"{old.header.profile}, the new one of {new.header.suite}, profile {new.header.profile}; run both "
            "versions with one suite and one profile"
        )
    return Comparison(old, new, differences(old, new), tuple(changes), (*_cut(old, "old"), *_cut(new, "new")))


def differences(old: Run, new: Run) -> tuple[Difference, ...]:
    """Return the differences between the environments of two runs, with suite, profile and seed."""
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
    """Return results by requirement and column, apart from the version; raise if two columns differ only in it."""
    versions: dict[Key, str] = {}
    for column in run.header.columns.values():
        other = versions.setdefault(versionless(column), column.version)
        if other != column.version:
            raise IncomparableError(
                f"one run has {column.implementation} {other} and {column.version}; compare runs of one version each"
            )
    columns = run.header.columns
    return {
        (result.requirement, versionless(columns[result.column])): result
        for result in run.results
        if result.column in columns
    }


def _columns(run: Run) -> str:
    names = dict.fromkeys(
        f"{column.implementation} {column.version} ({column.device}, {column.dtype}, {column.mode})"
        for column in run.header.columns.values()
    )
    return listed(list(names), 3)
