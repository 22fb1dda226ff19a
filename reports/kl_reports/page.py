"""One HTML page that shows a run: self-contained, readable without JavaScript, made of the run alone."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kl_reports import finding
from kl_reports.chart import Chart, charts
from kl_reports.evidence import Evidence
from kl_reports.exchange import put
from kl_reports.formula import formula
from kl_reports.issue import issue
from kl_reports.matrix import matrix, severity
from kl_reports.result import Result, Run, Verdict
from kl_reports.spread import Spread, together
from kl_reports.tally import LEVELS, column_of, completeness, headline, level_of, packages, scores
from kl_reports.witness import show
from kl_reports.wording import (
    LOOKS,
    anchor,
    column_words,
    count,
    moment,
    outcome,
    ratio,
    short_dtype,
    shorten,
    used,
    visible,
)
from kl_reports.worked import in_ulps, in_units, summed, worked

# Drill-downs are written worst first until they fill so many characters; the run file has the rest. A page of
# 20,000 cells stays under 1.5 MB, one of fewer has more room.
_ROOM, _LEAST_ROOM, _CELL = 1_000_000, 110_000, 60
_HELD_ROOM = 60_000
_CHART_ROOM, _LEAST_CHART_ROOM, _CHART = 400_000, 80_000, 20

_TOLD_ELSEWHERE = frozenset({Verdict.PASS, Verdict.UNDECIDED, Verdict.UNSUPPORTED, Verdict.MISSING})


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
    environment = _environment()
    places = finding.Places(run)
    reasons, links = finding.reasons(run, places)
    told = _told(run, environment, places)
    links.update({cell: finding.fragment(cell) for cell in told})
    for result in run.results:
        if result.verdict not in _TOLD_ELSEWHERE:
            links.setdefault(result.cell, finding.fragment(result.requirement))
    evidence = Evidence(run, links)
    style, script = (Markup(_asset(name)) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.jinja").render(
        run=run,
        header=run.header,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        headline=headline(run),
        completeness=completeness(run),
        scores=scores(run),
        matrix=matrix(run, links),
        findings=finding.findings(run, places, links),
        nearest=list(finding.nearest(run, places, links, 10)),
        reasons=reasons,
        deviations=finding.deviations(run, places, links),
        sections=_sections(run, told),
        asked=_asked(run),
        differences=finding.differences(run),
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
    put(path, page(run))


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("kl_reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    names: dict[str, Any] = {"levels": LEVELS, "looks": LOOKS, "verdicts": tuple(Verdict)}
    names.update(anchor=anchor, fragment=finding.fragment)
    filters: dict[str, Any] = {"count": count, "formula": formula, "moment": moment, "shorten": shorten}
    filters.update(breakable=_breakable, parts=_parts, web=finding.web)
    environment.globals.update(names)
    environment.filters.update(filters)
    return environment


def _finalize(value: Any) -> Any:
    """Make foreign text visible; markup is our own and holds none that was not."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _breakable(text: str) -> Markup:
    """Return a dotted name as HTML that may break after its dots and underscores."""
    return Markup(re.sub(r"([._])(?=.)", r"\1<wbr>", str(escape(visible(text)))))


def _parts(requirement: str) -> Markup:
    """Return a requirement's id as HTML that may break after its slash and hyphens."""
    return Markup(re.sub(r"([/-])(?=.)", r"\1<wbr>", str(escape(visible(requirement)))))


def _told(run: Run, environment: Environment, places: finding.Places) -> dict[str, Markup]:
    """Return the drill-down of every cell there is room for, by cell."""
    template = environment.get_template("cell.html.jinja")
    pairs = finding.by_pair(run)
    broken = [result for result in run.results if result.verdict not in _TOLD_ELSEWHERE]
    told: dict[str, Markup] = {}
    issued: set[tuple[str, Verdict, str]] = set()  # one issue for each finding and implementation
    room = max(_LEAST_ROOM, _ROOM - _CELL * len(run.results))
    for results, left in ((sorted(broken, key=severity), room), (finding.passes(run), _HELD_ROOM)):
        for result in results:
            place = (result.requirement, result.verdict, column_of(run, result.column).implementation)
            first = result.verdict.is_news and place not in issued
            text = template.render(
                **_cell(run, result, pairs, places),
                number=len(told) + 1,
                issue=issue(run, result) if first and result.witness else "",
            )
            left -= len(text)
            if left < 0:
                break
            issued.add(place)
            told[result.cell] = Markup(text)
    return told


def _cell(
    run: Run, result: Result, pairs: Mapping[str, list[Result]], places: finding.Places
) -> dict[str, Any]:
    witness = None if result.witness is None else show(result.witness)
    same = pairs.get(witness.pair, []) if witness else []
    return {
        "result": result,
        "look": LOOKS[result.verdict],
        "ratio": "" if result.headroom is None else ratio(result.headroom),
        "outcome": outcome(result),
        "where": column_words(column_of(run, result.column)),
        "witness": witness,
        "worked": "" if witness is None else worked(witness),
        "ulps": ("", "") if witness is None else in_ulps(witness),
        "allowance": summed(result.budget),
        "units": in_units(result.budget, result.headroom),
        "used": ""
        if result.headroom is None or result.headroom != result.headroom
        else used(result.headroom),
        "elsewhere": finding.elsewhere(result, same, places),
        "charts": () if result.spread is None else charts({"": result.spread}),
    }


def _drawn(run: Run) -> dict[str, tuple[Chart, ...]]:
    """Return the charts of every requirement there is room for, those closest to the limit first."""
    series: dict[str, dict[str, list[Spread]]] = {}
    used: dict[str, float] = {}
    for result in run.results:
        if result.spread is not None:
            dtype = short_dtype(column_of(run, result.column).dtype)
            series.setdefault(result.requirement, {}).setdefault(dtype, []).append(result.spread)
            used[result.requirement] = max(used.get(result.requirement, 0), result.headroom or 0)
    left = max(_LEAST_CHART_ROOM, _CHART_ROOM - _CHART * len(run.results))
    drawn: dict[str, tuple[Chart, ...]] = {}
    for requirement in sorted(series, key=lambda name: -used[name]):
        own = series[requirement]
        found = charts({dtype: together(own[dtype]) for dtype in finding.ordered(own)})
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
        words = [
            f"{verdicts.count(verdict):,} {LOOKS[verdict].word}" for verdict in Verdict if verdict in verdicts
        ]
        sections.append(
            Section(
                requirement=requirement,
                level=level_of(run, requirement),
                data=run.header.requirements.get(requirement, {}),
                details=tuple(told[result.cell] for result in results if result.cell in told),
                counts="; ".join(words),
                left=sum(
                    result.verdict not in _TOLD_ELSEWHERE and result.cell not in told for result in results
                ),
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
        "dtypes": list(finding.ordered(dict.fromkeys(short_dtype(column.dtype) for column in columns))),
        "modes": list(dict.fromkeys(column.mode for column in columns)),
    }


def _asset(name: str) -> str:
    return resources.files("kl_reports").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the source expression that allows exactly this text in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
