"""What machines are told of a run: Markdown for a CI job, a badge, annotations."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import pytest

from kl_reports.formats.badge import badges
from kl_reports.formats.github import github
from kl_reports.formats.markdown import markdown
from kl_reports.runfile.records import Run, Verdict

TITLES = re.compile(r"^#+ (.*)$", re.MULTILINE)


def test_the_summary_says_the_verdict_first(run: Run) -> None:
    """Its headline and completeness are the page's, then come the findings, worst first."""
    text = markdown(run)
    assert text.startswith("# New or broken: 15 cells of 3 requirements\n")
    assert "**Not all of it ran: 881 of 1,760 planned cells ran; 879 missing" in text
    assert TITLES.findall(text)[1:] == [
        "What is new or broken",
        "What each implementation holds",
        "Closest to the limit",
        "Recorded deviations",
        "Not judged, and why",
        "The run",
    ]
    assert "| ✗ ∞ | support/zero-over-zero | MUST | torch.nn.functional.kl\\_div f16" in text


def test_a_calm_run_has_a_calm_summary(make_run: Callable[..., Run]) -> None:
    """Nothing broken is nothing to list; a run that was cut off says so before anything else."""
    calm = make_run(["cpu"], calm=True)
    text = markdown(calm)
    assert text.startswith("# Nothing is newly broken\n")
    assert "What is new or broken" not in TITLES.findall(text)
    assert markdown(replace(calm, finished=None)).startswith("# Cut off. Nothing")


@pytest.mark.parametrize("limit", [400, 900, 2500, 3000])
def test_a_section_without_room_is_left_out_whole(run: Run, limit: int) -> None:
    """The summary never exceeds its limit, what is there is there in full, and what is not is named."""
    whole = markdown(run)
    text = markdown(run, limit)
    assert len(text.encode()) <= limit
    assert "Left out, as there is no room: " in text
    for part in text.partition("Left out")[0].split("\n\n"):
        assert part in whole
    named = text.partition("no room: ")[2].rstrip(".\n").split(", ")
    for title in TITLES.findall(whole):
        assert (f"# {title}" in text) != (title in named) or title in ", ".join(named)


def test_a_summary_of_an_enemy_is_text(hostile_run: Run) -> None:
    """No HTML, no link, no table cell and no control character of theirs comes through, and it stays small."""
    text = markdown(hostile_run)
    assert len(text.encode()) <= 900_000
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert not re.search(r"(?<!\\)[<>`\[\]{}]", text)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert widths <= {4, 5, 6}


def test_each_implementation_has_a_badge(run: Run) -> None:
    """A badge says how much of what MUST hold is held; its colour repeats it; broken is never green."""
    found = {name: json.loads(text) for name, text in badges(run)}
    assert len(found) == 13
    broken = found["torch.nn.functional.kl_div-2.13.0.json"]
    assert broken == {
        "schemaVersion": 1,
        "label": "KL conformance: torch.nn.functional.kl_div 2.13.0",
        "message": "MUST 16/17 held",
        "color": "red",
    }
    assert found["scipy.stats.entropy-1.17.1.json"]["color"] == "brightgreen"
    recorded = found["tf.nn.softmax_cross_entropy_with_logits-2.20.0.json"]
    assert recorded["message"].endswith(", 1 on record")
    assert recorded["color"] != "brightgreen"
    silent = tuple(replace(cell, verdict=Verdict.MISSING) for cell in run.results)
    unjudged = [json.loads(text) for _, text in badges(replace(run, results=silent))]
    assert {(each["message"], each["color"]) for each in unjudged} == {("not judged", "lightgrey")}


def test_badges_of_an_enemy_are_files_of_their_own(hostile_run: Run) -> None:
    """Every name is a plain file name of moderate length, and no two are alike."""
    names = [name for name, _ in badges(hostile_run)]
    assert len(names) == len(set(names)) == len(hostile_run.header.columns)
    assert all(re.fullmatch(r"[\w+-][\w.+-]{0,160}\.json", name) for name in names)


def test_an_annotation_says_who_breaks_it(run: Run) -> None:
    """Where several implementations were asked, each annotation names those that break the requirement."""
    lines = github(run).splitlines()
    assert len(lines) == 3
    (line,) = (
        each for each in lines if each.startswith("::error title=kl-conformance%3A support/zero-over-zero")
    )
    assert "%0AOn torch.nn.functional.kl_div f16, " in line
