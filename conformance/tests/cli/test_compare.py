"""Two runs are named by file, folder, id or version, and the exit code depends on the changes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kl_conformance_testkit.command import run_cli
from kl_reports.runfile.file import write
from kl_reports.runfile.records import Run, Verdict
from kl_reports_testkit.example_runs import example_run


def of(whole: Run, package: str, version: str, verdict: Verdict | None = None) -> Run:
    """Return the cells of one framework in an example run, with another version and one verdict."""
    header = whole.header
    own = {key: column for key, column in header.columns.items() if column.framework == package}
    columns = {key: replace(column, version=version) for key, column in own.items()}
    results = tuple(
        replace(each, column=columns[each.column].key, verdict=verdict or each.verdict)
        for each in whole.results
        if each.column in columns
    )
    columns = {column.key: column for column in columns.values()}
    planned = tuple(result.cell for result in results)
    return replace(whole, header=replace(header, columns=columns, planned=planned), results=results)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with runs of two versions of torch, and a store that has both."""
    place = tmp_path_factory.mktemp("comparing")
    whole = example_run(["cpu"])
    write(place / "old.jsonl.gz", of(whole, "torch", "2.12.0", Verdict.PASS))
    write(place / "new.jsonl.gz", of(whole, "torch", "2.13.0", Verdict.FAIL))
    done = run_cli("db", "ingest", "old.jsonl.gz", "new.jsonl.gz", at=place)
    assert done.code == 0, done.all
    return place


@pytest.mark.parametrize(
    ("old", "new"), [("old.jsonl.gz", "new.jsonl.gz"), ("torch==2.12", "torch==2.13"), ("torch<2.13", "new.jsonl.gz")]
)
def test_a_run_has_many_names(folder: Path, old: str, new: str) -> None:
    """By file or by version, they are the same two runs."""
    done = run_cli("compare", old, new, "--format", "json", at=folder)
    assert done.code == 1, done.all
    counts = json.loads(done.out)["counts"]
    assert set(counts) == {"regressed"}


def test_an_id_names_a_run(folder: Path) -> None:
    """`db list` prints the ids, and the start of one is enough."""
    listed = json.loads(run_cli("db", "list", "--format", "json", at=folder).out)
    old, new = (each["record"][:12] for each in listed)
    done = run_cli("compare", old, new, at=folder)
    assert done.code == 1, done.all
    assert "REGRESSED" in done.out


def test_fail_on_selects_the_buckets_for_exit_code_1(folder: Path) -> None:
    """A job that tests for missing cells only passes in spite of a regression."""
    pair = ("old.jsonl.gz", "new.jsonl.gz")
    assert run_cli("compare", *pair, "--fail-on", "missing,unstable", at=folder).code == 0
    assert run_cli("compare", *pair, "--fail-on", "none", at=folder).code == 0
    assert run_cli("compare", *pair, "--fail-on", "regressed", at=folder).code == 1
    assert run_cli("compare", "new.jsonl.gz", "old.jsonl.gz", "--fail-on", "fixed", at=folder).code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("old.jsonl.gz", "none.jsonl.gz"), "none.jsonl.gz: no such file"),
        (("torch==2.11", "torch==2.13"), "known: 2.12.0, 2.13.0"),
        (("old.jsonl.gz", "new.jsonl.gz", "--fail-on", "broken"), "unknown bucket 'broken'; known: none, regressed"),
        (("old.jsonl.gz", "tensorflow==2"), "unknown package 'tensorflow'"),
        (("torch==2.12", "torch==2.13", "--store", "none.db"), "none.db"),
    ],
)
def test_bad_usage_is_one_message(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    """The message has the given value and the known ones; the exit code is 2."""
    done = run_cli("compare", *arguments, at=folder)
    assert done.code == 2, done.all
    assert words in done.err
    assert "Traceback" not in done.err
    assert not (folder / "none.db").exists()
