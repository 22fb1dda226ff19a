"""How soon the page of 20,000 cells is open, beside an empty page of its size and pytest-html's page of the same cells.

Run ``python reports/benchmarks/page_load.py`` (needs Chromium and pytest-html). The three take turns in one browser; what
counts is the ratio of medians of the time from asking for the page to its second frame after loading.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_reports.page import write_page
from kl_reports.result import Run, Verdict
from kl_reports_testkit.browser import CHROMIUM, Browser
from kl_reports_testkit.example_runs import large

TURNS, THEIR_TURNS = 7, 3  # theirs takes half a minute
MOST_OF_EMPTY, LEAST_OF_THEIRS = 3.0, 5.0
OPENED = """
new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))
"""
THEIRS = """
import json
import pathlib
import pytest

CELLS = json.loads(pathlib.Path(__file__).with_name("cells.json").read_text())

@pytest.mark.parametrize(("verdict", "detail"), [each[1:] for each in CELLS], ids=[each[0] for each in CELLS])
def test_cell(verdict, detail):
    if verdict == "UNSUPPORTED":
        pytest.skip(detail)
    assert verdict == "PASS", detail
"""


def ours(folder: Path, run: Run) -> Path:
    """Write the page of a run."""
    write_page(run, folder / "ours.html")
    return folder / "ours.html"


def empty(folder: Path, size: int) -> Path:
    """Write a page of so many bytes that shows one line."""
    start, end = "<!doctype html><title>empty</title><p>Nothing.<!--", "-->"
    (folder / "empty.html").write_text(start + "x" * (size - len(start) - len(end)) + end, encoding="utf-8")
    return folder / "empty.html"


def theirs(folder: Path, run: Run) -> Path:
    """Let pytest-html write its page of the same cells with the same verdicts."""
    cells = [(each.cell, each.verdict.name, each.detail) for each in run.results]
    (folder / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    (folder / "test_cells.py").write_text(THEIRS, encoding="utf-8")
    page = folder / "theirs.html"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "test_cells.py"]
    command += [f"--html={page}", "--self-contained-html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)
    if not page.exists():
        raise SystemExit(f"pytest-html wrote no page: {done.stdout[-500:]}{done.stderr[-500:]}")
    return page


def seconds(browser: Browser, page: Path) -> float:
    """Return the time from asking for a page to its second frame after loading."""
    browser.open(page)
    return float(browser.ask(OPENED)) / 1000


def main() -> int:
    """Measure and print; 1 where a promise is not kept."""
    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine")
    run = large()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = ours(folder, run)
        pages = {
            "ours": own,
            "empty, as large": empty(folder, own.stat().st_size),
            "pytest-html": theirs(folder, run),
        }
        browser = Browser(folder / "profile")
        try:
            times: dict[str, list[float]] = {each: [] for each in pages}
            for turn in range(TURNS):
                for each, page in pages.items():
                    if each != "pytest-html" or turn < THEIR_TURNS:
                        times[each].append(seconds(browser, page))
        finally:
            browser.close()
        sizes = {each: page.stat().st_size for each, page in pages.items()}
    broken = sum(each.verdict is Verdict.FAIL for each in run.results)
    turns = f"medians of {TURNS} openings, of theirs {THEIR_TURNS}"
    print(f"{len(run.results):,} cells, {broken:,} of them broken; {turns}")
    median = {each: statistics.median(found) for each, found in times.items()}
    for each in pages:
        print(f"  {each:16} {median[each]:7.3f} s  {sizes[each] / 1e6:6.2f} MB")
    promises: dict[str, tuple[float, Callable[[float], bool]]] = {
        f"ours ÷ empty, at most {MOST_OF_EMPTY:g}": (
            median["ours"] / median["empty, as large"],
            lambda ratio: ratio <= MOST_OF_EMPTY,
        ),
        f"pytest-html ÷ ours, at least {LEAST_OF_THEIRS:g}": (
            median["pytest-html"] / median["ours"],
            lambda ratio: ratio >= LEAST_OF_THEIRS,
        ),
    }
    kept = True
    for words, (ratio, fine) in promises.items():
        kept = kept and fine(ratio)
        print(f"  {words}: {ratio:.2f} {'✓' if fine(ratio) else '✗'}")
    return 0 if kept else 1


if __name__ == "__main__":
    raise SystemExit(main())
