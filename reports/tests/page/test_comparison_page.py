"""The page of a comparison says what differs, whether all of both ran, and what became of each cell, in that order."""

from __future__ import annotations

import importlib.util
import json
import os
from dataclasses import replace
from importlib import resources
from pathlib import Path
from urllib.parse import unquote

import pytest

from kl_reports.analysis.wording import BUCKETS
from kl_reports.comparison.change import Bucket
from kl_reports.comparison.compare import Comparison, compare
from kl_reports.files import RunFileError
from kl_reports.page.comparison_page import comparison_page, write_comparison_page
from kl_reports.runfile.records import Run
from kl_reports_testkit.browser import Browser
from kl_reports_testkit.example_comparison import example_comparison
from kl_reports_testkit.html_tree import Node, Tree

AXE = "axe_core_python"  # a package that brings axe-core
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
ASK = "axe.run(document, {options}).then((found) => JSON.stringify(found.violations))"
OPEN = "for (const each of document.querySelectorAll('details')) each.open = true"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Two made-up runs, with cells in every bucket."""
    return example_comparison()


@pytest.fixture
def shown(comparison: Comparison, tmp_path: Path) -> Path:
    """The page of it."""
    write_comparison_page(comparison, tmp_path / "page.html")
    return tmp_path / "page.html"


def tree(comparison: Comparison) -> Node:
    """Return the parsed page."""
    return Tree(comparison_page(comparison)).root


def section(comparison: Comparison, bucket: Bucket) -> Node:
    """Return the section of a bucket."""
    named = tree(comparison).all("section")
    return next(node for node in named if node.attributes["aria-labelledby"] == bucket.value)


def entries(row: Node) -> list[str]:
    """Return the words of a row, cell by cell."""
    return [cell.words for cell in row.children if isinstance(cell, Node)]


def test_every_bucket_has_its_section_in_the_order_of_gravity(comparison: Comparison) -> None:
    """What differs and whether all ran come first, then every bucket that has cells, and no other."""
    assert set(comparison.counts) == set(Bucket)
    heads = [node.attributes["id"] for node in tree(comparison).all("h2")]
    buckets = [bucket.value for bucket in Bucket if bucket is not Bucket.UNCHANGED]
    assert heads == ["differences", "completeness", *buckets]
    assert BUCKETS.keys() == {bucket.value for bucket in Bucket}
    assert len({look.glyph for look in BUCKETS.values()}) == len(Bucket)


def test_the_first_screen_says_what_changed(comparison: Comparison) -> None:
    """The headline counts the news, the table names both environments, both runs say whether they are whole."""
    root = tree(comparison)
    assert root.one("h1").words == "4 cells regressed, 1 cell newly observed and 4 fixed"
    (_, row) = root.one("table", _class="environment").all("tr")
    assert entries(row) == ["torch", "2.12.0", "2.13.0"]
    sides = [node.words for node in root.all("div", _class="side")]
    assert "Complete: all 880 planned cells ran." in sides[0]
    assert "877 of 880 planned cells ran; 3 missing." in sides[1]
    assert "780 unchanged" in root.one("ul", _class="legend").words


def test_news_is_told_in_full(comparison: Comparison) -> None:
    """A cell that regressed has its sentence, both verdicts, what was given and what is right, and the script."""
    (first, *_) = comparison.of(Bucket.REGRESSED)
    cell = next(node for node in tree(comparison).all("details") if node.attributes.get("id") == first.name)
    assert "open" in cell.attributes
    for part in (
        "✓ held → ✗ broken",
        "Each unreduced term lies in the tolerance of its own rounding.",
        "What the new version gave: gives NaN",
        "f32:bf317218",
        "import torch",
        "As the text of an issue",
    ):
        assert part in cell.words
    assert "What the old version gave" in section(comparison, Bucket.FIXED).words


def test_what_was_asked_again_is_said(comparison: Comparison) -> None:
    """A witness put to both versions again says what came of it."""
    words = section(comparison, Bucket.NEWLY_OBSERVED).words
    assert "Put to both versions again: the old one broken, the new one broken." in words


def test_what_moved_has_both_shares(comparison: Comparison) -> None:
    """The table of what is worse has the share before and now, and its charts the old run as an outline."""
    worse, better = tree(comparison).all("table", _class="moved")
    rows = [entries(row) for row in worse.all("tr")]
    assert rows[1] == ["0.10", "0.60", "6.0×", "values/pointwise", "keras.losses.kl_divergence", "f64"]
    assert entries(list(better.all("tr"))[1])[:3] == ["0.60", "0.02", "30×"]
    assert 'class="before"' in comparison_page(comparison)


def test_two_alike_runs_have_a_page_that_says_so(run: Run) -> None:
    """Nothing is news where nothing changed."""
    root = tree(compare(run, run))
    assert root.one("h1").words == "Nothing regressed"
    assert "Nothing: both runs were made in the same environment" in root.words
    unstable = [node.attributes["id"] for node in root.all("h2")]
    assert unstable == ["differences", "completeness", "unstable"]  # one cell gave several answers in both


def test_every_link_leads_somewhere(comparison: Comparison, hostile_run: Run) -> None:
    """Every fragment is the id of one element, also where an enemy chose every name."""
    hostile = compare(hostile_run, replace(hostile_run, finished="x"))
    for root in (tree(comparison), tree(hostile)):
        names = [node.attributes["id"] for node in root.all() if "id" in node.attributes]
        assert len(names) == len(set(names))
        inner = {
            unquote(node.attributes["href"][1:])
            for node in root.all("a")
            if node.attributes["href"].startswith("#")
        }
        assert inner <= set(names)
        assert len(list(root.all("script"))) == len(list(root.all("style"))) == 1
        assert not list(root.all("img"))


def test_a_page_that_cannot_be_written_is_named(comparison: Comparison, tmp_path: Path) -> None:
    """A folder that is not there gives one clear error."""
    with pytest.raises(RunFileError, match="cannot be written"):
        write_comparison_page(comparison, tmp_path / "none" / "page.html")


@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_without_a_complaint_and_fits(browser: Browser, shown: Path, width: int) -> None:
    """No console line, no request, and only tables scroll sideways."""
    browser.open(shown, width=width)
    assert browser.unexpected_events() == []
    browser.evaluate(OPEN)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_it_needs_no_script(browser: Browser, shown: Path) -> None:
    """With JavaScript off the news, the witness and the moved cells are there."""
    browser.open(shown, script=False)
    text = " ".join(browser.call("DOMSnapshot.captureSnapshot", computedStyles=[])["strings"])
    for part in ("4 cells regressed", "What the new version gave: gives NaN", "f32:bf317218", "6.0×"):
        assert part in text


def test_a_permalink_opens_its_cell(browser: Browser, shown: Path, comparison: Comparison) -> None:
    """A link to a cell that is closed opens it."""
    last = comparison.of(Bucket.FIXED)[-1].name
    browser.open(shown, f"#{last}")
    place = f"document.getElementById({last!r})"
    assert browser.evaluate(f"{place}.open")
    assert 0 <= browser.evaluate(f"{place}.getBoundingClientRect().top") < 900


@pytest.mark.skipif(importlib.util.find_spec(AXE) is None, reason=f"{AXE} is not installed")
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_axe_finds_nothing(browser: Browser, shown: Path, scheme: str, width: int) -> None:
    """Neither as the page opens nor with every detail open."""
    browser.color_scheme(scheme)
    browser.open(shown, width=width)
    browser.evaluate(resources.files(AXE).joinpath("axe.min.js").read_text(encoding="utf-8"))
    options = json.dumps({"runOnly": {"type": "tag", "values": RULES}})
    for step in ("1", OPEN):
        browser.evaluate(step)
        found = json.loads(browser.evaluate(ASK.format(options=options)))
        assert {each["id"]: [node["html"][:200] for node in each["nodes"][:3]] for each in found} == {}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_its_screens_are_kept_as_pictures(
    browser: Browser, shown: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    """Pictures lie in $KL_SCREENSHOTS, where it is set."""
    folder = Path(os.environ.get("KL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    browser.color_scheme(scheme)
    for name in ("regressed", "worse"):
        browser.open(shown, f"#{name}", width=width)
        picture = folder / f"comparison-{name}-{width}-{scheme}.png"
        browser.screenshot(picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
