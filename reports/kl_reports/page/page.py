"""One HTML page that shows a run: self-contained, readable without JavaScript, made of the run alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from kl_reports.analysis import findings
from kl_reports.analysis.scores import column_of, completeness, headline, level_of, packages, scores, severity
from kl_reports.analysis.wording import counted, short_dtype
from kl_reports.files import write_text
from kl_reports.formats.issue import issue
from kl_reports.page import links as page_links
from kl_reports.page.cell import drilldown
from kl_reports.page.chart import Chart, charts
from kl_reports.page.matrix import matrix
from kl_reports.page.questions import Evidence
from kl_reports.page.template import templates, whole
from kl_reports.runfile.distribution import ErrorDistribution, combined
from kl_reports.runfile.records import Result, Run, Verdict

# Drill-downs are written worst first until they fill so many characters; the run file has the rest. A page of
# 20,000 cells stays under 1.5 MB, one of fewer has more room.
_ROOM, _LEAST_ROOM, _CELL = 1_000_000, 110_000, 90
_HELD_ROOM = 60_000
_CHART_ROOM, _LEAST_CHART_ROOM, _CHART = 400_000, 80_000, 20


@dataclass(frozen=True, slots=True)
class Section:
    """One requirement in full: what must hold, why, and the cells there is more to say about."""

    requirement: str
    level: str
    data: Mapping[str, Any]
    details: tuple[Markup, ...]
    counts: str
    left: int
    charts: tuple[Chart, ...]


def page(run: Run) -> str:
    """Return the page as HTML text."""
    environment = templates()
    places = findings.Places(run)
    reasons, links = findings.reasons(run, places)
    told = _told(run, environment, places)
    links.update({cell: page_links.fragment(cell) for cell in told})
    for result in run.results:
        if not result.verdict.is_calm:
            links.setdefault(result.cell, page_links.fragment(result.requirement))
    evidence = Evidence(run, links)
    return whole(
        environment,
        "page.html.jinja",
        run=run,
        header=run.header,
        headline=headline(run),
        completeness=completeness(run),
        scores=scores(run),
        matrix=matrix(run, links),
        findings=findings.findings(run, places, links),
        nearest=list(findings.nearest(run, places, links, 10)),
        reasons=reasons,
        deviations=findings.deviations(run, places, links),
        sections=_sections(run, told),
        asked=_asked(run),
        differences=findings.differences(run),
        questions=list(evidence.questions()),
        properties=evidence.properties(),
        described=list(evidence.described()),
    )


def write_page(run: Run, path: Path) -> None:
    """Write the page of a run; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    write_text(path, page(run))


def _told(run: Run, environment: Environment, places: findings.Places) -> dict[str, Markup]:
    """Return the drill-down of every cell there is room for, by cell."""
    template = environment.get_template("cell.html.jinja")
    pairs = findings.by_pair(run)
    broken = [result for result in run.results if not result.verdict.is_calm]
    told: dict[str, Markup] = {}
    issued: set[tuple[str, Verdict, str]] = set()  # one issue for each finding and implementation
    room = max(_LEAST_ROOM, _ROOM - _CELL * _ran(run))
    for results, left in ((_each_first(broken), room), (findings.passes(run), _HELD_ROOM)):
        for result in results:
            place = (result.requirement, result.verdict, column_of(run, result.column).implementation)
            first = result.verdict.is_news and place not in issued
            same = pairs.get(str((result.witness or {}).get("pair", "")), [])
            text = template.render(
                **drilldown(run, result),
                elsewhere=findings.elsewhere(result, same, places),
                number=len(told) + 1,
                issue=issue(run, result) if first and result.witness else "",
            )
            left -= len(text)
            if left < 0:
                break
            issued.add(place)
            told[result.cell] = Markup(text)
    return told


def _ran(run: Run) -> int:
    """Return how many cells take room in the matrix: where nothing ran a column is named, and not drawn."""
    return sum(result.verdict is not Verdict.MISSING for result in run.results)


def _each_first(broken: Iterable[Result]) -> list[Result]:
    """Return broken cells worst first, news before the rest, and of each kind one before the second of any."""
    kinds: Counter[tuple[str, Verdict, str | None]] = Counter()
    ranks: list[tuple[bool, int, tuple[int, float], Result]] = []
    for result in sorted(broken, key=severity):
        kind = (result.requirement, result.verdict, result.deviation)
        ranks.append((not result.verdict.is_news, kinds[kind], severity(result), result))
        kinds[kind] += 1
    return [result for *_, result in sorted(ranks, key=lambda rank: rank[:3])]


def _drawn(run: Run) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of every requirement there is room for, those closest to the limit first."""
    series: dict[str, dict[str, list[ErrorDistribution]]] = {}
    used: dict[str, float] = {}
    for result in run.results:
        if result.spread is not None:
            dtype = short_dtype(column_of(run, result.column).dtype)
            series.setdefault(result.requirement, {}).setdefault(dtype, []).append(result.spread)
            used[result.requirement] = max(used.get(result.requirement, 0), result.headroom or 0)
    left = max(_LEAST_CHART_ROOM, _CHART_ROOM - _CHART * _ran(run))
    drawn: dict[str, tuple[Chart, ...]] = {}
    for requirement in sorted(series, key=lambda name: -used[name]):
        own = series[requirement]
        found = charts({dtype: combined(own[dtype]) for dtype in findings.ordered(own)})
        left -= sum(chart.size for chart in found)
        if left < 0:
            break
        drawn[requirement] = found
    return drawn


def _sections(run: Run, told: Mapping[str, Markup]) -> list[Section]:
    drawn = _drawn(run)
    cells: dict[str, list[Result]] = {}
    for result in run.results:
        cells.setdefault(result.requirement, []).append(result)
    sections: list[Section] = []
    for requirement, results in cells.items():
        results.sort(key=severity)
        verdicts = [result.verdict for result in results]
        words = [counted(verdicts.count(verdict), verdict) for verdict in Verdict if verdict in verdicts]
        sections.append(
            Section(
                requirement=requirement,
                level=level_of(run, requirement),
                data=run.header.requirements.get(requirement, {}),
                details=tuple(told[result.cell] for result in results if result.cell in told),
                counts="; ".join(words),
                left=sum(not result.verdict.is_calm and result.cell not in told for result in results),
                charts=drawn.get(requirement, ()),
            )
        )
    return sections


def _asked(run: Run) -> dict[str, list[str]]:
    """Return who was asked, for the first line of the page."""
    columns = [
        column_of(run, result.column) for result in run.results if result.verdict is not Verdict.MISSING
    ]
    columns = columns or list(run.header.columns.values())
    return {
        "packages": packages(run, columns),
        "devices": list(dict.fromkeys(column.device for column in columns)),
        "dtypes": list(findings.ordered(dict.fromkeys(short_dtype(column.dtype) for column in columns))),
        "modes": list(dict.fromkeys(column.mode for column in columns)),
    }
