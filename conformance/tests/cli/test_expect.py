"""Known deviations are replayed, added from a failed cell, and removed when runs show them to be fixed."""

import re
import shutil
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.cli.expect.check import check_deviations, replay
from kl_conformance.cli.expect.record import add_deviation, prune, with_entry, without_entry
from kl_conformance.expectations import expectation
from kl_conformance.expectations.expectation import load, recorded
from kl_conformance.expectations.predicate import Predicate
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.runs import header
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_conformance_testkit.command import Capsys
from kl_reports.runfile.file import write
from kl_reports.runfile.records import Result, Run, Verdict

GONE = "scipy-entropy-broadcasts-classes"
CELL = "errors/class-mismatch"
REASON = "qk is documented to have the same format as pk; one class is broadcast against many."


def here(framework: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Replay in this process, which reads the copy of the expectation files."""
    return list(replay(framework, ids))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return a copy of the expectation files, which every command reads and writes instead."""
    copy = tmp_path / "expectations"
    shutil.copytree(expectation.FOLDER, copy)
    monkeypatch.setattr(expectation, "FOLDER", copy)
    recorded.cache_clear()
    yield copy
    recorded.cache_clear()


def entropy() -> PlannedCell:
    """Return the cell of SciPy's entropy that is about different numbers of classes."""
    implementation = loading.implementation("scipy.stats.entropy")
    return PlannedCell(catalogue.requirement(CELL), implementation, columns_of(implementation)[0])


def run_file(path: Path, *results: Result) -> Path:
    """Write a run file of these results."""
    write(path, Run(header.header(Selection(), [entropy()]), results, "2026-11-21T00:00:00+00:00", ()))
    return path


def add(folder: Path, result: Result, **changed: str) -> int:
    """Record a failed cell with a valid description, except for the changed fields; return the exit code."""
    description = {"region": "target_classes != model_classes", "instead": "no_error", "reason": REASON}
    run = run_file(folder / "run.jsonl.gz", result)
    return add_deviation(run, result.cell, "mine", **{**description, **changed}, replay=here)


def remove(run: Path) -> int:
    """Run ``expect prune`` in this process and return its exit code."""
    return int(prune.main([str(run)], standalone_mode=False))


def failed(folder: Path) -> Result:
    """Return the result of the cell when no deviation is recorded for it."""
    file = folder / "scipy.toml"
    file.write_text(without_entry(file.read_text(encoding="utf-8"), GONE), encoding="utf-8")
    recorded.cache_clear()
    result = Session(Selection(profile=TestProfile.QUICK)).evaluate(entropy())
    assert result.verdict is Verdict.FAIL
    return result


def test_known_deviations_are_still_seen(capsys: Capsys) -> None:
    """Every deviation of the installed SciPy is shown by a witness in every cell it applies to."""
    assert check_deviations(("scipy",), ()) == 0
    lines = capsys.readouterr().out.splitlines()
    installed = registry.installed_version("scipy")
    applicable = [entry.id for entry in recorded("scipy") if entry.versions.contains(installed)]
    assert [line.split()[0] for line in lines] == applicable
    seen = [re.search(r"seen in (\d) of (\d) cells", line) for line in lines]
    assert all(match and match[1] == match[2] for match in seen)


def test_a_deviation_that_no_witness_shows_is_gone(folder: Path, capsys: Capsys) -> None:
    """An entry with another wrong result than the one returned is reported cell by cell, and the exit code is 1."""
    file = folder / "scipy.toml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace('instead = "no_error"', 'instead = "got > 1"'), encoding="utf-8")
    recorded.cache_clear()
    assert check_deviations(("scipy",), (GONE,), replay=here) == 1
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(GONE)
    assert line.count(f"{CELL}@scipy.stats.entropy") == 2


def test_an_unknown_name_is_refused(capsys: Capsys) -> None:
    """An unknown framework or deviation ends in one message."""
    assert check_deviations(("scipi",), ()) == 2
    assert check_deviations((), ("scipy-entropi",)) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_failed_cell_is_recorded(folder: Path, tmp_path: Path) -> None:
    """The new entry has the cell, the version and the witness, and explains the failure."""
    result = failed(folder)
    assert add(tmp_path, result) == 0
    made = next(entry for entry in recorded("scipy") if entry.id == "mine")
    assert (made.requirements, made.implementations) == ((CELL,), ("scipy.stats.entropy",))
    assert made.reason == REASON
    assert made.witnesses[0].startswith("errors/")
    assert Session(Selection(profile=TestProfile.QUICK)).evaluate(entropy()).deviation == "mine"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"reason": " "}, "--reason"),
        ({"instead": "got > 1"}, "does not show"),
        ({"region": "p <"}, "not an expression"),
        ({"witness": "errors/no-such-case"}, "no-such-case"),
    ],
    ids=["no reason", "another result", "invalid region", "unknown case"],
)
def test_an_entry_that_does_not_explain_the_failure_is_refused(
    folder: Path, tmp_path: Path, capsys: Capsys, changed: dict[str, str], words: str
) -> None:
    """Without a reason, or with a region that the witness does not confirm, the file is unchanged."""
    result = failed(folder)
    before = (folder / "scipy.toml").read_bytes()
    assert add(tmp_path, result, **changed) == 2
    assert words in capsys.readouterr().err
    assert (folder / "scipy.toml").read_bytes() == before


def test_a_cell_that_passed_cannot_be_recorded(folder: Path, tmp_path: Path, capsys: Capsys) -> None:
    """Only a failed cell of a run file can be recorded."""
    result = replace(failed(folder), verdict=Verdict.PASS)
    assert add(tmp_path, result) == 2
    assert "is not a failed cell" in capsys.readouterr().err


def test_a_fixed_deviation_is_removed(folder: Path, tmp_path: Path, capsys: Capsys) -> None:
    """An entry that is FIXED in all cells of a run is removed; one that another cell still shows is reported."""
    before = [entry.id for entry in recorded("scipy")]
    column = entropy().column
    fixed = Result(CELL, 1, column.key, Verdict.FIXED, deviation=GONE)
    still_seen = Result("values/extreme", 1, column.key, Verdict.EXPECTED, deviation=f"other, {GONE}")
    assert remove(run_file(tmp_path / "partly.jsonl.gz", fixed, still_seen)) == 1
    assert "narrow it" in capsys.readouterr().out
    assert GONE in {entry.id for entry in recorded("scipy")}
    assert remove(run_file(tmp_path / "wholly.jsonl.gz", fixed)) == 0
    assert [entry.id for entry in recorded("scipy")] == [name for name in before if name != GONE]
    assert remove(run_file(tmp_path / "nothing.jsonl.gz")) == 0


FILES = pytest.mark.parametrize("file", sorted(expectation.FOLDER.glob("*.toml")), ids=lambda file: file.name)


@FILES
def test_removing_one_entry_leaves_the_others(file: Path) -> None:
    """Each entry can be removed; the others are unchanged."""
    text = file.read_text(encoding="utf-8")
    every = load(text, file.name)
    for entry in every:
        left = load(without_entry(text, entry.id), file.name)
        assert [each.id for each in left] == [each.id for each in every if each.id != entry.id]
    assert isinstance(every[0].region, Predicate)
    assert without_entry(text, "no-such-entry") == text


@FILES
def test_adding_and_removing_an_entry_leaves_the_file_unchanged(file: Path) -> None:
    """Formatting, comments and every other entry are byte-identical afterwards."""
    text = file.read_text(encoding="utf-8")
    reason = 'π and "quotes" and \\ and\na line'
    longer = with_entry(text, {"id": "mine", "requirements": [CELL], "reason": reason})
    assert longer.startswith(text)
    assert without_entry(longer, "mine") == text
