"""`report` and `merge`: what cannot be read or written is said in one line; what can be is shown."""

from __future__ import annotations

import gzip
import json
import os
from importlib import resources
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from kl_conformance.cli import report
from kl_conformance.runs.header import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection
from kl_conformance_testkit import command
from kl_reports.runfile.file import Writer, read, write
from kl_reports.runfile.records import Result, Run, Verdict

SELECTION = Selection(frameworks=("scipy",), dtypes=("float32",))


def made_up(verdict: Verdict = Verdict.PASS) -> Run:
    """Return a run that asked SciPy, every cell of one verdict."""
    asked = resolve(SELECTION).cells
    results = [
        Result(each.requirement.id, each.requirement.revision, each.column.key, verdict) for each in asked
    ]
    return Run(header(SELECTION, asked), tuple(results), "2026-01-01T00:00:00+00:00")


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
def test_a_report_ends_with_1_where_something_new_is_broken(
    here: Path, capsys: pytest.CaptureFixture[str], verdict: Verdict, code: int
) -> None:
    """A page is written whatever a run found; only news ends with 1."""
    write(here / "run.jsonl.gz", made_up(verdict))
    assert report.report([Path("run.jsonl.gz")], Path("page.html")) == code
    assert f"Page: {here / 'page.html'}" in capsys.readouterr().out
    assert (here / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_folders_and_files_are_merged(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every run file of a folder is merged with the files named; the next command is said."""
    (here / "runs").mkdir()
    write(here / "runs" / "later.jsonl.gz", made_up(Verdict.FAIL))
    (here / "runs" / "worker.log").write_text("no run file", encoding="utf-8")
    assert report.merge([Path("good.jsonl.gz"), Path("runs")], Path("all of it.jsonl.gz")) == 0
    assert "Next: kl-conformance report 'all of it.jsonl.gz'" in capsys.readouterr().out
    assert {each.verdict for each in read(here / "all of it.jsonl.gz").results} == {Verdict.FAIL}


def spoil(folder: Path) -> None:
    """Make every kind of thing that is no run file that can be used."""
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
        ("other.jsonl.gz", "not the header of one"),
        (
            "newer.jsonl.gz",
            "'kl-conformance-run/7'; known here: 'kl-conformance-run/1', 'kl-conformance-run/2'",
        ),
        ("absent.jsonl.gz", "no such file"),
        ("no-runs", "a folder without run files (*.jsonl.gz)"),
    ],
)
@pytest.mark.parametrize("verb", ["report", "merge"])
def test_a_file_that_is_no_run_is_refused(
    here: Path, capsys: pytest.CaptureFixture[str], verb: str, name: str, words: str
) -> None:
    """One file that cannot be used ends with 2 and its path, and leaves an earlier page as it was."""
    spoil(here)
    (here / "out").write_text("an earlier page", encoding="utf-8")
    job = report.report if verb == "report" else report.merge
    assert job([Path("good.jsonl.gz"), Path(name)], Path("out")) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith(f"kl-conformance {verb}: {name}: ")
    assert words in err
    assert err.count("\n") == 1
    assert (here / "out").read_text(encoding="utf-8") == "an earlier page"


def test_a_run_that_was_cut_off_is_shown_as_such(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a dead process had judged is shown, and the rest is not passed over."""
    run = made_up()
    with Writer(here / "dead.jsonl.gz") as writer:
        writer.header(run.header)
        writer.result(run.results[0])
        writer.started(run.results[1].cell)
    assert report.report([Path("dead.jsonl.gz")], Path("page.html")) == 1
    out = capsys.readouterr().out
    assert "Incomplete, the run was cut off" in out
    assert f"CRASHED {run.results[1].requirement}" in out


@pytest.mark.parametrize("output", ["no-runs", "absent/page.html", "good.jsonl.gz/page.html", "pipe"])
@pytest.mark.parametrize("verb", ["report", "merge"])
def test_an_output_that_cannot_be_written_is_refused_first(
    here: Path, capsys: pytest.CaptureFixture[str], verb: str, output: str
) -> None:
    """The output is looked at before the input: nobody waits for nothing."""
    spoil(here)
    job = report.report if verb == "report" else report.merge
    assert job([Path("text.jsonl.gz")], Path(output)) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"kl-conformance {verb}: {output}: cannot be written: ")
    assert err.count("\n") == 1


def test_what_is_asked_for_beside_the_page_is_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Markdown, JUnit XML, JSON Lines and badges are of the same run; GitHub's annotations are all that is printed."""
    write(here / "run.jsonl.gz", made_up(Verdict.FAIL))
    beside = report.ReportOptions(here / "a.md", here / "a.xml", here / "a.jsonl", here / "badges")
    assert report.report([Path("run.jsonl.gz")], Path("page.html"), beside, "github") == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("::error title=kl-conformance")
    assert printed[-1].startswith("Page: ")
    run = read(here / "run.jsonl.gz")
    assert (here / "a.md").read_text(encoding="utf-8").startswith("# New or broken")
    assert ElementTree.parse(here / "a.xml").getroot().get("tests") == str(len(run.results))
    lines = [json.loads(line) for line in (here / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == len(run.results) + 2
    assert lines[0]["columns"].keys() == run.header.columns.keys()
    names = {each.implementation for each in run.header.columns.values()}
    assert len(list((here / "badges").iterdir())) == len(names)


@pytest.mark.parametrize("name", ["markdown", "junit", "jsonl", "badges"])
def test_what_cannot_be_written_beside_the_page_is_named(
    here: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Before anything is written, one line says which file it is."""
    beside = report.ReportOptions(**{name: here / "none" / "file"})
    assert report.report([Path("good.jsonl.gz")], Path("page.html"), beside) == 2
    assert str(here / "none" / "file") in capsys.readouterr().err
    assert not (here / "page.html").exists()


def test_a_real_run_is_as_the_published_schema_says(here: Path) -> None:
    """Every line that a run writes is valid, and the schema knows every kind of line that a run writes."""
    jsonschema: Any = pytest.importorskip("jsonschema")
    asked = ("scipy.special.kl_div", "--dtype", "float64", "--profile", "quick", "--seed", "1")
    command.run_cli("run", *asked, "-k", "values or boundary", "-o", "real.jsonl.gz", at=here)
    schema = json.loads(
        resources.files("kl_reports.runfile").joinpath("run-file.schema.json").read_text("utf-8")
    )
    validator = jsonschema.Draft202012Validator(schema)
    lines = [json.loads(line) for line in gzip.decompress((here / "real.jsonl.gz").read_bytes()).splitlines()]
    assert [line for line in lines if not validator.is_valid(line)] == []
    assert {"header", "result", "footer"} <= {line["kind"] for line in lines}
    assert {"guide", "spread", "witness"} <= {key for line in lines for key in line}
