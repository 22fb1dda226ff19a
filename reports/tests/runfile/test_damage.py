"""A damaged or incomplete run file yields what was recorded, and describes what was lost."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import kl_reports
from kl_reports.files import RunFileError
from kl_reports.runfile.file import Writer, read, write
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import FORMAT, CutOff, Run, Verdict


def test_a_file_cut_off_anywhere_yields_what_was_recorded(small_run: Run, tmp_path: Path) -> None:
    """After the header every prefix of a run file is readable, and cells without a result are CRASHED or MISSING."""
    run = small_run
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
    # Every prefix within the header is the same error, so every twentieth byte is enough.
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
        assert (back.finished is not None) == (back.cut_off == ())
        if size >= footed:
            assert back.finished is not None
        if lost:
            assert back.cut_off == (CutOff("cut.jsonl.gz", recorded[-1], 8),)
            assert back.sentences == (f"cut.jsonl.gz was cut off after {recorded[-1]} of 8 cells",)
    assert recorded == sorted(recorded)
    assert set(recorded) == set(range(9))


def test_a_damaged_byte_is_noticed(small_run: Run, tmp_path: Path) -> None:
    """A byte changed anywhere gives the run unchanged, a remark, or one clear error; never a wrong run."""
    run = small_run
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


def test_a_killed_process_loses_only_what_it_had_not_written(small_run: Run, tmp_path: Path) -> None:
    """After kill -9 the cell in progress is CRASHED, later cells are MISSING, and earlier results are complete."""
    run = small_run
    write(tmp_path / "whole.jsonl.gz", run)
    path = tmp_path / "killed.jsonl.gz"
    code = f"""
import pathlib, time
from kl_reports.runfile.file import Writer, read
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
    assert back.cut_off == (CutOff("killed.jsonl.gz", 3, 8),)


def test_an_exception_leaves_no_footer(run: Run, tmp_path: Path) -> None:
    """Ctrl-C in the middle leaves a readable file without a finish time."""
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


def test_a_clean_end_without_a_result_is_missing(small_run: Run, tmp_path: Path) -> None:
    """A planned cell without a result in a finished run is MISSING, with that reason."""
    path = tmp_path / "run.jsonl.gz"
    with Writer(path) as writer:
        writer.header(small_run.header)
        writer.started(small_run.results[0].cell)
        writer.footer()
    back = read(path)
    assert {result.verdict for result in back.results} == {Verdict.MISSING}
    assert "ended without a result" in back.results[0].detail


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
        (gzip.compress(b'{"kind": "header", "format": "pytest/1"}\n', mtime=0), "not a run-file header"),
        (
            gzip.compress(b'{"kind": "header", "format": "kl-conformance-run/9"}\n', mtime=0),
            "has format 'kl-conformance-run/9'; known: 'kl-conformance-run/1', 'kl-conformance-run/2'; read it with",
        ),
        (gzip.compress(json.dumps(HEADER).encode() + b"\n", mtime=0), "damaged header: 'started' is missing"),
        (
            gzip.compress(json.dumps({**HEADER, "started": 3}).encode() + b"\n", mtime=0),
            "damaged header: 'started': expected text, given 3",
        ),
    ],
)
def test_a_file_that_is_not_a_run_file_is_described(content: bytes, reason: str, tmp_path: Path) -> None:
    """Each kind of foreign or damaged file has one message with its path and the reason."""
    path = tmp_path / "run.jsonl.gz"
    path.write_bytes(content)
    with pytest.raises(RunFileError, match=re.escape(reason)) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_an_invalid_line_is_described(small_run: Run, tmp_path: Path) -> None:
    """A result with an unknown verdict is lost with a remark that has it and the known verdicts."""
    run = small_run
    path = tmp_path / "run.jsonl.gz"
    lines = [
        encode(run.header),
        {**encode(run.results[0]), "verdict": "SPLENDID"},
        {"kind": "footer", "finished": "now"},
    ]
    path.write_bytes(gzip.compress(b"".join(json.dumps(line).encode() + b"\n" for line in lines)))
    back = read(path)
    assert "'verdict': 'SPLENDID' is not known; known: PASS, FAIL" in back.remarks[0]
    assert back.results[0].verdict is Verdict.MISSING


def test_a_line_nested_too_deep_is_damaged(small_run: Run, tmp_path: Path) -> None:
    """A witness nested deeper than the limit is lost with a remark, and the rest can be written again."""
    run = small_run
    path = tmp_path / "run.jsonl.gz"
    result = json.dumps({**encode(run.results[0]), "witness": {"x": "here"}})
    lines = (json.dumps(encode(run.header)), result.replace('"here"', "[" * 600 + "]" * 600), "")
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))
    back = read(path)
    assert "nested more than" in back.remarks[0]
    write(path, back)


def test_an_unreadable_path_is_described(tmp_path: Path) -> None:
    """A missing file and a folder have different messages."""
    with pytest.raises(RunFileError, match="no such file"):
        read(tmp_path / "none.jsonl.gz")
    with pytest.raises(RunFileError, match="cannot be read"):
        read(tmp_path)
