"""`expect versions`: compares recorded version ranges with run files of many releases."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import click

from kl_conformance.cli.options import runs
from kl_conformance.cli.output import FINDINGS, FINE, cannot, table
from kl_conformance.expectations.expectation import FOLDER, Expectation, recorded
from kl_conformance.implementations import registry
from kl_reports.analysis.wording import listed
from kl_reports.files import RunFileError
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Column, Result, Run, Verdict
from kl_reports.versions import meets, sorted_versions


@click.command()
@runs
def versions(runs: tuple[Path, ...]) -> int:
    """Compare the version ranges of known deviations with run files of many releases.

    Exit codes: 0 every range is confirmed, 1 a range must be changed or a review is overdue, 2 a file cannot be
    read.
    """
    try:
        read_runs = [read(file) for file in runs]
    except RunFileError as error:
        return cannot("expect versions", error)
    entries = [entry for name in registry.frameworks_with_builtins() for entry in recorded(name)]
    found = [each for each in observed_ranges(entries, read_runs) if each.tested]
    if not found:
        print("no known deviation applies to the cells of these runs")
        return FINE
    rows = (
        (each.entry.id, str(each.entry.versions) or "every version", _observed(each), each.action) for each in found
    )
    print(table([("deviation", "recorded for", "observed in", "to do"), *rows]))
    if not any(each.action for each in found):
        return FINE
    print(f"Next: edit the versions in {FOLDER}, then kl-conformance expect check")
    return FINDINGS


@dataclass(frozen=True, slots=True)
class ObservedRange:
    """The versions in which a deviation was seen and gone, and its cells passed or failed outside the range."""

    entry: Expectation
    seen: tuple[str, ...]
    gone: tuple[str, ...]
    passed: tuple[str, ...]
    failed: tuple[str, ...]

    @property
    def tested(self) -> bool:
        """Whether the runs contain a cell of the deviation."""
        return bool(self.seen or self.gone or self.passed or self.failed)

    @property
    def action(self) -> str:
        """What must be done, as text; empty if the range is confirmed."""
        overdue = bool(self.entry.review_by) and self.entry.review_by < datetime.now(UTC).date().isoformat()
        actions = [
            f"narrow it: gone in {', '.join(self.gone)}" if self.gone else "",
            f"widen it, or record another: failed in {', '.join(self.failed)}" if self.failed else "",
            f"review was due on {self.entry.review_by}" if overdue else "",
        ]
        return "; ".join(filter(None, actions))


def observed_ranges(entries: Iterable[Expectation], runs: Sequence[Run]) -> Iterator[ObservedRange]:
    """Yield for each deviation what runs of several versions show of it."""
    cells = [
        (run.header.columns[result.column], result)
        for run in runs
        for result in run.results
        if result.column in run.header.columns
    ]
    for entry in entries:
        applicable = [
            (column, result) for column, result in cells if entry.applies_to_some_version(result.requirement, column)
        ]
        inside = [each for each in applicable if meets(each[0].version, entry.versions, as_release=True)]
        named = [each for each in inside if entry.id in each[1].deviations]
        outside = [each for each in applicable if each not in inside]
        yield ObservedRange(
            entry,
            seen=_versions(named, Verdict.EXPECTED),
            gone=_versions(named, Verdict.FIXED),
            passed=_versions(outside, Verdict.PASS),
            failed=_versions(outside, Verdict.FAIL),
        )


def _versions(cells: Iterable[tuple[Column, Result]], verdict: Verdict) -> tuple[str, ...]:
    return tuple(sorted_versions(column.version for column, result in cells if result.verdict is verdict))


def _observed(each: ObservedRange) -> str:
    parts = [
        f"seen {listed(each.seen, 3)}" if each.seen else "",
        f"passed {listed(each.passed, 3)}" if each.passed else "",
    ]
    return "; ".join(filter(None, parts)) or "–"
