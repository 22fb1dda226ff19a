"""`expect versions`: what run files of many releases say of the versions that deviations are recorded for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from kl_conformance.cli.output import FINDINGS, FINE, cannot, table
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_conformance.implementations import registry
from kl_reports.analysis.wording import listed
from kl_reports.files import RunFileError
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Column, Result, Run, Verdict
from kl_reports.versions import meets, sorted_versions


@dataclass(frozen=True, slots=True)
class ObservedRange:
    """What was seen of one deviation: in which versions it showed, was gone, held, or broke beyond the record."""

    entry: Expectation
    seen: tuple[str, ...]
    gone: tuple[str, ...]
    held: tuple[str, ...]
    broken: tuple[str, ...]

    @property
    def asks(self) -> str:
        """What is to be done, in words; empty where the range is borne out."""
        words = [
            f"narrow it: gone in {', '.join(self.gone)}" if self.gone else "",
            f"widen it, or record another: broken in {', '.join(self.broken)}" if self.broken else "",
            f"review was due on {self.entry.review_by}" if _overdue(self.entry) else "",
        ]
        return "; ".join(filter(None, words))


def versions(files: Sequence[Path]) -> int:
    """Hold the recorded versions against run files; 0 all borne out, 1 something is to be done, 2 no such file."""
    try:
        runs = [read(file) for file in files]
    except RunFileError as error:
        return cannot("expect versions", error)
    entries = [entry for name in registry.frameworks_with_builtins() for entry in recorded(name)]
    found = [each for each in borne(entries, runs) if each.seen or each.gone or each.held or each.broken]
    if not found:
        print("these runs asked nothing that a deviation is recorded for")
        return FINE
    rows = (
        (each.entry.id, str(each.entry.versions) or "every version", _seen_in(each), each.asks)
        for each in found
    )
    print(table([("deviation", "recorded for", "seen in", "to do"), *rows]))
    due = [each for each in found if each.asks]
    if due:
        print(
            "Next: edit the versions in conformance/kl_conformance/expectations, then kl-conformance expect check"
        )
    return FINDINGS if due else FINE


def borne(entries: Iterable[Expectation], runs: Sequence[Run]) -> Iterator[ObservedRange]:
    """Yield for each deviation what runs of several versions show of it."""
    cells = [
        (run.header.columns[result.column], result)
        for run in runs
        for result in run.results
        if result.column in run.header.columns
    ]
    for entry in entries:
        mine = [
            (column, result)
            for column, result in cells
            if entry.applies_to_some_version(result.requirement, column)
        ]
        inside = [each for each in mine if meets(each[0].version, entry.versions, as_release=True)]
        named = [each for each in inside if entry.id in (each[1].deviation or "").split(", ")]
        outside = [each for each in mine if each not in inside]
        yield ObservedRange(
            entry,
            seen=_versions(named, Verdict.EXPECTED),
            gone=_versions(named, Verdict.FIXED),
            held=_versions(outside, Verdict.PASS),
            broken=_versions(outside, Verdict.FAIL),
        )


def _versions(cells: Iterable[tuple[Column, Result]], verdict: Verdict) -> tuple[str, ...]:
    return tuple(sorted_versions(column.version for column, result in cells if result.verdict is verdict))


def _seen_in(each: ObservedRange) -> str:
    parts = [
        f"seen {listed(each.seen, 3)}" if each.seen else "",
        f"held {listed(each.held, 3)}" if each.held else "",
    ]
    return "; ".join(filter(None, parts)) or "–"


def _overdue(entry: Expectation) -> bool:
    return bool(entry.review_by) and entry.review_by < datetime.now(UTC).date().isoformat()
