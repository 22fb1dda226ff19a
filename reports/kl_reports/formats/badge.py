"""One implementation's verdict as a badge, in the form that shields.io draws from an address."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from kl_reports.analysis.scores import Score, scores
from kl_reports.analysis.wording import one_line
from kl_reports.runfile.records import Run


def badges(run: Run) -> Iterator[tuple[str, str]]:
    """Give the file name and the text of a badge for each implementation and version.

    Source: https://shields.io/badges/endpoint-badge
    """
    known = set[str]()
    for score in scores(run):
        stem = (
            re.sub(r"[^\w.+-]+", "_", f"{score.implementation}-{score.version}")[:150].strip("._") or "badge"
        )
        name = next(each for each in _names(stem) if each not in known)
        known.add(name)
        yield f"{name}.json", json.dumps(_badge(score), ensure_ascii=True) + "\n"


def _names(stem: str) -> Iterator[str]:
    yield stem
    number = 2
    while True:
        yield f"{stem}-{number}"
        number += 1


def _badge(score: Score) -> dict[str, object]:
    message, colour = _said(score)
    return {
        "schemaVersion": 1,
        "label": one_line(f"KL conformance: {score.implementation} {score.version}", 120),
        "message": message,
        "color": colour,
    }


def _said(score: Score) -> tuple[str, str]:
    """Return what it holds of what MUST hold, and the colour that repeats it."""
    must = score.at("MUST")
    broken = any(level.broken or level.silent for level in score.levels if level.level != "CONVENTION")
    if must is None:
        return "not judged", "lightgrey"
    recorded = f", {must.deviations} on record" if must.deviations else ""
    colour = "red" if broken else "yellow" if must.deviations or must.undecided else "brightgreen"
    return f"MUST {must.held}/{must.asked} held{recorded}", colour
