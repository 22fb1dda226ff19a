"""`db`: run files are stored, listed and queried."""

import json
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kl_conformance_testkit.command import Capsys, run_main
from kl_reports.runfile.file import write
from kl_reports.runfile.records import Column, Header, Result, Run, Verdict

CELL = "values/sum"


def one_cell(version: str, verdict: Verdict) -> Run:
    """Return a run of one cell, in one version."""
    column = Column("some.kl", "torch", version, "cpu", "float32", "eager")
    header = Header(
        started="2026-01-02T03:04:05+00:00",
        suite="0.1.0",
        profile="quick",
        seed=7,
        environment={"": {"torch": version}},
        requirements={CELL: {"revision": 1}},
        implementations={"some.kl": {"framework": "torch", "package": "torch"}},
        columns={column.key: column},
        planned=(f"{CELL}@{column.key}",),
    )
    return Run(header, (Result(CELL, 1, column.key, verdict, headroom=float("inf")),), header.started)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder with two run files."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KL_CONFORMANCE_STORE", raising=False)
    write(tmp_path / "old.jsonl.gz", one_cell("2.11.0", Verdict.PASS))
    write(tmp_path / "new.jsonl.gz", one_cell("2.12.0", Verdict.FAIL))
    return tmp_path


@pytest.fixture
def db(here: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capsys) -> Any:
    """Call `db` in that folder; returns the exit code, stdout and stderr."""

    def call(*arguments: str) -> Any:
        return run_main(capsys, monkeypatch, "db", *arguments)

    return call


def test_stored_runs_are_listed(here: Path, db: Any) -> None:
    """A folder is stored run by run; the store is a file beside them and lists the path of each run."""
    code, out, err = db("ingest", ".")
    assert (code, err) == (0, "")
    assert [line.partition(":")[0] for line in out.splitlines()] == ["new.jsonl.gz", "old.jsonl.gz"]
    assert (here / "kl-conformance.db").is_file()
    assert "stored already" in db("ingest", "old.jsonl.gz")[1]
    rows = db("list")[1].splitlines()
    assert "torch 2.12.0" in rows[0]
    assert str(here / "new.jsonl.gz") in rows[0]
    assert rows[-1].startswith("Next: kl-conformance db ")
    entries = json.loads(db("list", "--format", "json")[1])
    assert [each["versions"] for each in entries] == [{"torch": ["2.12.0"]}, {"torch": ["2.11.0"]}]


def test_a_history_has_the_versions_between_which_a_cell_failed(here: Path, db: Any) -> None:
    """A cell is named in any version; its history is that of all versions."""
    db("ingest", "new.jsonl.gz", "old.jsonl.gz")
    code, out, _ = db("history", f"{CELL}@some.kl-2.11.0-cpu-float32-eager")
    assert code == 0
    head, *rows = out.splitlines()
    assert head == (
        "values/sum (revision 1) on some.kl cpu float32 eager: passed in 2.11.0; regressed between 2.11.0 and 2.12.0"
    )
    assert [row.split()[:2] for row in rows] == [["2.11.0", "✓"], ["2.12.0", "✗"]]
    assert db("history", CELL)[1] == out
    (data,) = json.loads(db("history", CELL, "--format", "json")[1])
    assert (data["first_failed"], data["transitions"]) == ("2.12.0", [["2.11.0", "2.12.0"]])
    assert data["verdicts"][0]["headroom"] == "f64:7ff0000000000000"


def test_the_cells_of_a_run_and_of_a_version_are_listed(here: Path, db: Any) -> None:
    """A run is named by its id, a version as in torch==2.12."""
    record = db("ingest", "new.jsonl.gz")[1].split()[-1]
    cells = db("list", record)[1]
    assert cells == "✗  failed, infinitely more than is allowed  values/sum@some.kl-2.12.0-cpu-float32-eager\n"
    assert db("list", "torch==2.12")[1] == cells
    (cell,) = json.loads(db("list", "torch==2.12", "--format", "json")[1])
    assert (cell["verdict"], cell["column"]["version"]) == ("FAIL", "2.12.0")


def test_gc_removes_older_runs_only_with_keep(here: Path, db: Any) -> None:
    """`gc` alone removes no run; with --keep the newest runs of the same columns stay."""
    write(here / "again.jsonl.gz", replace(one_cell("2.12.0", Verdict.PASS), finished="2026-01-03T00:00:00+00:00"))
    db("ingest", "old.jsonl.gz", "new.jsonl.gz", "again.jsonl.gz")
    assert db("gc") == (0, "deleted: 0 rows that no stored run needs\n", "")
    code, out, _ = db("gc", "--keep", "1")
    assert code == 0
    assert out.splitlines()[0].startswith("removed: run ")
    assert out.splitlines()[0].endswith(f" of {here / 'new.jsonl.gz'}")
    assert [Path(each["path"]).name for each in json.loads(db("list", "--format", "json")[1])] == [
        "old.jsonl.gz",
        "again.jsonl.gz",
    ]
    assert db("gc", "--keep", "0")[0] == 2


def test_an_option_or_variable_names_the_store(here: Path, db: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """--store names the store, otherwise the environment variable."""
    db("ingest", "old.jsonl.gz", "--store", "one.db")
    monkeypatch.setenv("KL_CONFORMANCE_STORE", f"sqlite:///{here / 'one.db'}")
    assert "2.11.0" in db("list")[1]
    assert not (here / "kl-conformance.db").exists()


def test_the_other_files_are_stored_beside_an_unreadable_one(here: Path, db: Any) -> None:
    """An unreadable file is named, and the others are stored."""
    (here / "bad.jsonl.gz").write_text("no run file", encoding="utf-8")
    code, out, err = db("ingest", "bad.jsonl.gz", "old.jsonl.gz")
    assert (code, out.partition(":")[0]) == (2, "old.jsonl.gz")
    assert err.startswith("kl-conformance db ingest: bad.jsonl.gz: is not a run file")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["list", "torch==3"], "unknown version of torch '==3'; known: 2.11.0, 2.12.0"),
        (["list", "torsh"], "unknown package 'torsh'; did you mean 'torch'? known: torch"),
        (["list", "abcdef"], "unknown run 'abcdef'; known: "),
        (["history", "values/sun"], "unknown requirement 'values/sun'; did you mean 'values/sum'?"),
        (["history", "values/sum@some.kl"], "unknown column 'some.kl'; "),
        (["list", "--store", "nowhere.db"], "nowhere.db: no such store; create it with kl-conformance db ingest"),
        (["list", "--store", "text.db"], "text.db: is not a store: not an SQLite database"),
        (["list", "--store", "newer.db"], "newer.db: has schema 99; known: "),
        (["ingest", ".", "--store", "no/such/folder.db"], "cannot be opened: check that its folder exists"),
        (["ingest", "nothing-here"], "nothing-here: no such file"),
    ],
)
def test_bad_usage_is_one_message(here: Path, db: Any, arguments: list[str], words: str) -> None:
    """Bad usage ends with 2 and one line that names the known values."""
    db("ingest", ".")
    db("ingest", ".", "--store", "newer.db")
    connection = sqlite3.connect(here / "newer.db")
    connection.execute("UPDATE kl_store SET schema = 99")
    connection.commit()
    connection.close()
    (here / "text.db").write_text("no database at all\n" * 500, encoding="utf-8")
    code, out, err = db(*arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1
