"""The page is accessible: it passes every automatic check of WCAG 2.1 AA, in both colour schemes."""

import importlib.util
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kl_reports.page.page import write_page
from kl_reports.runfile.records import Run, Verdict
from kl_reports_testkit.browser import AXE, Browser

IMPLEMENTATIONS = {"torch.nn.functional.kl_div", "keras.losses.KLDivergence", "scipy.stats.entropy"}
REQUIREMENTS = {"values/pointwise", "values/near-equal", "support/zero-over-zero", "gradients/model"}
RARE = set(Verdict) - {Verdict.PASS, Verdict.MISSING, Verdict.UNSUPPORTED, Verdict.FAIL, Verdict.EXPECTED}
GUIDE: dict[str, Any] = {
    "questions": [
        {
            "question": "Why is it NaN?",
            "answer": "Because 0 × ∞ is.",
            "property": "formula",
            "requirements": ["support/zero-over-zero", "gradients/model"],
        }
    ],
    "evidence": {"formula": ["values/pointwise"], "zeros": ["support/zero-target"]},
}


@pytest.fixture
def page(run: Run, tmp_path: Path) -> Path:
    """The page of an example run of some cells, with every verdict and every section."""
    columns = {key: each for key, each in run.header.columns.items() if each.implementation in IMPLEMENTATIONS}
    results = [
        cell
        for cell in run.results
        if cell.verdict in RARE or (cell.column in columns and cell.requirement in REQUIREMENTS)
    ]
    environment = {label: run.header.shared | {"seed": seed} for label, seed in (("a", "1"), ("b", "2"))}
    header = replace(run.header, guide=GUIDE, environment=environment, columns=columns)
    write_page(replace(run, header=header, results=tuple(results), remarks=("a remark",)), tmp_path / "page.html")
    return tmp_path / "page.html"


@pytest.mark.skipif(importlib.util.find_spec(AXE) is None, reason=f"{AXE} is not installed")
@pytest.mark.parametrize(("scheme", "width"), [("light", 390), ("dark", 1440)])
def test_axe_finds_nothing(browser: Browser, page: Path, scheme: str, width: int) -> None:
    """The page has no violation, closed or with every detail open, and writes nothing to the console."""
    assert browser.violations(page, scheme, width) == [{}, {}]
    assert browser.unexpected_events() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_screenshots_of_the_main_screens_are_saved(
    browser: Browser, page: Path, tmp_path: Path, scheme: str, width: int
) -> None:
    """Screenshots of the main screens are written to the folder $KL_SCREENSHOTS, if it is set."""
    folder = Path(os.environ.get("KL_SCREENSHOTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    browser.color_scheme(scheme)
    sizes = set[int]()
    for name in ("top", "matrix", "faq", "properties", "values/pointwise", "glossary"):
        browser.open(page, "" if name == "top" else f"#{name}", width=width)
        picture = folder / f"{name.replace('/', '-')}-{width}-{scheme}.png"
        browser.screenshot(picture)
        assert picture.read_bytes().startswith(b"\x89PNG")
        sizes.add(picture.stat().st_size)
    assert len(sizes) == 6


def test_colours_follow_the_scheme(browser: Browser, page: Path) -> None:
    """A dark scheme has a dark background, a light scheme a light one."""
    backgrounds: dict[str, int] = {}
    for scheme in ("light", "dark"):
        browser.color_scheme(scheme)
        browser.open(page)
        colour = browser.evaluate("getComputedStyle(document.body).backgroundColor")
        backgrounds[scheme] = sum(int(part) for part in colour.removeprefix("rgb(").removesuffix(")").split(","))
    assert backgrounds["dark"] < 150 < 600 < backgrounds["light"]


def test_every_control_can_be_reached_by_the_keyboard(browser: Browser, page: Path) -> None:
    """Tab reaches the skip link first, and later every control of the filter."""
    browser.open(page)
    seen: list[str] = []
    for _ in range(60):
        browser.press("Tab")
        seen.append(
            browser.evaluate("document.activeElement.getAttribute('href') || document.activeElement.name || ''")
        )
        if "order" in seen:
            break
    assert seen[0] == "#matrix"
    assert {"#faq", "text", "framework", "dtype", "mode", "chapter", "verdict", "order"} <= set(seen)


def test_a_script_is_copied_with_one_press(browser: Browser, page: Path) -> None:
    """The button above a reproducer copies or selects exactly its text."""
    browser.open(page, "#support/zero-over-zero@torch.nn.functional.kl_div-2.13.0-cpu-float16-eager")
    button = "document.querySelector('details.cell[open] button[data-copy]')"
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate("new Promise((done) => setTimeout(() => done(1), 50))") == 1
    assert browser.evaluate(f"{button}.textContent") in {"Copied", "Selected"}
    assert browser.unexpected_events() == []
