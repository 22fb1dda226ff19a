"""A run file tells what was recorded, however the run ended."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import kl_reports
from kl_reports.exchange import RunFileError, Writer, follow, read, write
from kl_reports.line import encode_header, encode_result
from kl_reports.result import FORMAT, Column, Header, Result, Run, Verdict

TEXT = st.text(max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
RESULTS = st.builds(
    Result,
    requirement=TEXT,
    revision=st.integers(0, 99),
    column=TEXT,
    verdict=st.sampled_from(Verdict),
    detail=TEXT,
    headroom=st.none() | st.floats(),
    budget=st.lists(TEXT, max_size=3).map(tuple),
    problems=st.integers(0),
    witness=st.none() | st.dictionaries(TEXT, JSON, max_size=4),
    deviation=st.none() | TEXT,
    seconds=st.floats(),
)
HEADERS = st.builds(
    Header,
    started=TEXT,
    suite=TEXT,
    profile=TEXT,
    seed=st.integers(),
    environment=st.dictionaries(TEXT, TEXT, max_size=3),
    requirements=st.dictionaries(TEXT, st.dictionaries(TEXT, JSON, max_size=3), max_size=3),
    implementations=st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT, max_size=3), max_size=3),
    columns=st.dictionaries(TEXT, st.builds(Column, TEXT, TEXT, TEXT, TEXT, TEXT, TEXT), max_size=3),
    planned=st.just(()),
    format=st.just(FORMAT),
)


@st.composite
def runs(draw: st.DrawFn) -> Run:
    """Draw a run in which every planned cell has a result."""
    results = tuple(draw(st.lists(RESULTS, max_size=5, unique_by=lambda result: result.cell)))
    header = replace(draw(HEADERS), planned=tuple(result.cell for result in results))
    return Run(header, results, draw(st.none() | TEXT), tuple(draw(st.lists(TEXT, max_size=3))))


def small_run(run: Run) -> Run:
    """Return the first eight cells of a run."""
    return Run(replace(run.header, planned=run.header.planned[:8]), run.results[:8], run.finished)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs())
def test_a_run_survives_being_written(run: Run, tmp_path: Path) -> None:
    """What is written is what is read, to the last bit of a NaN."""
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    back = read(path)
    assert encode_header(back.header) == encode_header(run.header)
    assert [encode_result(result) for result in back.results] == [
        encode_result(result) for result in run.results
    ]
    assert (back.finished, back.remarks) == (run.finished, run.remarks)


def test_a_whole_run_is_equal_when_read_back(run: Run, hostile_run: Run, tmp_path: Path) -> None:
    """Every field of a realistic run and of a hostile one comes back."""
    write(tmp_path / "run.jsonl.gz", run)
    assert read(tmp_path / "run.jsonl.gz") == run
    write(tmp_path / "hostile.jsonl.gz", hostile_run)
    assert str(read(tmp_path / "hostile.jsonl.gz")) == str(hostile_run)


def test_no_number_is_printed(run: Run, tmp_path: Path) -> None:
    """No float stands in the file as a printed number, not even one in a witness."""
    odd = replace(run.results[0], headroom=float("inf"), witness={"stray": [0.1, {"deep": float("nan")}]})
    write(tmp_path / "run.jsonl.gz", replace(run, results=(odd, *run.results[1:])))
    lines = gzip.decompress((tmp_path / "run.jsonl.gz").read_bytes()).decode().splitlines()

    def refuse(text: str) -> Any:
        raise AssertionError(f"a printed float: {text}")

    for line in lines:
        json.loads(line, parse_float=refuse, parse_constant=refuse)
    back = read(tmp_path / "run.jsonl.gz").results[0]
    assert back.headroom == float("inf")
    assert back.witness == {"stray": ["f64:3fb999999999999a", {"deep": "f64:7ff8000000000000"}]}


def test_a_file_cut_off_anywhere_tells_what_was_recorded(run: Run, tmp_path: Path) -> None:
    """After the header every prefix of a run file is readable, and what it lacks is CRASHED or MISSING."""
    run = small_run(run)
    path = tmp_path / "run.jsonl.gz"
    with Writer(path) as writer:
        writer.header(run.header)
        headed = path.stat().st_size
        for result in run.results:
            writer.started(result.cell)
            writer.result(result)
        writer.footer()
        footed = path.stat().st_size
    data = path.read_bytes()
    cut = tmp_path / "cut.jsonl.gz"
    recorded: list[int] = []
    # Within the header, whose loss is one error, every twentieth byte will do.
    for size in (*range(0, headed - 20, 20), *range(headed - 20, len(data) + 1)):
        cut.write_bytes(data[:size])
        try:
            back = read(cut)
        except RunFileError:
            assert size < headed
            continue
        assert [result.cell for result in back.results] == list(run.header.planned)
        lost = [result for result, true in zip(back.results, run.results, strict=True) if result != true]
        assert back.results[: len(run.results) - len(lost)] == run.results[: len(run.results) - len(lost)]
        assert {result.verdict for result in lost[1:]} <= {Verdict.MISSING}
        assert all(result.detail for result in lost)
        recorded.append(len(run.results) - len(lost))
        assert (back.finished is not None) == (back.remarks == ())
        if size >= footed:
            assert back.finished is not None
        if lost:
            assert back.remarks == (f"cut.jsonl.gz was cut off after {recorded[-1]} of 8 cells",)
    assert recorded == sorted(recorded)
    assert set(recorded) == set(range(9))


def test_a_damaged_byte_is_noticed(run: Run, tmp_path: Path) -> None:
    """A byte changed anywhere gives the run unchanged, a remark, or one clear error; never a silent lie."""
    run = small_run(run)
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    data = path.read_bytes()
    for place in range(0, len(data), 3):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0x55]) + data[place + 1 :])
        try:
            back = read(path)
        except RunFileError:
            continue
        assert back == run or any("damaged" in remark for remark in back.remarks)


def test_a_killed_process_loses_only_what_it_had_not_said(run: Run, tmp_path: Path) -> None:
    """After kill -9 the cell in flight is CRASHED, those never asked are MISSING, the rest stands."""
    run = small_run(run)
    write(tmp_path / "whole.jsonl.gz", run)
    path = tmp_path / "killed.jsonl.gz"
    code = f"""
import pathlib, time
from kl_reports.exchange import Writer, read
run = read(pathlib.Path({str(tmp_path / "whole.jsonl.gz")!r}))
writer = Writer(pathlib.Path({str(path)!r}))
writer.header(run.header)
for result in run.results[:3]:
    writer.started(result.cell)
    writer.result(result)
writer.started(run.results[3].cell)
print("ready", flush=True)
time.sleep(60)
"""
    folder = str(Path(kl_reports.__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": folder}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.kill()
    back = read(path)
    assert back.results[:3] == run.results[:3]
    assert back.results[3].verdict is Verdict.CRASHED
    assert {result.verdict for result in back.results[4:]} == {Verdict.MISSING}
    assert back.finished is None
    assert back.remarks == ("killed.jsonl.gz was cut off after 3 of 8 cells",)


def test_an_exception_leaves_no_footer(run: Run, tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves a readable file that says it was cut off."""
    path = tmp_path / "run.jsonl.gz"

    def interrupted() -> None:
        with Writer(path) as writer:
            writer.header(run.header)
            writer.result(run.results[0])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    back = read(path)
    assert (back.finished, back.results[0]) == (None, run.results[0])


def test_a_clean_end_without_a_result_is_missing(run: Run, tmp_path: Path) -> None:
    """A cell left out by a run that came to its own end is MISSING, with that reason."""
    path = tmp_path / "run.jsonl.gz"
    with Writer(path) as writer:
        writer.header(small_run(run).header)
        writer.started(run.results[0].cell)
        writer.footer()
    back = read(path)
    assert {result.verdict for result in back.results} == {Verdict.MISSING}
    assert "ended without a result" in back.results[0].detail


def test_what_a_later_version_adds_is_ignored(run: Run, tmp_path: Path) -> None:
    """Keys that are not known here change nothing."""
    run = small_run(run)
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    path.write_bytes(
        gzip.compress(b"".join(json.dumps({**line, "later": [1]}).encode() + b"\n" for line in lines))
    )
    assert read(path) == run


HEADER: dict[str, Any] = {"kind": "header", "format": FORMAT}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"PK\x03\x04", "not gzip"),
        (gzip.compress(b"", mtime=0), "no complete header line"),
        (gzip.compress(b"hello", mtime=0), "no complete header line"),
        (gzip.compress(b"hello\nworld\n", mtime=0), "first line is not JSON"),
        (gzip.compress(b"[" * 100_000 + b"\n", mtime=0), "first line is not JSON"),
        (gzip.compress(b"[1]\n", mtime=0), "first line is not a JSON object"),
        (gzip.compress(b'{"kind": "header", "format": "pytest/1"}\n', mtime=0), "not the header"),
        (
            gzip.compress(b'{"kind": "header", "format": "kl-conformance-run/9"}\n', mtime=0),
            "'kl-conformance-run/9', and only",
        ),
        (
            gzip.compress(json.dumps(HEADER).encode() + b"\n", mtime=0),
            "damaged header: 'planned' is not a list",
        ),
        (
            gzip.compress(json.dumps({**HEADER, "planned": ["x"]}).encode() + b"\n", mtime=0),
            "not of the form",
        ),
    ],
)
def test_what_is_not_a_run_file_is_named(content: bytes, reason: str, tmp_path: Path) -> None:
    """Each kind of foreign or damaged file gets one message with its path and what is wrong."""
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(RunFileError, match=re.escape(reason)) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_line_that_makes_no_sense_is_said(run: Run, tmp_path: Path) -> None:
    """A result with an unknown verdict is lost with a remark that names it and the known ones."""
    run = small_run(run)
    path = tmp_path / "run.jsonl.gz"
    lines = [
        encode_header(run.header),
        {**encode_result(run.results[0]), "verdict": "SPLENDID"},
        {"kind": "footer", "finished": "now"},
    ]
    path.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    back = read(path)
    assert "verdict 'SPLENDID' is not known; known: PASS, FAIL" in back.remarks[0]
    assert back.results[0].verdict is Verdict.MISSING


def test_what_is_nested_without_end_is_not_evidence(run: Run, tmp_path: Path) -> None:
    """A witness nested deeper than any is a damaged line, and what is left can be written again."""
    run = small_run(run)
    path = tmp_path / "run.jsonl.gz"
    result = json.dumps({**encode_result(run.results[0]), "witness": {"x": "here"}})
    lines = (json.dumps(encode_header(run.header)), result.replace('"here"', "[" * 600 + "]" * 600), "")
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    back = read(path)
    assert "nested more than" in back.remarks[0]
    write(path, back)


def test_a_path_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    """No such file and a folder are told apart."""
    with pytest.raises(RunFileError, match="no such file"):
        read(tmp_path / "none.jsonl.gz")
    with pytest.raises(RunFileError, match="cannot be read"):
        read(tmp_path)


def begin(path: Path, _: Run) -> None:
    """Begin a run file."""
    Writer(path).close()


@pytest.mark.parametrize("make", [begin, write])
def test_a_path_that_cannot_be_written_is_named(
    make: Callable[[Path, Run], object], run: Run, tmp_path: Path
) -> None:
    """A folder that is not there and a path that is a folder give one clear error with the path asked for."""
    for path in (tmp_path / "none" / "run.jsonl.gz", tmp_path):
        with pytest.raises(RunFileError, match="cannot be written") as caught:
            make(path, run)
        assert caught.value.path == path


def test_a_failed_write_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    """A run that cannot be written replaces nothing and leaves nothing behind."""
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    odd = replace(run.results[0], witness={"not data": object()})
    with pytest.raises(TypeError):
        write(path, replace(run, results=(odd,)))
    assert read(path) == run
    assert list(tmp_path.iterdir()) == [path]


def test_a_follower_sees_every_line_once(run: Run, tmp_path: Path) -> None:
    """A reader of a growing file gets each line when it is complete, and half a line only then."""
    run = small_run(run)
    path = tmp_path / "run.jsonl.gz"
    follower = follow(path)
    assert follower.poll() == []
    seen: list[str] = []
    with Writer(path) as writer:
        writer.header(run.header)
        for result in run.results:
            writer.started(result.cell)
            writer.result(result)
            seen += [kind for kind, _ in follower.poll()]
        writer.footer()
    seen += [kind for kind, _ in follower.poll()]
    assert seen == ["header", *(["started", "result"] * 8), "footer"]
    assert follower.poll() == []

    data = path.read_bytes()
    growing = tmp_path / "growing.jsonl.gz"
    growing.write_bytes(b"")
    follower, seen = follow(growing), []
    for place in range(0, len(data), 7):
        with growing.open("ab") as file:
            file.write(data[place : place + 7])
        seen += [kind for kind, _ in follower.poll()]
    assert seen == ["header", *(["started", "result"] * 8), "footer"]
