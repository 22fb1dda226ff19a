"""`compare -o` writes the page of a comparison beside what it prints."""

import json
from pathlib import Path

import pytest

from kl_conformance_testkit import command
from kl_reports.runfile.file import write
from kl_reports_testkit.example_comparison import example_comparison


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two run files."""
    comparison = example_comparison()
    write(tmp_path / "old.jsonl.gz", comparison.old)
    write(tmp_path / "new.jsonl.gz", comparison.new)
    return tmp_path


def test_the_page_is_written_and_standard_output_stays_clean(folder: Path) -> None:
    """The page has the changes, and stdout has the comparison only."""
    done = command.run_cli("compare", "old.jsonl.gz", "new.jsonl.gz", "-o", "page.html", "--format", "json", at=folder)
    assert done.code == 1
    assert json.loads(done.out)["counts"]["fixed"] == 4
    assert "Page: page.html" in done.err
    assert "5 cells regressed and 4 fixed" in (folder / "page.html").read_text(encoding="utf-8")


def test_a_page_that_cannot_be_written_is_named_before_anything_is_compared(folder: Path) -> None:
    """One line, exit code 2, and no traceback."""
    done = command.run_cli("compare", "old.jsonl.gz", "new.jsonl.gz", "-o", "none/page.html", at=folder)
    assert done.code == 2
    assert "none/page.html" in done.err
    assert "Traceback" not in done.err
