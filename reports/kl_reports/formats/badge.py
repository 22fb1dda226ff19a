"""Badges: the score of each implementation, in the JSON that shields.io renders."""

import json
import re
from collections.abc import Iterator
from itertools import chain, count

from kl_reports.analysis.scores import Score, scores
from kl_reports.analysis.wording import one_line
from kl_reports.runfile.records import Run


def badges(run: Run) -> Iterator[tuple[str, str]]:
    """Yield the file name and the JSON of a badge for each implementation and version.

    Source: https://shields.io/badges/endpoint-badge
    """
    known = set[str]()
    for score in scores(run):
        stem = re.sub(r"[^\w.+-]+", "_", f"{score.implementation}-{score.version}")[:150].strip("._") or "badge"
        others = (f"{stem}-{number}" for number in count(2))
        name = next(each for each in chain([stem], others) if each not in known)
        known.add(name)
        yield f"{name}.json", json.dumps(_badge(score), ensure_ascii=True) + "\n"


def _badge(score: Score) -> dict[str, object]:
    message, colour = _message(score)
    return {
        "schemaVersion": 1,
        "label": one_line(f"KL conformance: {score.implementation} {score.version}", 120),
        "message": message,
        "color": colour,
    }


def _message(score: Score) -> tuple[str, str]:
    """Return the score on the MUST level, and a colour that repeats the outcome of all binding levels."""
    must = score.at("MUST")
    if must is None:
        return "not judged", "lightgrey"
    failed = any(level.failed for level in score.levels if level.level != "CONVENTION")
    colour = "red" if failed else "brightgreen" if must.passed == must.total else "yellow"
    return f"MUST {must.text}", colour
