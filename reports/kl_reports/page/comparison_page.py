"""HTML report of a comparison: the differences between two runs, and the change of each cell."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from kl_reports.analysis.findings import FindingPlace, ordered
from kl_reports.analysis.scores import LEVELS, Completeness, completeness, level_of, packages
from kl_reports.analysis.wording import BUCKETS, LOOKS, Look, column_text, count, listed, ratio, short_dtype
from kl_reports.comparison.change import DETAILED, MOVED, QUIET, Bucket, Change
from kl_reports.comparison.compare import Comparison
from kl_reports.files import write_text
from kl_reports.formats.issue import issue
from kl_reports.page.cell import cell_details
from kl_reports.page.chart import Chart, charts, compared
from kl_reports.page.template import jinja_environment, render_page
from kl_reports.runfile.distribution import ErrorDistribution, combined
from kl_reports.runfile.records import Result, Run

_OPEN = 3  # cells of a bucket whose details are open
_DETAILS = 900_000  # characters for the details of all cells; the JSON output has the rest
_ROWS = 200  # rows of a table
_CHARTED = 6  # requirements of a bucket that have charts


@dataclass(frozen=True, slots=True)
class RunPanel:
    """One of the two runs: the packages tested, and its completeness."""

    name: str
    run: Run
    packages: tuple[str, ...]
    completeness: Completeness


@dataclass(frozen=True, slots=True)
class HeadroomShift:
    """A cell that passed in both runs, with another headroom."""

    requirement: str
    where: str
    dtype: str
    before: str
    now: str
    factor: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One requirement in several places, or several requirements in one place."""

    places: tuple[FindingPlace, ...]
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """Cells of one bucket with the same reason."""

    reason: str
    cells: int
    rows: tuple[ChangeRow, ...]


@dataclass(frozen=True, slots=True)
class BucketSection:
    """One bucket, shown in one of three ways: details of each cell, a table of headrooms, or groups by reason."""

    bucket: Bucket
    look: Look
    cells: int
    details: tuple[Markup, ...] = ()
    moved: tuple[HeadroomShift, ...] = ()
    charts: tuple[tuple[str, tuple[Chart, ...]], ...] = ()
    groups: tuple[ChangeGroup, ...] = ()

    @property
    def omitted(self) -> int:
        """The number of cells that have no room of their own."""
        return self.cells - len(self.details or self.moved) if self.details or self.moved else 0


def comparison_page(comparison: Comparison) -> str:
    """Return the page as HTML text."""
    environment = jinja_environment()
    return render_page(
        environment,
        "comparison.html.jinja",
        comparison=comparison,
        headline=_headline(comparison),
        panels=[_panel("Old", comparison.old), _panel("New", comparison.new)],
        sections=list(_sections(comparison, environment)),
        buckets=[(bucket, BUCKETS[bucket.value], number) for bucket, number in comparison.counts.items()],
    )


def write_comparison_page(comparison: Comparison, path: Path) -> None:
    """Write the page of a comparison; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    write_text(path, comparison_page(comparison))


def _headline(comparison: Comparison) -> tuple[str, bool]:
    """Return the changes in one line, and whether any of them is bad."""
    counts = comparison.counts
    bad = [bucket for bucket in (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED) if counts.get(bucket)]
    changed = [f"{count(counts[bucket], 'cell')} {BUCKETS[bucket.value].word}" for bucket in bad]
    if counts.get(Bucket.FIXED):
        changed.append(f"{counts[Bucket.FIXED]:,} fixed")
    good = "" if bad else "No cell regressed"
    return "; ".join(filter(None, (good, listed(changed) if changed else ""))), bool(bad)


def _panel(name: str, run: Run) -> RunPanel:
    return RunPanel(name, run, tuple(packages(run, list(run.header.columns.values()))), completeness(run))


def _sections(comparison: Comparison, environment: Environment) -> Iterator[BucketSection]:
    """Yield the buckets that have cells, the most severe first."""
    template = environment.get_template("change.html.jinja")
    left, number = _DETAILS, 0
    for bucket in comparison.counts:
        if bucket in QUIET:
            continue
        changes = sorted(comparison.of(bucket), key=lambda change: _severity(comparison, change))
        details: list[Markup] = []
        for change in changes if bucket in DETAILED else ():
            number += 1
            text = template.render(**_change(comparison, change), number=number, open=len(details) < _OPEN, looks=LOOKS)
            left -= len(text)
            if left < 0:
                break
            details.append(Markup(text))
        yield BucketSection(
            bucket,
            BUCKETS[bucket.value],
            len(changes),
            details=tuple(details),
            moved=tuple(map(_moved, changes[:_ROWS])) if bucket in MOVED else (),
            charts=tuple(_charted(changes)) if bucket in MOVED else (),
            groups=tuple(_groups(changes)) if bucket not in (*DETAILED, *MOVED) else (),
        )


def _severity(comparison: Comparison, change: Change) -> tuple[int, float]:
    """Return a sort key: MUST first, then the largest headroom, or the largest change of headroom."""
    run = comparison.new if change.new else comparison.old
    level = level_of(run, change.requirement)
    place = LEVELS.index(level) if level in LEVELS else len(LEVELS)
    failed = change.witnessed
    size = _factor(change) if change.bucket in MOVED else (failed.headroom or 0.0) if failed else 0.0
    return place, -size


def _change(comparison: Comparison, change: Change) -> dict[str, Any]:
    """Return what the template ``change`` shows of one cell; the witness is the one of the failed side."""
    result = change.witnessed or change.new or change.old
    assert result is not None  # a change has a side
    run = comparison.new if result is change.new else comparison.old
    data = run.header.requirements.get(change.requirement, {})
    return cell_details(run, result) | {
        "charts": _charts(change.old, change.new),
        "change": change,
        "where": column_text(change.column),
        "level": level_of(run, change.requirement),
        "data": data,
        "side": "new" if result is change.new else "old",
        "elsewhere": (),
        "issue": issue(run, result) if result is change.new and result.witness else "",
    }


def _charts(old: Result | None, new: Result | None) -> tuple[Chart, ...]:
    before, now = (None if side is None else side.spread for side in (old, new))
    if before is not None and now is not None:
        return compared(before, now)
    return charts({"now": now} if now else {"before": before} if before else {})


def _moved(change: Change) -> HeadroomShift:
    before, now = _headrooms(change)
    return HeadroomShift(
        requirement=change.requirement,
        where=change.column.implementation,
        dtype=short_dtype(change.column.dtype),
        before=_figure(before),
        now=_figure(now),
        factor=ratio(_factor(change)),
    )


def _figure(headroom: float) -> str:
    """Return a headroom as elsewhere, but a tiny one by its size, such as ``2e-05``."""
    return f"{headroom:.0e}" if 0 < headroom < 0.005 else ratio(headroom)


def _headrooms(change: Change) -> tuple[float, float]:
    """Return the headrooms on the fixed problems, before and now."""
    sides = (None if side is None else side.fixed for side in (change.old, change.new))
    before, now = (0.0 if fixed is None or fixed.headroom is None else fixed.headroom for fixed in sides)
    return before, now


def _factor(change: Change) -> float:
    small, large = sorted(_headrooms(change))
    return large / small if small else float("inf")


def _charted(changes: Sequence[Change]) -> Iterator[tuple[str, tuple[Chart, ...]]]:
    """Yield the charts of the requirements that changed most, each over all its cells."""
    for requirement in list(dict.fromkeys(change.requirement for change in changes))[:_CHARTED]:
        cells = [change for change in changes if change.requirement == requirement]
        old, new = (_together(results) for results in zip(*((each.old, each.new) for each in cells), strict=True))
        yield requirement, compared(old, new)


def _together(results: Iterable[Result | None]) -> ErrorDistribution:
    return combined(result.spread for result in results if result is not None and result.spread is not None)


def _groups(changes: Sequence[Change]) -> Iterator[ChangeGroup]:
    """Yield the cells of a bucket by reason, the most frequent first."""
    reasons: dict[str, list[Change]] = {}
    for change in changes:
        reasons.setdefault(change.reason, []).append(change)
    for reason, members in sorted(reasons.items(), key=lambda entry: -len(entry[1])):
        yield ChangeGroup(reason, len(members), _rows(members))


def _rows(changes: Sequence[Change]) -> tuple[ChangeRow, ...]:
    """Return cells by requirement or by place, whichever is shorter."""
    dtypes: dict[tuple[str, str], dict[str, None]] = {}
    for change in changes:
        key = (change.requirement, change.column.implementation)
        dtypes.setdefault(key, {})[short_dtype(change.column.dtype)] = None
    places: dict[str, list[FindingPlace]] = {}
    requirements: dict[FindingPlace, list[str]] = {}
    for (requirement, name), found in dtypes.items():
        place = FindingPlace(name, ordered(found), "")
        places.setdefault(requirement, []).append(place)
        requirements.setdefault(place, []).append(requirement)
    if len(places) <= len(requirements):
        return tuple(ChangeRow(tuple(found), (name,)) for name, found in places.items())
    rows = (ChangeRow((place,), tuple(names)) for place, names in requirements.items())
    return tuple(sorted(rows, key=lambda row: -len(row.requirements)))
