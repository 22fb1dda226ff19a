"""The versions a deviation is recorded for are held against what was seen in run files of many releases."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

from kl_conformance.cli.expect.ranges import borne, versions
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
MENDED = of("1.15.3", Verdict.PASS)


def test_a_range_that_is_borne_out_asks_nothing() -> None:
    """Seen in the versions it is recorded for, held in the others."""
    (seen,) = borne([entry("<1.15")], [OLD, MENDED])
    assert (seen.seen, seen.held, seen.gone, seen.broken) == (("1.14.1",), ("1.15.3",), (), ())
    assert seen.asks == ""


def test_a_range_too_wide_is_to_be_narrowed() -> None:
    """A version it is recorded for, and in which no witness shows it, is named."""
    (seen,) = borne([entry(">=1.9")], [OLD, of("1.15.3", Verdict.FIXED, ENTRY.id)])
    assert seen.asks == "narrow it: gone in 1.15.3"


def test_a_range_too_narrow_is_to_be_widened() -> None:
    """A version outside it, in which the same cell is broken, is named."""
    (seen,) = borne([entry("<1.14")], [of("1.14.1", Verdict.FAIL), of("1.13.0", Verdict.EXPECTED, ENTRY.id)])
    assert seen.asks == "widen it, or record another: broken in 1.14.1"


def test_a_review_that_was_due_is_said() -> None:
    """An entry nobody has looked at since its day asks to be looked at."""
    (seen,) = borne([replace(entry("<1.15"), review_by="2020-01-01")], [OLD])
    assert seen.asks == "review was due on 2020-01-01"


def test_another_deviation_of_the_cell_is_not_counted() -> None:
    """A cell that shows another recorded deviation bears nothing out about this one."""
    (seen,) = borne([entry("<1.15")], [of("1.14.1", Verdict.EXPECTED, "another")])
    assert seen.seen == ()


def test_the_verb_says_what_is_to_be_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """0 where all is borne out, 1 where something is to be done, 2 without a run file."""
    write(tmp_path / "old.jsonl.gz", OLD)
    assert versions([tmp_path / "old.jsonl.gz"]) in {0, 1}  # by today's date: reviews fall due
    assert "seen 1.14.1" in capsys.readouterr().out
    write(tmp_path / "gone.jsonl.gz", of("1.14.1", Verdict.FIXED, ENTRY.id))
    assert versions([tmp_path / "gone.jsonl.gz"]) == 1
    assert "narrow it: gone in 1.14.1" in capsys.readouterr().out
    assert versions([tmp_path / "none.jsonl.gz"]) == 2
    assert "no such file" in capsys.readouterr().err
