"""The page of a comparison shows the differences, the completeness and the changed cells, in that order."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kl_reports.analysis.wording import BUCKETS, LOOKS
from kl_reports.comparison.change import Bucket, Observation
from kl_reports.comparison.compare import Comparison, compare
from kl_reports.files import RunFileError
from kl_reports.page.comparison_page import comparison_page, write_comparison_page
from kl_reports.runfile.records import Run, Verdict
from kl_reports_testkit.browser import AXE, OPEN, Browser
from kl_reports_testkit.example_comparison import example_comparison
from kl_reports_testkit.html_tree import Node, Tree, ids


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    """Two example runs, with cells in every bucket."""
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
    """Return the text of a row, cell by cell."""
    return [cell.line for cell in row.children if isinstance(cell, Node)]


def test_every_bucket_has_its_section_in_the_order_of_severity(comparison: Comparison) -> None:
    """Differences and completeness come first, then every bucket that has cells, and no other."""
    assert set(comparison.counts) == set(Bucket)
    heads = [node.attributes["id"] for node in tree(comparison).all("h2")]
    buckets = [bucket.value for bucket in Bucket if bucket is not Bucket.UNCHANGED]
    assert heads == ["differences", "completeness", *buckets]
    assert BUCKETS.keys() == {bucket.value for bucket in Bucket}
    assert len({look.glyph for look in BUCKETS.values()}) == len(Bucket)


def test_the_first_screen_shows_what_changed(comparison: Comparison) -> None:
    """The headline counts the changes, the table has both environments, and both runs have their completeness."""
    root = tree(comparison)
    assert root.one("h1").line == "4 cells regressed, 1 cell newly observed and 4 fixed"
    (_, row) = root.one("table", _class="environment").all("tr")
    assert entries(row) == ["torch", "2.12.0", "2.13.0"]
    panels = [node.line for node in root.all("div", _class="panel")]
    assert "Complete: 873 of 877 cells passed, 4 failed; 3 not applicable." in panels[0]
    assert "Incomplete: 870 of 877 cells passed, 5 failed, 2 not deterministic; 3 not run." in panels[1]
    assert "780 unchanged" in root.one("ul", _class="legend").line


def test_a_regressed_cell_has_its_details(comparison: Comparison) -> None:
    """A cell that regressed has its sentence, both verdicts, the witness and the reproducer."""
    (first, *_) = comparison.of(Bucket.REGRESSED)
    cell = next(node for node in tree(comparison).all("details") if node.attributes.get("id") == first.name)
    assert "open" in cell.attributes
    for part in (
        f"✓ {LOOKS[Verdict.PASS].word} → ✗ {LOOKS[Verdict.FAIL].word}",
        "Each unreduced term is within the tolerance of its own rounding.",
        "Result of the new version: returned NaN",
        "f32:bf317218",
        "import torch",
        "Issue text",
    ):
        assert part in cell.line
    assert "Result of the old version" in section(comparison, Bucket.FIXED).line


def test_a_replayed_witness_has_its_result(comparison: Comparison) -> None:
    """A witness that was replayed on both versions is shown with both results."""
    words = section(comparison, Bucket.NEWLY_OBSERVED).line
    failed = Observation.FAILED.value
    assert f"Witness replayed on both versions: old {failed}, new {failed}." in words


def test_changed_headrooms_are_in_a_table(comparison: Comparison) -> None:
    """The table has the headroom before and now, and the charts have the old run as an outline."""
    worse, better = tree(comparison).all("table", _class="moved")
    rows = [entries(row) for row in worse.all("tr")]
    assert rows[1] == ["0.10", "0.60", "6.0×", "values/pointwise", "keras.losses.kl_divergence", "f64"]
    assert entries(list(better.all("tr"))[1])[:3] == ["0.60", "0.02", "30×"]
    assert 'class="before"' in comparison_page(comparison)


def test_equal_runs_have_a_page_without_changes(run: Run) -> None:
    """Without changes the page has no section of changes."""
    root = tree(compare(run, run))
    assert root.one("h1").line == "No cell regressed"
    assert "None: both runs were made in the same environment" in root.line
    heads = [node.attributes["id"] for node in root.all("h2")]
    assert heads == ["differences", "completeness", "unstable"]  # one cell returned several answers in both


def test_every_link_leads_somewhere(comparison: Comparison, hostile_run: Run) -> None:
    """Every fragment is the id of one element, also with hostile names."""
    hostile = compare(hostile_run, replace(hostile_run, finished="x"))
    for root in (tree(comparison), tree(hostile)):
        assert ids(root)
        assert len(list(root.all("script"))) == len(list(root.all("style"))) == 1
        assert not list(root.all("img"))


def test_a_page_that_cannot_be_written_is_named(comparison: Comparison, tmp_path: Path) -> None:
    """A missing folder raises one clear error."""
    with pytest.raises(RunFileError, match="cannot be written"):
        write_comparison_page(comparison, tmp_path / "none" / "page.html")


@pytest.mark.parametrize("width", [390, 1440])
def test_it_opens_without_errors_and_fits(browser: Browser, shown: Path, width: int) -> None:
    """The page writes nothing to the console, requests nothing, and only its tables scroll sideways."""
    browser.open(shown, width=width)
    assert browser.unexpected_events() == []
    browser.evaluate(OPEN)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_it_needs_no_script(browser: Browser, shown: Path) -> None:
    """Without JavaScript the page shows the regressed cells, a witness and the changed headrooms."""
    browser.open(shown, script=False)
    text = " ".join(browser.call("DOMSnapshot.captureSnapshot", computedStyles=[])["strings"])
    for part in ("4 cells regressed", "Result of the new version: returned NaN", "f32:bf317218", "6.0×"):
        assert part in text


def test_a_permalink_opens_its_cell(browser: Browser, shown: Path, comparison: Comparison) -> None:
    """A link to a cell with closed details opens them."""
    last = comparison.of(Bucket.FIXED)[-1].name
    browser.open(shown, f"#{last}")
    place = f"document.getElementById({last!r})"
    assert browser.evaluate(f"{place}.open")
    assert 0 <= browser.evaluate(f"{place}.getBoundingClientRect().top") < 900


@pytest.mark.skipif(importlib.util.find_spec(AXE) is None, reason=f"{AXE} is not installed")
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_axe_finds_nothing(browser: Browser, shown: Path, scheme: str, width: int) -> None:
    """The page has no violation, closed or with every detail open."""
    assert browser.violations(shown, scheme, width) == [{}, {}]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_screenshots_are_saved(browser: Browser, shown: Path, tmp_path: Path, scheme: str, width: int) -> None:
    """Screenshots are written to the folder $KL_SCREENSHOTS, if it is set."""
    folder = Path(os.environ.get("KL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    browser.color_scheme(scheme)
    for name in ("regressed", "worse"):
        browser.open(shown, f"#{name}", width=width)
        picture = folder / f"comparison-{name}-{width}-{scheme}.png"
        browser.screenshot(picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
