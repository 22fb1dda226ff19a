"""One HTML page that shows two runs held against each other: what differs, and what became of each cell."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from kl_reports.analysis.findings import FindingPlace, ordered
from kl_reports.analysis.scores import LEVELS, Completeness, completeness, level_of, packages
from kl_reports.analysis.wording import BUCKETS, LOOKS, Look, column_text, count, listed, ratio, short_dtype
from kl_reports.comparison.change import DETAILED, QUIET, Bucket, Change
from kl_reports.comparison.compare import Comparison
from kl_reports.files import put
from kl_reports.formats.issue import issue
from kl_reports.page.cell import drilldown
from kl_reports.page.chart import Chart, charts, compared
from kl_reports.page.template import templates, whole
from kl_reports.runfile.distribution import ErrorDistribution, together
from kl_reports.runfile.records import Result, Run

MOVED = (
    Bucket.WORSE,
    Bucket.BETTER,
)  # a table; of the others DETAILED are told cell by cell, the rest by place
_OPEN = 3  # cells of a bucket that can be read without a click
_ROOM = 900_000  # characters for all cells told in full; the JSON has the rest
_ROWS = 200  # of the table of a bucket
_CHARTED = 6  # requirements of a bucket that have charts


@dataclass(frozen=True, slots=True)
class RunPanel:
    """One of the two runs: who was asked, and whether all of it ran."""

    name: str
    run: Run
    packages: tuple[str, ...]
    whole: Completeness


@dataclass(frozen=True, slots=True)
class HeadroomShift:
    """A cell that holds on both sides and uses more, or less, of what is allowed."""

    requirement: str
    where: str
    dtype: str
    before: str
    now: str
    factor: str


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """One requirement in several places, or several requirements in one."""

    places: tuple[FindingPlace, ...]
    requirements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChangeGroup:
    """Cells of one bucket of which the same is to be said."""

    why: str
    cells: int
    rows: tuple[ChangeRow, ...]


@dataclass(frozen=True, slots=True)
class ChangeDetail:
    """One bucket as the page shows it; what it has none of is empty."""

    bucket: Bucket
    look: Look
    words: str
    cells: int
    told: tuple[Markup, ...] = ()
    moved: tuple[HeadroomShift, ...] = ()
    charts: tuple[tuple[str, tuple[Chart, ...]], ...] = ()
    groups: tuple[ChangeGroup, ...] = ()

    @property
    def left(self) -> int:
        """Cells that are counted and not shown one by one."""
        return self.cells - len(self.told or self.moved) if self.told or self.moved else 0


def comparison_page(comparison: Comparison) -> str:
    """Return the page as HTML text."""
    environment = templates()
    return whole(
        environment,
        "comparison.html.jinja",
        comparison=comparison,
        headline=_headline(comparison),
        sides=[_side("Old", comparison.old), _side("New", comparison.new)],
        shown=list(_shown(comparison, environment)),
        buckets=[(bucket, BUCKETS[bucket.value], number) for bucket, number in comparison.counts.items()],
    )


def write_comparison_page(comparison: Comparison, path: Path) -> None:
    """Write the page of a comparison; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    put(path, comparison_page(comparison))


def _headline(comparison: Comparison) -> tuple[str, bool]:
    """Return what became of the cells in one line, and whether it is bad."""
    counts = comparison.counts
    bad = [bucket for bucket in (Bucket.REGRESSED, Bucket.NEWLY_OBSERVED) if counts.get(bucket)]
    words = [f"{count(counts[bucket], 'cell')} {BUCKETS[bucket.value].word}" for bucket in bad]
    if counts.get(Bucket.FIXED):
        words.append(f"{counts[Bucket.FIXED]:,} fixed")
    good = "" if bad else "Nothing regressed"
    return "; ".join(filter(None, (good, listed(words) if words else ""))), bool(bad)


def _side(name: str, run: Run) -> RunPanel:
    return RunPanel(name, run, tuple(packages(run, list(run.header.columns.values()))), completeness(run))


def _shown(comparison: Comparison, environment: Environment) -> Iterator[ChangeDetail]:
    """Yield the buckets that have cells, the gravest first."""
    template = environment.get_template("change.html.jinja")
    left, number = _ROOM, 0
    for bucket in comparison.counts:
        if bucket in QUIET:
            continue
        changes = sorted(comparison.of(bucket), key=lambda change: _gravity(comparison, change))
        told: list[Markup] = []
        for change in changes if bucket in DETAILED else ():
            number += 1
            text = template.render(
                **_change(comparison, change), number=number, open=len(told) < _OPEN, looks=LOOKS
            )
            left -= len(text)
            if left < 0:
                break
            told.append(Markup(text))
        look = BUCKETS[bucket.value]
        yield ChangeDetail(
            bucket,
            look,
            look.word,
            len(changes),
            told=tuple(told),
            moved=tuple(map(_moved, changes[:_ROWS])) if bucket in MOVED else (),
            charts=tuple(_charted(changes)) if bucket in MOVED else (),
            groups=tuple(_groups(changes)) if bucket not in (*DETAILED, *MOVED) else (),
        )


def _gravity(comparison: Comparison, change: Change) -> tuple[int, float]:
    """Return a sort key: MUST first, then what is farthest from what is allowed, or moved most."""
    run = comparison.new if change.new else comparison.old
    level = level_of(run, change.requirement)
    place = LEVELS.index(level) if level in LEVELS else len(LEVELS)
    broken = change.witnessed
    size = _factor(change) if change.bucket in MOVED else (broken.headroom or 0.0) if broken else 0.0
    return place, -size


def _change(comparison: Comparison, change: Change) -> dict[str, Any]:
    """Return what there is to say of one piece of news; its witness is that of the side that is broken."""
    broken = change.witnessed or change.new or change.old
    assert broken is not None  # a change has a side
    run = comparison.new if broken is change.new else comparison.old
    data = run.header.requirements.get(change.requirement, {})
    own = drilldown(run, broken)
    own["charts"] = _charts(change.old, change.new)
    return own | {
        "change": change,
        "where": column_text(change.column),
        "level": level_of(run, change.requirement),
        "data": data,
        "side": "new" if broken is change.new else "old",
        "elsewhere": (),
        "issue": issue(run, broken) if broken is change.new and broken.witness else "",
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
        before=_share(before),
        now=_share(now),
        factor=ratio(_factor(change)),
    )


def _share(headroom: float) -> str:
    """Return a share as elsewhere, but of what is tiny its size: here it is told how small it has become."""
    return f"{headroom:.0e}" if 0 < headroom < 0.005 else ratio(headroom)


def _headrooms(change: Change) -> tuple[float, float]:
    """Return how much of what is allowed was used on the fixed problems, before and now."""
    sides = (None if side is None else side.fixed for side in (change.old, change.new))
    before, now = (0.0 if fixed is None or fixed.headroom is None else fixed.headroom for fixed in sides)
    return before, now


def _factor(change: Change) -> float:
    """Return by how much the used share moved, either way."""
    small, large = sorted(_headrooms(change))
    return large / small if small else float("inf")


def _charted(changes: Sequence[Change]) -> Iterator[tuple[str, tuple[Chart, ...]]]:
    """Yield the charts of the requirements that moved most, all their cells together."""
    for requirement in list(dict.fromkeys(change.requirement for change in changes))[:_CHARTED]:
        own = [change for change in changes if change.requirement == requirement]
        old, new = (_together(getattr(change, side) for change in own) for side in ("old", "new"))
        yield requirement, compared(old, new)


def _together(results: Iterable[Result | None]) -> ErrorDistribution:
    return together(result.spread for result in results if result is not None and result.spread is not None)


def _groups(changes: Sequence[Change]) -> Iterator[ChangeGroup]:
    """Yield the cells of a bucket by what is to be said of them."""
    reasons: dict[str, list[Change]] = {}
    for change in changes:
        reasons.setdefault(change.reason, []).append(change)
    for why, members in sorted(reasons.items(), key=lambda entry: -len(entry[1])):
        yield ChangeGroup(why, len(members), _rows(members))


def _rows(changes: Sequence[Change]) -> tuple[ChangeRow, ...]:
    """Return cells by requirement or by place, whichever is shorter."""
    dtypes: dict[tuple[str, str], dict[str, None]] = {}
    for change in changes:
        key = (change.requirement, change.column.implementation)
        dtypes.setdefault(key, {})[short_dtype(change.column.dtype)] = None
    places: dict[str, list[FindingPlace]] = {}
    requirements: dict[FindingPlace, list[str]] = {}
    for (requirement, name), own in dtypes.items():
        place = FindingPlace(name, ordered(own), "")
        places.setdefault(requirement, []).append(place)
        requirements.setdefault(place, []).append(requirement)
    if len(places) <= len(requirements):
        return tuple(ChangeRow(tuple(own), (requirement,)) for requirement, own in places.items())
    rows = (ChangeRow((place,), tuple(own)) for place, own in requirements.items())
    return tuple(sorted(rows, key=lambda row: -len(row.requirements)))
