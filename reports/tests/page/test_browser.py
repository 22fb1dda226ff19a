"""A real browser shows the page without an error, a request or a script."""

from __future__ import annotations

from pathlib import Path

import pytest

from kl_reports.page.page import write_page
from kl_reports.runfile.records import Run
from kl_reports_testkit.browser import Browser

CELL = "#support/zero-over-zero@torch.nn.functional.kl_div-2.13.0-cpu-float16-eager"
PLAIN = "#signs/self@torch.nn.KLDivLoss-2.13.0-cpu-float32-eager"


def test_the_page_opens_without_a_complaint(browser: Browser, shown: Path) -> None:
    """No console line, no request, every column and row of the matrix in the document."""
    browser.open(shown)
    assert browser.unexpected_events() == []
    assert browser.evaluate("document.querySelectorAll('#cells .groups th[data-keys]').length") == 14
    assert browser.evaluate("document.querySelectorAll('#cells tr[data-requirement]').length") == 20
    assert browser.evaluate("getComputedStyle(document.querySelector('#cells .f')).fontWeight") == "700"


def test_the_first_screen_needs_no_scrolling(browser: Browser, shown: Path) -> None:
    """At 1440 × 900 who was asked, completeness, what is broken and what is near the limit are in sight."""
    browser.open(shown)
    for place in ("h1", ".identity", ".legend", ".findings", ".nearest"):
        assert browser.evaluate(f"document.querySelector({place!r}).getBoundingClientRect().bottom") <= 900


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_its_window(browser: Browser, shown: Path, width: int) -> None:
    """Only the matrix and the tables scroll sideways, never the page."""
    browser.open(shown, width=width)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_text_does_nothing_in_a_browser(browser: Browser, hostile_run: Run, tmp_path: Path) -> None:
    """No script runs, no dialog opens, nothing is asked for, and the page still fits its window."""
    write_page(hostile_run, tmp_path / "page.html")
    for width in (390, 1440):
        browser.open(tmp_path / "page.html", width=width)
        assert browser.unexpected_events() == []
        assert browser.evaluate("document.scripts.length") == 1
        assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_the_page_needs_no_script(browser: Browser, shown: Path) -> None:
    """With JavaScript off the headline, the matrix and the failures are there, and the filter is not."""
    browser.open(shown, script=False)
    tree = browser.call("DOMSnapshot.captureSnapshot", computedStyles=[])
    text = " ".join(tree["strings"])
    for part in ("New or broken: 15 cells", "support/zero-over-zero", "✗ 3.1×", "kl_div(input=model"):
        assert part in text
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    form = browser.call("DOM.querySelector", nodeId=document, selector="#filter[hidden]")["nodeId"]
    assert form


def test_a_permalink_opens_what_it_names(browser: Browser, shown: Path) -> None:
    """A link to a broken cell opens its drill-down; one to a plain cell lights it in the matrix."""
    browser.open(shown, CELL)
    assert browser.evaluate("document.querySelector('details.cell[open] summary').textContent").startswith(
        "✗ ∞"
    )
    assert browser.evaluate("document.querySelector('details.cell[open]').getBoundingClientRect().top") < 900
    browser.open(shown, PLAIN)
    label = browser.evaluate("document.querySelector('.lit').getAttribute('aria-label')")
    assert label.startswith("✓ 0.69 signs/self on torch.nn.KLDivLoss 2.13.0 cpu eager f32: held")
    browser.open(shown, "#%E0%A4%A")
    assert browser.unexpected_events() == []
