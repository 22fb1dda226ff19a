"""Whatever happens to a writing process, runs ingested before stay complete."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from kl_reports.runfile.file import read, write
from kl_reports.runfile.records import Run
from kl_reports.store.database import Database
from kl_reports.store.schema import RUNS
from kl_reports.store.store import Store

ONE, ALL = "one.jsonl.gz", ("a.jsonl.gz", "b.jsonl.gz", "c.jsonl.gz")
PATIENCE = 120

INGEST = """
import sys
from pathlib import Path
from kl_reports.store.store import Store
place, *files = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
for file in files:
    with Store(place, make=True) as store:
        store.add(Path(file))
"""
# The process stops between the insertion of the rows and the commit.
STOP = """
from sqlalchemy import Engine, event
@event.listens_for(Engine, "commit")
def stop(connection):
    print("before the commit", flush=True)
    sys.stdin.readline()
"""
INGEST_AND_STOP = INGEST.replace('print("ready", flush=True)\nsys.stdin.readline()', STOP)


def start(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a process and return after it has printed a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    return process


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Let a process continue, and return its exit code and stderr."""
    _, stderr = process.communicate("\n", timeout=PATIENCE)
    return process.returncode, stderr


@pytest.fixture
def files(run: Run, tmp_path: Path) -> list[Path]:
    """Run files of different seeds."""
    for seed, name in enumerate((ONE, *ALL)):
        write(tmp_path / name, replace(run, header=replace(run.header, seed=seed)))
    return [tmp_path / name for name in ALL]


def test_several_processes_write_at_once(files: list[Path], place: str) -> None:
    """Two processes that create the same store at once and ingest the same files succeed; each run is stored once."""
    writers = [start(INGEST, place, *order) for order in (files, files[::-1])]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [finish(writer) for writer in writers] == [(0, ""), (0, "")]
    with Store(place) as store:
        assert sorted(entry.path for entry in store.runs()) == sorted(map(str, files))
        assert [store.run(entry.record) for entry in store.runs()] == [read(Path(entry.path)) for entry in store.runs()]


def test_a_reader_waits_for_no_writer(files: list[Path], place: str, tmp_path: Path) -> None:
    """While a run is written, earlier runs can be read."""
    with Store(place, make=True) as store:
        before, _ = store.add(tmp_path / ONE)
        writer = start(INGEST_AND_STOP, place, files[0])
        assert [entry.record for entry in store.runs()] == [before]
        assert store.run(before) == read(tmp_path / ONE)
        assert finish(writer) == (0, "")
        assert len(store.runs()) == 2


def test_a_writer_waits_for_no_reader(files: list[Path], place: str, tmp_path: Path) -> None:
    """A run is ingested during a read transaction, which keeps its snapshot of the store."""
    with Store(place, make=True) as store:
        store.add(tmp_path / ONE)
    runs = select(func.count()).select_from(RUNS)
    database = Database(place)
    with database.reading() as connection:
        assert connection.execute(runs).scalar_one() == 1
        assert finish(start(INGEST, place, files[0])) == (0, "")
        assert connection.execute(runs).scalar_one() == 1
    with database.reading() as connection:
        assert connection.execute(runs).scalar_one() == 2
    database.close()


def test_a_killed_writer_loses_nothing_but_its_run(files: list[Path], place: str, tmp_path: Path) -> None:
    """After kill -9 during ingestion the store has all earlier runs, and the run can be ingested again."""
    with Store(place, make=True) as store:
        before, _ = store.add(tmp_path / ONE)
    writer = start(INGEST_AND_STOP, place, files[0])
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.communicate()
    with Store(place) as store:
        assert [entry.record for entry in store.runs()] == [before]
        assert store.run(before) == read(tmp_path / ONE)
        again, fresh = store.add(files[0])
        assert fresh
        assert store.run(again) == read(files[0])


def full(code: str, most: int) -> str:
    """Return code that runs with a limit on the size of files in bytes."""
    return f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n{code}"


def test_a_full_disk_is_reported_and_loses_no_run(
    make_run: Callable[..., Run], files: list[Path], tmp_path: Path
) -> None:
    """The error is one clear message, and the store has all earlier runs."""
    place = str(tmp_path / "store.db")
    with Store(place, make=True) as store:
        store.add(tmp_path / ONE)
    room = (tmp_path / "store.db").stat().st_size
    large = make_run(("cpu", "cuda", "tpu"))
    witness = {"got": [f"f64:{number:016x}" for number in range(20_000)]}
    large = replace(large, results=(replace(large.results[0], witness=witness), *large.results[1:]))
    write(tmp_path / "large.jsonl.gz", large)
    code, stderr = finish(start(full(INGEST, room), place, tmp_path / "large.jsonl.gz"))
    assert code == 1
    assert stderr.splitlines()[-1].startswith("kl_reports.store.database.StoreError: ")
    assert "no space left" in stderr.splitlines()[-1]
    with Store(place) as store:
        assert [entry.path for entry in store.runs()] == [str(tmp_path / ONE)]
        assert store.run(store.runs()[0].record) == read(tmp_path / ONE)
        store.add(files[0])
