"""Kernels that crash, hang, leak or misbehave: each costs its own cells, and says what it did in a sentence."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import rel_entr

from kl_cases.recipes import TestProfile
from kl_conformance import processes
from kl_conformance.cli import run as run_command
from kl_conformance.cli.run import RunOptions
from kl_conformance.harness import heartbeat
from kl_conformance.harness.heartbeat import State
from kl_conformance.implementations import loading
from kl_conformance.implementations.adapter import adapted
from kl_conformance.runs import process as worker_process
from kl_conformance.runs.plan import Plan
from kl_conformance.runs.process import Limits
from kl_conformance.runs.selection import Selection
from kl_conformance.runs.session import Session
from kl_conformance.runs.shards import shards
from kl_conformance_testkit.command import SLOW, start_cli
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Kind, Result, Run, Verdict

REL_ENTR = "scipy.special.rel_entr"
KERNELS = Path(__file__).parents[1] / "data" / "misbehaving_kernels.py"
FEW = "values/near-equal or values/extreme or signs/pointwise"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that tests a misbehaving kernel on a few requirements and reads the run file back."""
    monkeypatch.setenv("KL_TRIALS_ONCE", str(tmp_path / "once"))

    def ask(name: str, keyword: str = FEW, limits: Limits | None = None) -> tuple[int, Run]:
        output = tmp_path / "run.jsonl.gz"
        request = RunOptions(
            (f"{KERNELS}:{name}",),
            ("numpy",),
            dtypes=("float32",),
            profile="quick",
            seed=1,
            keyword=keyword,
            output=output,
            like=REL_ENTR,
        )
        return run_command.run(request, limits=limits), read(output)

    return ask


def of(run: Run, verdict: Verdict) -> list[Result]:
    """Return the results with that verdict."""
    return [result for result in run.results if result.verdict is verdict]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("faulty", "was ended by signal 11 (SIGSEGV)"),
        ("aborting", "was ended by signal 6 (SIGABRT)"),
        ("leaving", "ended with exit code 0"),
    ],
)
def test_a_crash_costs_one_cell_and_names_the_call(
    asked: Any, capsys: pytest.CaptureFixture[str], name: str, how: str
) -> None:
    """A process that ends in the middle of a call: that cell says which call it was, and all others are judged."""
    code, run = asked(name)
    assert code == 1
    (crashed,) = of(run, Verdict.CRASHED)
    call = rf"Its process {re.escape(how)}; it was asked {name}\(target=probability, model=probability\) of shapes \["
    assert re.match(call, crashed.detail), crashed.detail
    assert "in float32" in crashed.detail
    assert crashed.kind is Kind.CRASHED
    assert len(of(run, Verdict.PASS)) == len(run.results) - 1 == 2
    assert run.finished is not None
    assert run.remarks == (f"the worker of misbehaving_kernels.py:{name} {how}",)
    log = Path(
        capsys.readouterr()
        .err.rpartition(f"All the worker of misbehaving_kernels.py:{name} said: ")[2]
        .strip()
    )
    assert log.is_file()


def test_what_never_ends_is_ended(asked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A call without an end costs its cell the time allowed; the cell says which call, and all others are judged."""
    monkeypatch.setenv(worker_process.OTHERWISE, "1.5")
    code, run = asked("endless")
    assert code == 1
    (late,) = of(run, Verdict.TIMED_OUT)
    assert late.detail.startswith("Its process gave no answer within 1.5 s (KL_CONFORMANCE_SECONDS sets")
    assert "it was asked endless(target=probability" in late.detail
    assert late.kind is Kind.TIMED_OUT
    assert len(of(run, Verdict.PASS)) == 2


@pytest.mark.skipif(
    processes.resident(os.getpid()) is None, reason="only Linux says how much memory a process has"
)
def test_who_takes_too_much_memory_is_ended(asked: Any) -> None:
    """A leak costs its cell, and not the machine; the cell says how much it was, and which call."""
    code, run = asked("leaking", limits=Limits(memory=1 << 29))
    assert code == 1
    (crashed,) = of(run, Verdict.CRASHED)
    words = r"Its process grew from 0\.\d to \d\.\d GiB of memory, and was ended: 0\.5 GiB are allowed here"
    assert re.match(words, crashed.detail), crashed.detail
    assert "it was asked leaking(" in crashed.detail
    assert len(of(run, Verdict.PASS)) == 2


def test_what_always_dies_costs_little(asked: Any) -> None:
    """After a few deaths in a column the rest of it is MISSING, with the reason."""
    code, run = asked("fatal", "values", Limits(deaths=2))
    assert code == 1
    assert len(of(run, Verdict.CRASHED)) == 2
    assert {each.detail for each in of(run, Verdict.MISSING)} == {
        "not asked: 2 processes had ended in this column before"
    }
    assert run.finished is not None


def test_a_thread_left_running_keeps_nobody(asked: Any) -> None:
    """A process that cannot end, as a thread of the kernel's never does, is ended when its file is closed."""
    code, run = asked("threading_kl", "values/near-equal", Limits(patience=0.5))
    assert code == 0
    assert [each.verdict for each in run.results] == [Verdict.PASS]
    assert not run.remarks


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone ends a child with its parent")
def test_workers_do_not_outlive_the_run(tmp_path: Path) -> None:
    """``kill -9`` of the run ends its workers as well."""
    with start_cli("run", SLOW, "-k", "values", "--profile", "quick", "--seed", "1", at=tmp_path) as process:
        page = _appearing(tmp_path, "*.parts-*/*.note")
        _until(lambda: bool(heartbeat.read(page).call))
        (child,) = _children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _until(lambda: not _alive(child))


def _appearing(folder: Path, pattern: str) -> Path:
    _until(lambda: any(folder.glob(pattern)))
    return next(folder.glob(pattern))


def _until(true: Any) -> None:
    end = time.monotonic() + 40
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


def _children(process: int) -> list[int]:
    text = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
    return [int(each) for each in text.split()]


def _alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in {"Z", "X"}


def settle(kernel: Any, *requirements: str) -> list[Result]:
    """Settle cells of a kernel here, in this process."""
    selection = Selection(devices=("cpu",), dtypes=("float32",), profile=TestProfile.QUICK)
    implementation = adapted(kernel, loading.implementation(REL_ENTR), "mine", framework="numpy")
    planned = Plan.of(selection, [implementation]).cells
    session = Session(selection)
    return [
        session.evaluate(each) for each in planned if not requirements or each.requirement.id in requirements
    ]


def nothing(p: Any, q: Any) -> Any:
    """Return nothing."""


def seven(p: Any, q: Any) -> Any:
    """Return seven numbers, whatever is asked."""
    return np.zeros(7, np.float32)


def words_alone(p: Any, q: Any) -> Any:
    """Return a string."""
    return "kl"


def ragged(p: Any, q: Any) -> Any:
    """Return an answer and something beside it."""
    return p, 1


def first_alone(p: Any, q: Any) -> Any:
    """Return an answer of another shape."""
    return p[:1].ravel()


def raising(p: Any, q: Any) -> Any:
    """Raise what has no words for itself."""

    class WordlessError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("none")

    raise WordlessError


def leaving(p: Any, q: Any) -> Any:
    """Try to end the process politely."""
    sys.exit(3)


@pytest.mark.parametrize(
    ("kernel", "kind", "words"),
    [
        (nothing, Kind.NO_TENSOR, "gave None where a numpy.ndarray is due"),
        (words_alone, Kind.NO_TENSOR, "gave a str where a numpy.ndarray is due"),
        (ragged, Kind.NO_TENSOR, "gave a tuple of 2 where a numpy.ndarray is due"),
        (first_alone, Kind.SHAPE, "returned shape (1,), expected"),
        (leaving, Kind.RAISED, "raised SystemExit: 3"),
        (raising, Kind.RAISED, "raised WordlessError: (its message cannot be computed)"),
    ],
)
def test_what_is_no_answer_is_a_sentence(kernel: Any, kind: Kind, words: str) -> None:
    """None, a string, a pair, another shape, an attempt to leave: the verdict says what came back, and its kind."""
    (result,) = settle(kernel, "values/near-equal")
    assert (result.verdict, result.kind) == (Verdict.FAIL, kind)
    assert words.lower() in result.detail.lower()
    seen = result.witness or {}
    assert seen["kind"] == kind.value
    assert (seen.get("got_shape") is None) is (kind is not Kind.SHAPE)
    error = seen.get("raised")
    assert (error is None) is (kind is not Kind.RAISED)
    assert error is None or words == f"raised {error['type']}: {error['message']}"


@pytest.mark.parametrize(("kernel", "words"), [(nothing, "returned None"), (seven, "returned shape")])
def test_an_answer_of_another_shape_breaks_nothing_of_ours(kernel: Any, words: str) -> None:
    """Whatever comes back, every requirement has a verdict."""
    found = {each.requirement: each for each in settle(kernel)}
    assert found["values/pointwise"].verdict is Verdict.FAIL
    assert any(words.lower() in each.detail.lower() for each in found.values())


def strict_kl(p: Any, q: Any) -> Any:
    """Leave NumPy raising errors where it warned."""
    np.seterr(all="raise")
    with np.errstate(all="ignore"):
        return rel_entr(p, q)


def test_a_changed_error_state_stays_in_its_cell() -> None:
    """Who leaves NumPy raising floating-point errors is told so, and they end neither the run nor another's cell."""
    before = np.geterr()
    found = {each.requirement: each for each in settle(strict_kl)}
    assert np.geterr() == before
    assert found["state/surroundings"].verdict is Verdict.FAIL
    assert "floating-point errors" in found["state/surroundings"].detail
    assert found["values/pointwise"].verdict is Verdict.PASS


def test_a_note_says_who_is_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page tells, to whoever reads the file, the last call, and whether it has returned."""
    page = tmp_path / "page"
    assert heartbeat.read(page) == heartbeat.Heartbeat()
    heartbeat.create(page)
    monkeypatch.setattr(heartbeat, "_pages", [])
    heartbeat.record_call(lambda: "never made: no page is kept")
    heartbeat.open_for_writing(page)
    heartbeat.record_call(lambda: "kl(3)")
    with heartbeat.calling(), heartbeat.calling(State.COMPILING):
        inside = heartbeat.read(page)
    after = heartbeat.read(page)
    assert (inside.call, inside.state) == ("kl(3)", State.COMPILING)
    assert (after.call, after.state) == ("kl(3)", State.IDLE)
    assert after.beat > inside.beat
    heartbeat.record_call(lambda: "é" * heartbeat.SIZE)
    assert heartbeat.read(page).call.startswith("éé")


def test_a_kernel_asked_alone_is_divided_by_dtype() -> None:
    """On two cores two processes ask it, each in dtypes of its own; together they plan every cell once."""
    selection = Selection((f"{KERNELS}:right",), ("numpy",), devices=("cpu",), like=REL_ENTR)
    (whole,) = shards(selection, cores=1, worth_dividing=1)
    parts = shards(selection, cores=2, worth_dividing=1)
    assert [part.name for part in parts] == [
        "misbehaving_kernels.py:right 1/2",
        "misbehaving_kernels.py:right 2/2",
    ]
    assert sorted(cell for part in parts for cell in part.header.planned) == sorted(whole.header.planned)
    for part in parts:
        assert {column.dtype for column in part.header.columns.values()} == set(part.selection.dtypes)
