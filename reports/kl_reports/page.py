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
from kl_reports.exchange import RunFileError, replacing
from kl_reports.matrix import matrix, severity
from kl_reports.result import Result, Run, Verdict
from kl_reports.tally import LEVELS, column_of, completeness, level_of, packages, scores
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
    visible,
)

# Drill-downs are written worst first until they fill so many characters; the run file has the rest. A page of
# 20,000 cells stays under 1.5 MB, one of fewer has more room.
_ROOM, _LEAST_ROOM, _CELL = 1_200_000, 250_000, 60
_HELD_ROOM = 80_000

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
    style, script = (Markup(_asset(name)) for name in ("page.css", "page.js"))
    return environment.get_template("page.html.jinja").render(
        run=run,
        header=run.header,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        completeness=completeness(run),
        scores=scores(run),
        matrix=matrix(run, links),
        findings=finding.findings(run, places, links),
        nearest=list(finding.nearest(run, places, links, 10)),
        reasons=reasons,
        deviations=finding.deviations(run, places, links),
        sections=_sections(run, told),
        asked=_asked(run),
        properties=_properties(run),
    )


def write_page(run: Run, path: Path) -> None:
    """Write the page of a run; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    text = page(run)
    with replacing(path) as temporary:
        try:
            temporary.write_text(text, encoding="utf-8", newline="\n")
        except OSError as error:
            raise RunFileError(path, f"cannot be written: {error.strerror}") from error


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
    filters: dict[str, Any] = {"count": count, "moment": moment, "shorten": shorten}
    filters.update(breakable=_breakable, web=finding.web)
    environment.globals.update(names)
    environment.filters.update(filters)
    return environment


def _finalize(value: Any) -> Any:
    """Make foreign text visible; markup is our own and holds none that was not."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _breakable(text: str) -> Markup:
    """Return a dotted name as HTML that may break after its dots and underscores."""
    return Markup(re.sub(r"([._])(?=.)", r"\1<wbr>", str(escape(visible(text)))))


def _told(run: Run, environment: Environment, places: finding.Places) -> dict[str, Markup]:
    """Return the drill-down of every cell there is room for, by cell."""
    template = environment.get_template("cell.html.jinja")
    pairs = finding.by_pair(run)
    broken = [result for result in run.results if result.verdict not in _TOLD_ELSEWHERE]
    told: dict[str, Markup] = {}
    room = max(_LEAST_ROOM, _ROOM - _CELL * len(run.results))
    for results, left in ((sorted(broken, key=severity), room), (finding.passes(run), _HELD_ROOM)):
        for result in results:
            text = template.render(**_cell(run, result, pairs, places))
            left -= len(text)
            if left < 0:
                break
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
        "elsewhere": finding.elsewhere(result, same, places),
    }


def _sections(run: Run, told: Mapping[str, Markup]) -> list[Section]:
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


def _properties(run: Run) -> list[str]:
    """Return the properties the implementations are described by, in order."""
    known = dict.fromkeys(name for entry in run.header.implementations.values() for name in entry)
    return [name for name in known if name not in {"framework", "package", "documentation"}]


def _asset(name: str) -> str:
    return resources.files("kl_reports").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the source expression that allows exactly this text in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
