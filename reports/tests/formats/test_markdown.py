"""Formats of a run for machines: Markdown for a CI job, badges, annotations."""

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


def test_the_summary_begins_with_the_verdict(run: Run) -> None:
    """Headline and completeness are those of the page; then come the failures, worst first."""
    text = markdown(run)
    assert text.startswith("# New failures: 15 cells of 3 requirements\n")
    assert "**840 of 869 cells passed, 12 known deviations, 1 fixed, 12 failed, 1 not deterministic, " in text
    assert "- no GPU here: CUDA columns not run (879 cells)\n" in text
    assert "| torch.nn.functional.kl\\_div 2.13.0 | 16 of 17 passed, 1 failed | 1 of 1 passed | " in text
    assert TITLES.findall(text)[1:] == [
        "New failures",
        "Requirements passed",
        "Closest to the limit",
        "Known deviations",
        "Not judged",
        "The run",
    ]
    assert "| ✗ ∞ | support/zero-over-zero | MUST | torch.nn.functional.kl\\_div f16" in text


def test_a_calm_run_has_a_calm_summary(make_run: Callable[..., Run]) -> None:
    """Without failures there is no list of failures; a run that was cut off begins with that."""
    calm = make_run(["cpu"], calm=True)
    text = markdown(calm)
    assert text.startswith("# No new failures\n")
    assert "New failures" not in TITLES.findall(text)
    assert markdown(replace(calm, finished=None)).startswith("# Cut off. No new failures")


@pytest.mark.parametrize("limit", [400, 900, 2500, 3000])
def test_a_section_without_room_is_omitted_whole(run: Run, limit: int) -> None:
    """The summary never exceeds its limit; a section is complete, or its name is among the omitted ones."""
    whole = markdown(run)
    text = markdown(run, limit)
    assert len(text.encode()) <= limit
    assert "Omitted for size: " in text
    for part in text.partition("Omitted for")[0].split("\n\n"):
        assert part in whole
    named = text.partition("for size: ")[2].rstrip(".\n").split(", ")
    for title in TITLES.findall(whole):
        assert (f"# {title}" in text) != (title in named) or title in ", ".join(named)


def test_a_summary_of_hostile_text_is_text(hostile_run: Run) -> None:
    """No HTML, link, table cell or control character of a run file takes effect, and the summary stays small."""
    text = markdown(hostile_run)
    assert len(text.encode()) <= 900_000
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert not re.search(r"(?<!\\)[<>`\[\]{}]", text)
    tables = [line for line in text.splitlines() if line.startswith("|")]
    widths = {len(re.findall(r"(?<!\\)\|", line)) for line in tables}
    assert widths <= {4, 5, 6}


def test_each_implementation_has_a_badge(run: Run) -> None:
    """A badge shows how many MUST requirements passed; only a score without failures and deviations is green."""
    found = {name: json.loads(text) for name, text in badges(run)}
    assert len(found) == 13
    failed = found["torch.nn.functional.kl_div-2.13.0.json"]
    assert failed == {
        "schemaVersion": 1,
        "label": "KL conformance: torch.nn.functional.kl_div 2.13.0",
        "message": "MUST 16 of 17 passed, 1 failed",
        "color": "red",
    }
    assert found["scipy.stats.entropy-1.17.1.json"]["color"] == "brightgreen"
    recorded = found["tf.nn.softmax_cross_entropy_with_logits-2.20.0.json"]
    assert recorded["message"] == "MUST 15 of 17 passed, 1 known deviation, 1 failed"
    assert recorded["color"] == "red"
    excused = tuple(replace(cell, verdict=Verdict.EXPECTED) for cell in run.results)
    assert {json.loads(text)["color"] for _, text in badges(replace(run, results=excused))} == {"yellow"}
    missing = tuple(replace(cell, verdict=Verdict.MISSING) for cell in run.results)
    unjudged = [json.loads(text) for _, text in badges(replace(run, results=missing))]
    assert {(each["message"], each["color"]) for each in unjudged} == {("not judged", "lightgrey")}


def test_badges_of_hostile_names_are_separate_files(hostile_run: Run) -> None:
    """Every name is a plain file name of moderate length, and no two are the same."""
    names = [name for name, _ in badges(hostile_run)]
    assert len(names) == len(set(names)) == len(hostile_run.header.columns)
    assert all(re.fullmatch(r"[\w+-][\w.+-]{0,160}\.json", name) for name in names)


def test_an_annotation_names_the_implementations(run: Run) -> None:
    """In a run of several implementations, each annotation names those that fail the requirement."""
    lines = github(run).splitlines()
    assert len(lines) == 3
    (line,) = (each for each in lines if each.startswith("::error title=kl-conformance%3A support/zero-over-zero"))
    assert "%0AOn torch.nn.functional.kl_div f16, " in line
