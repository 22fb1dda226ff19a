"""Load time of a page of 20,000 cells, of an empty page of the same size, and of pytest-html's page of the same cells.

Run ``python reports/benchmarks/page_load.py`` (needs Chromium, chromedriver, Selenium and pytest-html). One browser
loads the three pages alternately; the limits are on ratios of median times from the request to the second frame.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from kl_reports.page.page import write_page
from kl_reports.runfile.records import Run, Verdict
from kl_reports_testkit.browser import Browser, unavailable
from kl_reports_testkit.example_runs import large_run

ROUNDS, PYTEST_HTML_ROUNDS = 7, 3  # one load of its page takes half a minute
MOST_OF_EMPTY, LEAST_OF_PYTEST_HTML = 3.0, 5.0
SECOND_FRAME = """
new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(performance.now()))))
"""
TEST_MODULE = """
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


def empty_page(folder: Path, size: int) -> Path:
    """Write a page of ``size`` bytes that shows one line."""
    start, end = "<!doctype html><title>empty</title><p>Nothing.<!--", "-->"
    (folder / "empty.html").write_text(start + "x" * (size - len(start) - len(end)) + end, encoding="utf-8")
    return folder / "empty.html"


def pytest_html_page(folder: Path, run: Run) -> Path:
    """Run pytest-html on the same cells with the same verdicts; return its page."""
    cells = [(each.cell, each.verdict.name, each.detail) for each in run.results]
    (folder / "cells.json").write_text(json.dumps(cells), encoding="utf-8")
    (folder / "test_cells.py").write_text(TEST_MODULE, encoding="utf-8")
    page = folder / "theirs.html"
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "test_cells.py"]
    command += [f"--html={page}", "--self-contained-html"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, env=os.environ)
    if not page.exists():
        raise SystemExit(f"pytest-html wrote no page: {done.stdout[-500:]}{done.stderr[-500:]}")
    return page


def seconds(browser: Browser, page: Path) -> float:
    """Return the seconds from the request of a page to the second frame after loading."""
    browser.open(page)
    return float(browser.evaluate(SECOND_FRAME)) / 1000


def main() -> int:
    """Measure and print; return 1 if a limit is exceeded."""
    if reason := unavailable():
        raise SystemExit(reason)
    run = large_run()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        own = folder / "ours.html"
        write_page(run, own)
        pages = {
            "ours": own,
            "empty, as large": empty_page(folder, own.stat().st_size),
            "pytest-html": pytest_html_page(folder, run),
        }
        browser = Browser(folder / "profile")
        try:
            times: dict[str, list[float]] = {each: [] for each in pages}
            for number in range(ROUNDS):
                for each, page in pages.items():
                    if each != "pytest-html" or number < PYTEST_HTML_ROUNDS:
                        times[each].append(seconds(browser, page))
        finally:
            browser.close()
        sizes = {each: page.stat().st_size for each, page in pages.items()}
    failed = sum(each.verdict is Verdict.FAIL for each in run.results)
    rounds = f"medians of {ROUNDS} loads, of pytest-html {PYTEST_HTML_ROUNDS}"
    print(f"{len(run.results):,} cells, {failed:,} of them failed; {rounds}")
    median = {each: statistics.median(found) for each, found in times.items()}
    for each in pages:
        print(f"  {each:16} {median[each]:7.3f} s  {sizes[each] / 1e6:6.2f} MB")
    empty, other = median["ours"] / median["empty, as large"], median["pytest-html"] / median["ours"]
    limits = (
        (f"ours ÷ empty, at most {MOST_OF_EMPTY:g}", empty, empty <= MOST_OF_EMPTY),
        (f"pytest-html ÷ ours, at least {LEAST_OF_PYTEST_HTML:g}", other, other >= LEAST_OF_PYTEST_HTML),
    )
    for text, ratio, fine in limits:
        print(f"  {text}: {ratio:.2f} {'✓' if fine else '✗'}")
    return 0 if all(fine for *_, fine in limits) else 1


if __name__ == "__main__":
    raise SystemExit(main())
