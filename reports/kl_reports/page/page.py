"""HTML report of a run: self-contained, readable without JavaScript, made from the run alone."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment
from markupsafe import Markup

from kl_reports.analysis import findings
from kl_reports.analysis.scores import column_of, completeness, headline, level_of, packages, scores, severity
from kl_reports.analysis.wording import counted, short_dtype
from kl_reports.files import write_text
from kl_reports.formats.issue import issue
from kl_reports.page.cell import cell_details
from kl_reports.page.chart import Chart, charts
from kl_reports.page.links import fragment
from kl_reports.page.matrix import matrix
from kl_reports.page.questions import Evidence
from kl_reports.page.template import jinja_environment, render_page
from kl_reports.runfile.distribution import ErrorDistribution, combined
from kl_reports.runfile.records import Result, Run, Verdict


class _Room(NamedTuple):
    """Characters for one part of the page: ``most`` less ``per_cell`` for each cell that ran, at least ``least``."""

    most: int
    least: int
    per_cell: int

    def beside(self, run: Run) -> int:
        """Return the characters that the matrix of a run leaves for this part."""
        ran = sum(result.verdict is not Verdict.MISSING for result in run.results)
        return max(self.least, self.most - self.per_cell * ran)


# Details and charts are rendered in order of importance until they fill this room; the run file has the rest. A page
# of 20,000 cells stays under 1.5 MB; one of fewer cells has more room for details.
_DETAILS = _Room(1_000_000, 110_000, 90)
_CHARTS = _Room(400_000, 80_000, 20)
_PASSED = 60_000  # characters for the details of passed cells


@dataclass(frozen=True, slots=True)
class Section:
    """One requirement with its description, charts and the details of its cells; ``omitted`` cells have no room."""

    requirement: str
    level: str
    data: Mapping[str, Any]
    details: tuple[Markup, ...]
    counts: str
    omitted: int
    charts: tuple[Chart, ...]


def page(run: Run) -> str:
    """Return the page as HTML text."""
    environment = jinja_environment()
    places = findings.Places(run)
    reasons, links = findings.reasons(run, places)
    details = _details(run, environment, places)
    links.update({cell: fragment(cell) for cell in details})
    for result in run.results:
        if not result.verdict.is_calm:
            links.setdefault(result.cell, fragment(result.requirement))
    evidence = Evidence(run, links)
    return render_page(
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
        sections=_sections(run, details),
        tested=_tested(run),
        differences=findings.differences(run),
        faq=list(evidence.faq()),
        properties=evidence.properties(),
        implementations=list(evidence.implementations()),
    )


def write_page(run: Run, path: Path) -> None:
    """Write the page of a run; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    write_text(path, page(run))


def _details(run: Run, environment: Environment, places: findings.Places) -> dict[str, Markup]:
    """Return the details of the cells that have room, by cell: failed cells, then passed cells."""
    template = environment.get_template("cell.html.jinja")
    pairs = findings.by_pair(run)
    failed = [result for result in run.results if not result.verdict.is_calm]
    details: dict[str, Markup] = {}
    issues: set[tuple[str, Verdict, str]] = set()  # one issue text for each finding and implementation
    for results, left in ((_kinds_first(failed), _DETAILS.beside(run)), (findings.passes(run), _PASSED)):
        for result in results:
            kind = (result.requirement, result.verdict, column_of(run, result.column).implementation)
            first = result.verdict.is_news and kind not in issues
            same_pair = pairs.get(str((result.witness or {}).get("pair", "")), [])
            text = template.render(
                **cell_details(run, result),
                elsewhere=findings.elsewhere(result, same_pair, places),
                number=len(details) + 1,
                issue=issue(run, result) if first and result.witness else "",
            )
            left -= len(text)
            if left < 0:
                break
            issues.add(kind)
            details[result.cell] = Markup(text)
    return details


def _kinds_first(failed: Iterable[Result]) -> list[Result]:
    """Return failed cells, known deviations last; within both, one cell of every kind before the second of any."""
    kinds: Counter[tuple[str, Verdict, str | None]] = Counter()
    ranks: list[tuple[bool, int, tuple[int, float], Result]] = []
    for result in sorted(failed, key=severity):
        kind = (result.requirement, result.verdict, result.deviation)
        ranks.append((not result.verdict.is_news, kinds[kind], severity(result), result))
        kinds[kind] += 1
    return [result for *_, result in sorted(ranks, key=lambda rank: rank[:3])]


def _charts(run: Run) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of the requirements that have room, those closest to the limit first."""
    series: dict[str, dict[str, list[ErrorDistribution]]] = {}
    largest: dict[str, float] = {}
    for result in run.results:
        if result.spread is not None:
            dtype = short_dtype(column_of(run, result.column).dtype)
            series.setdefault(result.requirement, {}).setdefault(dtype, []).append(result.spread)
            largest[result.requirement] = max(largest.get(result.requirement, 0), result.headroom or 0)
    left = _CHARTS.beside(run)
    drawn: dict[str, tuple[Chart, ...]] = {}
    for requirement in sorted(series, key=lambda name: -largest[name]):
        dtypes = series[requirement]
        found = charts({dtype: combined(dtypes[dtype]) for dtype in findings.ordered(dtypes)})
        left -= sum(chart.size for chart in found)
        if left < 0:
            break
        drawn[requirement] = found
    return drawn


def _sections(run: Run, details: Mapping[str, Markup]) -> list[Section]:
    drawn = _charts(run)
    cells: dict[str, list[Result]] = {}
    for result in run.results:
        cells.setdefault(result.requirement, []).append(result)
    sections: list[Section] = []
    for requirement, results in cells.items():
        results.sort(key=severity)
        verdicts = [result.verdict for result in results]
        counts = [counted(verdicts.count(verdict), verdict) for verdict in Verdict if verdict in verdicts]
        sections.append(
            Section(
                requirement=requirement,
                level=level_of(run, requirement),
                data=run.header.requirements.get(requirement, {}),
                details=tuple(details[result.cell] for result in results if result.cell in details),
                counts="; ".join(counts),
                omitted=sum(not result.verdict.is_calm and result.cell not in details for result in results),
                charts=drawn.get(requirement, ()),
            )
        )
    return sections


def _tested(run: Run) -> dict[str, list[str]]:
    """Return the packages, devices, dtypes and modes that were tested, for the first lines of the page."""
    columns = [column_of(run, result.column) for result in run.results if result.verdict is not Verdict.MISSING]
    columns = columns or list(run.header.columns.values())
    return {
        "packages": packages(run, columns),
        "devices": list(dict.fromkeys(column.device for column in columns)),
        "dtypes": list(findings.ordered(dict.fromkeys(short_dtype(column.dtype) for column in columns))),
        "modes": list(dict.fromkeys(column.mode for column in columns)),
    }
