"""Whatever happens to a process that writes to a store, what was ingested before stays whole."""

from __future__ import annotations

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
# The run's results are in the database's hands, and it has not been told to keep them.
STOP = """
from sqlalchemy import Engine, event
@event.listens_for(Engine, "commit")
def stop(connection):
    print("in the middle", flush=True)
    sys.stdin.readline()
"""


def started(code: str, *arguments: str | Path) -> subprocess.Popen[str]:
    """Start a process, and return when it has printed a line."""
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


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Let a process go on, and return its exit code and what it complained of."""
    _, complaint = process.communicate("\n", timeout=PATIENCE)
    return process.returncode, complaint


@pytest.fixture
def files(run: Run, tmp_path: Path) -> list[Path]:
    """Run files of different seeds."""
    for seed, name in enumerate((ONE, *ALL)):
        write(tmp_path / name, replace(run, header=replace(run.header, seed=seed)))
    return [tmp_path / name for name in ALL]


def test_several_processes_write_at_once(files: list[Path], place: str) -> None:
    """Two processes that make the same store at once, and ingest the same files, end well; each run is in it once."""
    writers = [started(INGEST, place, *order) for order in (files, files[::-1])]
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    assert [ended(writer) for writer in writers] == [(0, ""), (0, "")]
    with Store(place) as store:
        assert sorted(entry.path for entry in store.runs()) == sorted(map(str, files))
        assert [store.run(entry.record) for entry in store.runs()] == [
            read(Path(entry.path)) for entry in store.runs()
        ]


def test_a_reader_waits_for_no_writer(files: list[Path], place: str, tmp_path: Path) -> None:
    """While a run is written, what was there before can be read."""
    with Store(place, make=True) as store:
        before, _ = store.add(tmp_path / ONE)
        middle = INGEST.replace('print("ready", flush=True)\nsys.stdin.readline()', STOP)
        writer = started(middle, place, files[0])
        assert [entry.record for entry in store.runs()] == [before]
        assert store.run(before) == read(tmp_path / ONE)
        assert ended(writer) == (0, "")
        assert len(store.runs()) == 2


def test_a_writer_waits_for_no_reader(files: list[Path], place: str, tmp_path: Path) -> None:
    """A run is ingested while somebody reads, who goes on seeing the store as it was."""
    with Store(place, make=True) as store:
        store.add(tmp_path / ONE)
    runs = select(func.count()).select_from(RUNS)
    database = Database(place)
    with database.reading() as connection:
        assert connection.execute(runs).scalar_one() == 1
        assert ended(started(INGEST, place, files[0])) == (0, "")
        assert connection.execute(runs).scalar_one() == 1
    with database.reading() as connection:
        assert connection.execute(runs).scalar_one() == 2
    database.close()


def test_a_killed_writer_loses_nothing_but_its_run(files: list[Path], place: str, tmp_path: Path) -> None:
    """A process killed as it ingests leaves a store that opens, with every run before; that run may come again."""
    with Store(place, make=True) as store:
        before, _ = store.add(tmp_path / ONE)
    middle = INGEST.replace('print("ready", flush=True)\nsys.stdin.readline()', STOP)
    writer = started(middle, place, files[0])
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
    """Return code that runs where no file can grow beyond so many bytes."""
    return f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))\n{code}"


def test_a_full_disk_is_said_and_costs_nothing(
    make_run: Callable[..., Run], files: list[Path], tmp_path: Path
) -> None:
    """Where no room is left one clear message says so, and every run before is still there."""
    place = str(tmp_path / "store.db")
    with Store(place, make=True) as store:
        store.add(tmp_path / ONE)
    room = (tmp_path / "store.db").stat().st_size
    large = make_run(("cpu", "cuda", "tpu"))
    witness = {"got": [f"f64:{number:016x}" for number in range(20_000)]}
    large = replace(large, results=(replace(large.results[0], witness=witness), *large.results[1:]))
    write(tmp_path / "large.jsonl.gz", large)
    code, complaint = ended(started(full(INGEST, room), place, tmp_path / "large.jsonl.gz"))
    assert code == 1
    assert complaint.splitlines()[-1].startswith("kl_reports.store.database.StoreError: ")
    assert "no room" in complaint.splitlines()[-1]
    with Store(place) as store:
        assert [entry.path for entry in store.runs()] == [str(tmp_path / ONE)]
        assert store.run(store.runs()[0].record) == read(tmp_path / ONE)
        store.add(files[0])
