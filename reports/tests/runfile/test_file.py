"""A run file is read as it was written."""

import gzip
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from kl_reports.files import RunFileError
from kl_reports.runfile.file import Writer, read, write
from kl_reports.runfile.follow import Follower
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Run
from kl_reports_testkit.strategies import runs


# Every example replaces the file of the one before.
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(run=runs())
def test_a_run_survives_being_written(run: Run, tmp_path: Path) -> None:
    """The run that is read equals the run written, to the last bit of a NaN."""
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    back = read(path)
    assert encode(back.header) == encode(run.header)
    assert [encode(result) for result in back.results] == [encode(result) for result in run.results]
    assert (back.finished, back.remarks) == (run.finished, run.remarks)


def test_a_whole_run_is_equal_when_read_back(run: Run, hostile_run: Run, tmp_path: Path) -> None:
    """Every field of a realistic run and of a hostile one is read as written."""
    write(tmp_path / "run.jsonl.gz", run)
    assert read(tmp_path / "run.jsonl.gz") == run
    write(tmp_path / "hostile.jsonl.gz", hostile_run)
    assert str(read(tmp_path / "hostile.jsonl.gz")) == str(hostile_run)


def test_no_number_is_printed(run: Run, tmp_path: Path) -> None:
    """No float in the file is a printed number, not even one in a witness."""
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


def test_unknown_keys_are_ignored(small_run: Run, tmp_path: Path) -> None:
    """A later version may add keys."""
    run = small_run
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    path.write_bytes(gzip.compress(b"".join(json.dumps({**line, "later": [1]}).encode() + b"\n" for line in lines)))
    assert read(path) == run


def begin(path: Path, _: Run) -> None:
    """Begin a run file."""
    Writer(path).close()


@pytest.mark.parametrize("make", [begin, write])
def test_an_unwritable_path_is_described(make: Callable[[Path, Run], object], run: Run, tmp_path: Path) -> None:
    """A missing folder and a path that is a folder raise one error with the path given."""
    for path in (tmp_path / "none" / "run.jsonl.gz", tmp_path):
        with pytest.raises(RunFileError, match="cannot be written") as caught:
            make(path, run)
        assert caught.value.path == path


def test_a_failed_write_leaves_the_old_file(run: Run, tmp_path: Path) -> None:
    """A run that cannot be written replaces no file and leaves no temporary file."""
    path = tmp_path / "run.jsonl.gz"
    write(path, run)
    odd = replace(run.results[0], witness={"not data": object()})
    with pytest.raises(TypeError):
        write(path, replace(run, results=(odd,)))
    assert read(path) == run
    assert list(tmp_path.iterdir()) == [path]


def test_a_follower_sees_every_line_once(small_run: Run, tmp_path: Path) -> None:
    """A reader of a growing file receives each line once, when it is complete."""
    run = small_run
    path = tmp_path / "run.jsonl.gz"
    follower = Follower(path)
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
    follower, seen = Follower(growing), []
    for place in range(0, len(data), 7):
        with growing.open("ab") as file:
            file.write(data[place : place + 7])
        seen += [kind for kind, _ in follower.poll()]
    assert seen == ["header", *(["started", "result"] * 8), "footer"]
