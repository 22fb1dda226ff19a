"""Recorded deviations are asked again, added from a finding and removed by evidence, never by hand alone."""

from __future__ import annotations

import re
import shutil
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.cli.expect.check import check, look
from kl_conformance.cli.expect.record import NewDeviation, add, prune, without
from kl_conformance.expectations import expectation
from kl_conformance.expectations.expectation import load, recorded
from kl_conformance.expectations.predicate import Predicate
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.runs import header
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_reports.runfile.file import write
from kl_reports.runfile.records import Result, Run, Verdict

GONE = "scipy-entropy-broadcasts-classes"
CELL = "errors/class-mismatch"
REASON = "qk is documented to have the same format as pk; one class is broadcast against many."


def here(framework: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Look in this process, which knows the copy."""
    return list(look(framework, ids))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return a copy of the recorded deviations, which every verb reads and writes in place of ours."""
    copy = tmp_path / "expectations"
    shutil.copytree(expectation.FOLDER, copy)
    monkeypatch.setattr(expectation, "FOLDER", copy)
    recorded.cache_clear()
    yield copy
    recorded.cache_clear()


def entropy() -> PlannedCell:
    """Return the cell of SciPy's entropy and numbers of classes that differ."""
    own = loading.implementation("scipy.stats.entropy")
    return PlannedCell(catalogue.requirement(CELL), own, columns_of(own)[0])


def run_file(path: Path, *results: Result) -> Path:
    """Write a run file of these results."""
    own = entropy()
    write(path, Run(header.header(Selection(), [own]), results, "2026-11-21T00:00:00+00:00", ()))
    return path


def finding(path: Path, result: Result, **said: str) -> NewDeviation:
    """Return the finding behind a broken cell, as a person would say it."""
    known = {"region": "target_classes != model_classes", "instead": "no_error", "reason": REASON}
    return NewDeviation(
        run=run_file(path / "run.jsonl.gz", result), cell=result.cell, id="mine", **{**known, **said}
    )


def broken(folder: Path) -> Result:
    """Return what the cell says when nothing is recorded for it."""
    file = folder / "scipy.toml"
    file.write_text(without(file.read_text(encoding="utf-8"), GONE), encoding="utf-8")
    recorded.cache_clear()
    result = Session(Selection(profile=TestProfile.QUICK)).evaluate(entropy())
    assert result.verdict is Verdict.FAIL
    return result


def test_what_is_recorded_is_still_seen(capsys: pytest.CaptureFixture[str]) -> None:
    """Every deviation of the SciPy installed is shown by a witness in every cell it speaks of."""
    assert check(("scipy",), ()) == 0
    lines = capsys.readouterr().out.splitlines()
    installed = registry.installed_version("scipy")
    spoken_of = [entry.id for entry in recorded("scipy") if entry.versions.contains(installed)]
    assert [line.split()[0] for line in lines] == spoken_of
    seen = [re.search(r"seen in (\d) of (\d) cells", line) for line in lines]
    assert all(match and match[1] == match[2] for match in seen)


def test_what_no_witness_shows_is_gone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry whose wrong answer is not the one given is told, cell by cell, and the exit code is 1."""
    file = folder / "scipy.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('instead = "no_error"', 'instead = "got > 1"'), encoding="utf-8")
    recorded.cache_clear()
    assert check(("scipy",), (GONE,), look=here) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(GONE)
    assert line.count(f"{CELL}@scipy.stats.entropy") == 2


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A framework or a deviation nobody knows costs nothing but a sentence."""
    assert check(("scipi",), ()) == 2
    assert check((), ("scipy-entropi",)) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_finding_is_recorded_as_a_person_says(folder: Path, tmp_path: Path) -> None:
    """The new entry names the cell, the version it was seen in and its witness, and explains what was broken."""
    result = broken(folder)
    assert add(finding(tmp_path, result), look=here) == 0
    made = next(entry for entry in recorded("scipy") if entry.id == "mine")
    assert (made.requirements, made.implementations) == ((CELL,), ("scipy.stats.entropy",))
    assert made.reason == REASON
    assert made.witnesses[0].startswith("errors/")
    assert Session(Selection(profile=TestProfile.QUICK)).evaluate(entropy()).deviation == "mine"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"reason": " "}, "--reason"),
        ({"instead": "got > 1"}, "does not show"),
        ({"region": "p <"}, "not an expression"),
        ({"witness": "errors/no-such-case"}, "no-such-case"),
    ],
    ids=["no reason", "another answer", "no sentence", "no case"],
)
def test_a_finding_that_is_not_explained_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], said: dict[str, str], why: str
) -> None:
    """Without a reason, or in words that its witness does not bear out, nothing is written."""
    result = broken(folder)
    before = (folder / "scipy.toml").read_bytes()
    assert add(finding(tmp_path, result, **said), look=here) == 2
    assert why in capsys.readouterr().err
    assert (folder / "scipy.toml").read_bytes() == before


def test_a_right_cell_is_no_finding(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Only what a run file shows to be broken can be recorded."""
    result = replace(broken(folder), verdict=Verdict.PASS)
    assert add(finding(tmp_path, result), look=here) == 2
    assert "is no broken cell" in capsys.readouterr().err


def test_what_is_fixed_goes(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An entry goes where a run shows it FIXED; where another cell of the run still has it, it stays and is told."""
    before = [entry.id for entry in recorded("scipy")]
    column = entropy().column
    fixed = Result(CELL, 1, column.key, Verdict.FIXED, deviation=GONE)
    still = Result("values/extreme", 1, column.key, Verdict.EXPECTED, deviation=f"other, {GONE}")
    assert prune([run_file(tmp_path / "partly.jsonl.gz", fixed, still)]) == 1
    assert "narrow it" in capsys.readouterr().out
    assert GONE in {entry.id for entry in recorded("scipy")}
    assert prune([run_file(tmp_path / "wholly.jsonl.gz", fixed)]) == 0
    assert [entry.id for entry in recorded("scipy")] == [name for name in before if name != GONE]
    assert prune([run_file(tmp_path / "nothing.jsonl.gz")]) == 0


@pytest.mark.parametrize("file", sorted(expectation.FOLDER.glob("*.toml")), ids=lambda file: file.name)
def test_removing_one_entry_leaves_the_others(file: Path) -> None:
    """Whichever entry goes, the others are read as before."""
    text = file.read_text(encoding="utf-8")
    every = load(text, file.name)
    for entry in every:
        left = load(without(text, entry.id), file.name)
        assert [each.id for each in left] == [each.id for each in every if each.id != entry.id]
    assert isinstance(every[0].region, Predicate)
    assert without(text, "no-such-entry") == text
