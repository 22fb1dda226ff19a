"""`report` and `merge`: pages and merged files, and one message for a file that cannot be read or written."""

import gzip
import json
import os
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kl_conformance.cli import report as commands
from kl_conformance.runs.header import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection
from kl_conformance_testkit.command import Capsys, run_cli
from kl_reports.runfile.file import Writer, read, write
from kl_reports.runfile.records import Result, Run, Verdict

SELECTION = Selection(frameworks=("scipy",), dtypes=("float32",))


def made_up(verdict: Verdict = Verdict.PASS) -> Run:
    """Return a run of SciPy in which every cell has one verdict."""
    planned = resolve(SELECTION).cells
    cells = ((each.requirement, each.column.key) for each in planned)
    results = [Result(one.id, one.revision, column, verdict) for one, column in cells]
    return Run(header(SELECTION, planned), tuple(results), "2026-01-01T00:00:00+00:00")


def report(*arguments: str) -> int:
    """Run ``report`` in this process and return its exit code."""
    return int(commands.report.main(list(arguments), standalone_mode=False))


def merge(*arguments: str) -> int:
    """Run ``merge`` in this process and return its exit code."""
    return int(commands.merge.main(list(arguments), standalone_mode=False))


COMMANDS = {"report": report, "merge": merge}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a folder that holds one good run file."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "good.jsonl.gz", made_up())
    return tmp_path


@pytest.mark.parametrize(
    ("verdict", "code"),
    [(Verdict.PASS, 0), (Verdict.EXPECTED, 0), (Verdict.MISSING, 0), (Verdict.FAIL, 1), (Verdict.CRASHED, 1)],
)
def test_new_failures_end_a_report_with_1(here: Path, capsys: Capsys, verdict: Verdict, code: int) -> None:
    """A page is written for every run; the exit code is 1 on new failures only."""
    write(here / "run.jsonl.gz", made_up(verdict))
    assert report("run.jsonl.gz", "-o", "page.html") == code
    assert f"Page: {here / 'page.html'}" in capsys.readouterr().out
    assert (here / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_folders_and_files_are_merged(here: Path, capsys: Capsys) -> None:
    """Every run file of a folder is merged with the named files; the next command is printed."""
    (here / "runs").mkdir()
    write(here / "runs" / "later.jsonl.gz", made_up(Verdict.FAIL))
    (here / "runs" / "worker.log").write_text("no run file", encoding="utf-8")
    assert merge("good.jsonl.gz", "runs", "-o", "all of it.jsonl.gz") == 0
    assert "Next: kl-conformance report 'all of it.jsonl.gz'" in capsys.readouterr().out
    assert {each.verdict for each in read(here / "all of it.jsonl.gz").results} == {Verdict.FAIL}


def spoil(folder: Path) -> None:
    """Create one of each kind of file that is not a readable run file."""
    good = (folder / "good.jsonl.gz").read_bytes()
    text = gzip.decompress(good)
    (folder / "cut.jsonl.gz").write_bytes(good[:200])
    (folder / "empty.jsonl.gz").write_bytes(b"")
    (folder / "text.jsonl.gz").write_text("no run file", encoding="utf-8")
    (folder / "other.jsonl.gz").write_bytes(gzip.compress(b'{"kind": "log"}\n'))
    (folder / "newer.jsonl.gz").write_bytes(gzip.compress(text.replace(b"-run/2", b"-run/7", 1)))
    (folder / "no-runs").mkdir()
    os.mkfifo(folder / "pipe")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cut.jsonl.gz", "no complete header line"),
        ("empty.jsonl.gz", "is empty"),
        ("text.jsonl.gz", "is not a run file"),
        ("other.jsonl.gz", "not a run-file header"),
        ("newer.jsonl.gz", "'kl-conformance-run/7'; known: 'kl-conformance-run/1', 'kl-conformance-run/2'"),
        ("absent.jsonl.gz", "no such file"),
        ("no-runs", "a folder without run files (*.jsonl.gz)"),
    ],
)
@pytest.mark.parametrize("command", COMMANDS)
def test_an_unreadable_file_is_refused(here: Path, capsys: Capsys, command: str, name: str, words: str) -> None:
    """One unreadable file ends with 2 and its path, and an earlier page is unchanged."""
    spoil(here)
    (here / "out").write_text("an earlier page", encoding="utf-8")
    assert COMMANDS[command]("good.jsonl.gz", name, "-o", "out") == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"kl-conformance {command}: {name}: ")
    assert words in err
    assert err.count("\n") == 1
    assert (here / "out").read_text(encoding="utf-8") == "an earlier page"


def test_a_run_that_was_cut_off_is_reported_as_incomplete(here: Path, capsys: Capsys) -> None:
    """The results of a killed process are shown, and so are the cells that did not run."""
    run = made_up()
    with Writer(here / "killed.jsonl.gz") as writer:
        writer.header(run.header)
        writer.result(run.results[0])
        writer.started(run.results[1].cell)
    assert report("killed.jsonl.gz", "-o", "page.html") == 1
    out = capsys.readouterr().out
    assert "Cut off: " in out
    assert f"CRASHED {run.results[1].requirement}" in out


@pytest.mark.parametrize("output", ["no-runs", "absent/page.html", "good.jsonl.gz/page.html", "pipe"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_cannot_be_written_is_refused_first(
    here: Path, capsys: Capsys, command: str, output: str
) -> None:
    """The output is checked before the input is read."""
    spoil(here)
    assert COMMANDS[command]("text.jsonl.gz", "-o", output) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"kl-conformance {command}: {output}: cannot be written: ")
    assert err.count("\n") == 1


def test_further_outputs_are_written(here: Path, capsys: Capsys) -> None:
    """Markdown, JUnit XML, JSON Lines and badges are of the same run; GitHub commands are all that is printed."""
    write(here / "run.jsonl.gz", made_up(Verdict.FAIL))
    further = ("--markdown", "a.md", "--junit", "a.xml", "--jsonl", "a.jsonl", "--badges", "badges")
    assert report("run.jsonl.gz", "-o", "page.html", *further, "--format", "github") == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("::error title=kl-conformance")
    assert printed[-1].startswith("Page: ")
    run = read(here / "run.jsonl.gz")
    assert (here / "a.md").read_text(encoding="utf-8").startswith("# New failures")
    assert ElementTree.parse(here / "a.xml").getroot().get("tests") == str(len(run.results))
    lines = [json.loads(line) for line in (here / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(run.results) + 2
    assert lines[0]["columns"].keys() == run.header.columns.keys()
    names = {each.implementation for each in run.header.columns.values()}
    assert len(list((here / "badges").iterdir())) == len(names)


@pytest.mark.parametrize("name", ["markdown", "junit", "jsonl", "badges"])
def test_a_further_output_that_cannot_be_written_is_named(here: Path, capsys: Capsys, name: str) -> None:
    """Before anything is written, one line names the file."""
    path = str(here / "none" / "file")
    assert report("good.jsonl.gz", "-o", "page.html", f"--{name}", path) == 2
    assert path in capsys.readouterr().err
    assert not (here / "page.html").exists()


def test_a_run_agrees_with_the_published_schema(here: Path) -> None:
    """Every line that a run writes is valid, and the schema has every kind of line that a run writes."""
    jsonschema: Any = pytest.importorskip("jsonschema")
    selection = ("scipy.special.kl_div", "--dtype", "float64", "--profile", "quick", "--seed", "1")
    run_cli("run", *selection, "-k", "values or boundary", "-o", "real.jsonl.gz", at=here)
    file = resources.files("kl_reports.runfile") / "run-file.schema.json"
    schema = json.loads(file.read_text("utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in gzip.decompress((here / "real.jsonl.gz").read_bytes()).splitlines()]
    assert [line for line in lines if not validator.is_valid(line)] == []
    assert {"header", "result", "footer"} <= {line["kind"] for line in lines}
    assert {"guide", "spread", "witness"} <= {key for line in lines for key in line}
