"""A real browser shows the page without errors, without requests, and without JavaScript."""

from pathlib import Path

import pytest

from kl_reports.analysis.scores import headline
from kl_reports.analysis.wording import LOOKS
from kl_reports.page.page import write_page
from kl_reports.runfile.records import Run, Verdict
from kl_reports_testkit.browser import Browser

CELL = "#support/zero-over-zero@torch.nn.functional.kl_div-2.13.0-cpu-float16-eager"
PLAIN = "#signs/self@torch.nn.KLDivLoss-2.13.0-cpu-float32-eager"


def test_the_page_opens_without_errors(browser: Browser, shown: Path) -> None:
    """The page writes nothing to the console, requests nothing, and has every column and row of the matrix."""
    browser.open(shown)
    assert browser.unexpected_events() == []
    assert browser.evaluate("document.querySelectorAll('#cells .groups th[data-keys]').length") == 14
    assert browser.evaluate("document.querySelectorAll('#cells tr[data-requirement]').length") == 20
    assert browser.evaluate("getComputedStyle(document.querySelector('#cells .f')).fontWeight") == "700"


def test_the_first_screen_needs_no_scrolling(browser: Browser, shown: Path) -> None:
    """At 1440 × 900 what was tested, completeness, failures and cells near the limit are visible."""
    browser.open(shown)
    for place in ("h1", ".identity", ".legend", ".findings", ".nearest"):
        assert browser.evaluate(f"document.querySelector({place!r}).getBoundingClientRect().bottom") <= 900


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_its_window(browser: Browser, shown: Path, width: int) -> None:
    """Only the matrix and the tables scroll sideways, never the page."""
    browser.open(shown, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_text_does_nothing_in_a_browser(browser: Browser, hostile_run: Run, tmp_path: Path) -> None:
    """No script runs, no dialog opens, nothing is requested, and the page still fits its window."""
    write_page(hostile_run, tmp_path / "page.html")
    for width in (390, 1440):
        browser.open(tmp_path / "page.html", width=width)
        assert browser.unexpected_events() == []
        assert browser.evaluate("document.scripts.length") == 1
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_needs_no_script(browser: Browser, run: Run, shown: Path) -> None:
    """Without JavaScript the page shows the headline, the matrix and the failures, but not the filter."""
    browser.open(shown, script=False)
    tree = browser.call("DOMSnapshot.captureSnapshot", computedStyles=[])
    text = " ".join(tree["strings"])
    for part in (headline(run)[0], "support/zero-over-zero", "✗ 3.1×", "kl_div(input=model"):
        assert part in text
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    form = browser.call("DOM.querySelector", nodeId=document, selector="#filter[hidden]")["nodeId"]
    assert form


def test_a_permalink_opens_its_cell(browser: Browser, shown: Path) -> None:
    """A link to a failed cell opens its details; a link to a passed cell highlights it in the matrix."""
    browser.open(shown, CELL)
    assert browser.evaluate("document.querySelector('details.cell[open] summary').textContent").startswith("✗ ∞")
    assert browser.evaluate("document.querySelector('details.cell[open]').getBoundingClientRect().top") < 900
    browser.open(shown, PLAIN)
    label = browser.evaluate("document.querySelector('.highlighted').getAttribute('aria-label')")
    assert label.startswith(f"✓ 0.69 signs/self on torch.nn.KLDivLoss 2.13.0 cpu eager f32: {LOOKS[Verdict.PASS].word}")
    browser.open(shown, "#%E0%A4%A")
    assert browser.unexpected_events() == []
