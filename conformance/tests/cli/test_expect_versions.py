"""The version ranges of known deviations are compared with run files of many releases."""

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from kl_conformance.cli.expect.ranges import observed_ranges, versions
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_reports.runfile.file import write
from kl_reports.runfile.records import Column, Result, Run, Verdict
from kl_reports_testkit.example_runs import header

ENTRY = next(each for each in recorded("scipy") if each.id == "scipy-rel-entr-ratio-range")
REQUIREMENT = ENTRY.requirements[0]


def of(version: str, verdict: Verdict, deviation: str | None = None) -> Run:
    """Return a run of one cell that the entry is about."""
    column = Column(ENTRY.implementations[0], "scipy", version, "cpu", "float64", "eager")
    made = Result(REQUIREMENT, 1, column.key, verdict, deviation=deviation)
    return Run(replace(header(), columns={column.key: column}, planned=(made.cell,)), (made,), "2026-01-02")


def entry(text: str) -> Expectation:
    """Return the entry recorded for other versions, its review far away."""
    return replace(ENTRY, versions=SpecifierSet(text), review_by="2999-01-01")


OLD = of("1.14.1", Verdict.EXPECTED, ENTRY.id)
REPAIRED = of("1.15.3", Verdict.PASS)


def test_a_confirmed_range_needs_no_action() -> None:
    """The deviation is seen in the versions it is recorded for, and the cell passes in the others."""
    (seen,) = observed_ranges([entry("<1.15")], [OLD, REPAIRED])
    assert (seen.seen, seen.passed, seen.gone, seen.failed) == (("1.14.1",), ("1.15.3",), (), ())
    assert seen.action == ""


def test_a_range_too_wide_is_to_be_narrowed() -> None:
    """A version in the range in which no witness shows the deviation is named."""
    (seen,) = observed_ranges([entry(">=1.9")], [OLD, of("1.15.3", Verdict.FIXED, ENTRY.id)])
    assert seen.action == "narrow it: gone in 1.15.3"


def test_a_range_too_narrow_is_to_be_widened() -> None:
    """A version outside the range in which the same cell fails is named."""
    (seen,) = observed_ranges([entry("<1.14")], [of("1.14.1", Verdict.FAIL), of("1.13.0", Verdict.EXPECTED, ENTRY.id)])
    assert seen.action == "widen it, or record another: failed in 1.14.1"


def test_an_overdue_review_is_reported() -> None:
    """An entry past its review date needs a review."""
    (seen,) = observed_ranges([replace(entry("<1.15"), review_by="2020-01-01")], [OLD])
    assert seen.action == "review was due on 2020-01-01"


def test_another_deviation_of_the_cell_is_not_counted() -> None:
    """A cell that shows another known deviation confirms nothing about this one."""
    (seen,) = observed_ranges([entry("<1.15")], [of("1.14.1", Verdict.EXPECTED, "another")])
    assert seen.seen == ()


def run(path: Path) -> int:
    """Run ``expect versions`` in this process and return its exit code."""
    return int(versions.main([str(path)], standalone_mode=False))


def test_the_command_prints_what_must_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 if all ranges are confirmed, 1 if one needs an action, 2 without a run file."""
    write(tmp_path / "old.jsonl.gz", OLD)
    assert run(tmp_path / "old.jsonl.gz") in {0, 1}  # by today's date: reviews fall due
    assert "seen 1.14.1" in capsys.readouterr().out
    write(tmp_path / "gone.jsonl.gz", of("1.14.1", Verdict.FIXED, ENTRY.id))
    assert run(tmp_path / "gone.jsonl.gz") == 1
    assert "narrow it: gone in 1.14.1" in capsys.readouterr().out
    assert run(tmp_path / "none.jsonl.gz") == 2
    assert "no such file" in capsys.readouterr().err
