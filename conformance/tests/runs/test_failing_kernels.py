"""A kernel that crashes, hangs or leaks costs only its own cells, and a sentence describes the failure."""

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
from kl_conformance.harness import heartbeat
from kl_conformance.harness.heartbeat import State
from kl_conformance.implementations import loading
from kl_conformance.implementations.adapter import adapted
from kl_conformance.runs import process as worker_process
from kl_conformance.runs.execution import RunOptions, execute
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
def run_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that tests a misbehaving kernel on a few requirements and reads the run file."""
    monkeypatch.setenv("KL_TESTKIT_ONCE", str(tmp_path / "once"))

    def run(name: str, keyword: str = FEW, limits: Limits | None = None) -> tuple[int, Run]:
        output = tmp_path / "run.jsonl.gz"
        options = RunOptions(
            (f"{KERNELS}:{name}",),
            ("numpy",),
            dtypes=("float32",),
            profile="quick",
            seed=1,
            keyword=keyword,
            output=output,
            like=REL_ENTR,
        )
        return execute(options, limits=limits), read(output)

    return run


def with_verdict(run: Run, verdict: Verdict) -> list[Result]:
    """Return the results with a verdict."""
    return [result for result in run.results if result.verdict is verdict]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("segfaulting", "was ended by signal 11 (SIGSEGV)"),
        ("aborting", "was ended by signal 6 (SIGABRT)"),
        ("exiting", "ended with exit code 0"),
    ],
)
def test_a_crash_costs_one_cell_and_names_the_call(
    run_kernel: Any, capsys: pytest.CaptureFixture[str], name: str, reason: str
) -> None:
    """If a process ends during a call, its cell names the call, and all other cells are evaluated."""
    code, run = run_kernel(name)
    assert code == 1
    (crashed,) = with_verdict(run, Verdict.CRASHED)
    call = rf"{name}\(target=probability, model=probability\) of shapes \["
    sentence = rf"Its process {re.escape(reason)}; the call in progress was {call}"
    assert re.match(sentence, crashed.detail), crashed.detail
    assert "in float32" in crashed.detail
    assert crashed.kind is Kind.CRASHED
    assert len(with_verdict(run, Verdict.PASS)) == len(run.results) - 1 == 2
    assert run.finished is not None
    assert run.remarks == (f"the worker of misbehaving_kernels.py:{name} {reason}",)
    err = capsys.readouterr().err
    log = Path(err.rpartition(f"Log of the worker of misbehaving_kernels.py:{name}: ")[2].strip())
    assert log.is_file()


def test_a_call_that_never_ends_is_timed_out(run_kernel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cell names the call, and all other cells are evaluated."""
    monkeypatch.setenv(worker_process.SECONDS_VARIABLE, "1.5")
    code, run = run_kernel("endless")
    assert code == 1
    (late,) = with_verdict(run, Verdict.TIMED_OUT)
    assert late.detail.startswith("Its process returned no answer within 1.5 s (KL_CONFORMANCE_SECONDS sets")
    assert "the call in progress was endless(target=probability" in late.detail
    assert late.kind is Kind.TIMED_OUT
    assert len(with_verdict(run, Verdict.PASS)) == 2


@pytest.mark.skipif(
    processes.resident_memory(os.getpid()) is None, reason="the memory of a process is known on Linux only"
)
def test_a_process_that_exceeds_its_memory_is_ended(run_kernel: Any) -> None:
    """Its cell describes the growth and names the call."""
    code, run = run_kernel("leaking", limits=Limits(memory=1 << 29))
    assert code == 1
    (crashed,) = with_verdict(run, Verdict.CRASHED)
    growth = r"Its process grew from 0\.\d to \d\.\d GiB of memory and was ended; its limit is 0\.5 GiB"
    assert re.match(growth, crashed.detail), crashed.detail
    assert "the call in progress was leaking(" in crashed.detail
    assert len(with_verdict(run, Verdict.PASS)) == 2


def test_a_kernel_that_always_crashes_costs_little_time(run_kernel: Any) -> None:
    """After a few early exits in a column the rest of it is MISSING, with the reason."""
    code, run = run_kernel("fatal", "values", Limits(max_exits=2))
    assert code == 1
    assert len(with_verdict(run, Verdict.CRASHED)) == 2
    assert {each.detail for each in with_verdict(run, Verdict.MISSING)} == {
        "skipped: the column's process had already exited 2 times"
    }
    assert run.finished is not None


def test_a_thread_left_running_does_not_delay_the_run(run_kernel: Any) -> None:
    """A process that does not end after it has closed its run file is killed."""
    code, run = run_kernel("threading_kl", "values/near-equal", Limits(exit_seconds=0.5))
    assert code == 0
    assert [each.verdict for each in run.results] == [Verdict.PASS]
    assert not run.remarks


@pytest.mark.skipif(sys.platform != "linux", reason="a child process ends with its parent on Linux only")
def test_workers_do_not_outlive_the_run(tmp_path: Path) -> None:
    """``kill -9`` of the run ends its workers as well."""
    with start_cli("run", SLOW, "-k", "values", "--profile", "quick", "--seed", "1", at=tmp_path) as process:
        file = _wait_for_file(tmp_path, "*.parts-*/*.heartbeat")
        _wait_until(lambda: bool(heartbeat.read(file).call))
        (child,) = _children(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        _wait_until(lambda: not _alive(child))


def _wait_for_file(folder: Path, pattern: str) -> Path:
    _wait_until(lambda: any(folder.glob(pattern)))
    return next(folder.glob(pattern))


def _wait_until(condition: Any) -> None:
    end = time.monotonic() + 40
    while not condition():
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


def evaluate(kernel: Any, *requirements: str) -> list[Result]:
    """Evaluate cells of a kernel in this process."""
    selection = Selection(devices=("cpu",), dtypes=("float32",), profile=TestProfile.QUICK)
    implementation = adapted(kernel, loading.implementation(REL_ENTR), "my_kl", framework="numpy")
    planned = Plan.of(selection, [implementation]).cells
    session = Session(selection)
    tested = [each for each in planned if not requirements or each.requirement.id in requirements]
    return [session.evaluate(each) for each in tested]


def nothing(p: Any, q: Any) -> Any:
    """Return nothing."""


def seven(p: Any, q: Any) -> Any:
    """Return seven numbers, for any input."""
    return np.zeros(7, np.float32)


def string(p: Any, q: Any) -> Any:
    """Return a string."""
    return "kl"


def tuple_of_two(p: Any, q: Any) -> Any:
    """Return a tuple of an array and a number."""
    return p, 1


def first_row(p: Any, q: Any) -> Any:
    """Return an array of another shape."""
    return p[:1].ravel()


def raising(p: Any, q: Any) -> Any:
    """Raise an error that cannot be converted to text."""

    class TextlessError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("none")

    raise TextlessError


def exiting(p: Any, q: Any) -> Any:
    """Call ``sys.exit``."""
    sys.exit(3)


@pytest.mark.parametrize(
    ("kernel", "kind", "message"),
    [
        (nothing, Kind.NO_TENSOR, "returned None, expected a numpy.ndarray"),
        (string, Kind.NO_TENSOR, "returned a str, expected a numpy.ndarray"),
        (tuple_of_two, Kind.NO_TENSOR, "returned a tuple of 2, expected a numpy.ndarray"),
        (first_row, Kind.SHAPE, "model=probability) returned shape (1,), expected (2,)."),
        (exiting, Kind.RAISED, "raised SystemExit: 3"),
        (raising, Kind.RAISED, "raised TextlessError: (its message cannot be computed)"),
    ],
)
def test_an_invalid_answer_is_described(kernel: Any, kind: Kind, message: str) -> None:
    """For None, a string, a tuple, another shape and an exception the result has a description and a kind."""
    (result,) = evaluate(kernel, "values/near-equal")
    assert (result.verdict, result.kind) == (Verdict.FAIL, kind)
    assert message.lower() in result.detail.lower()
    witness = result.witness or {}
    assert witness["kind"] == kind.value
    assert (witness.get("got_shape") is None) is (kind is not Kind.SHAPE)
    error = witness.get("raised")
    assert (error is None) is (kind is not Kind.RAISED)
    assert error is None or message == f"raised {error['type']}: {error['message']}"


@pytest.mark.parametrize(("kernel", "message"), [(nothing, "returned None"), (seven, "shape (7,)")])
def test_an_answer_of_another_shape_does_not_break_the_suite(kernel: Any, message: str) -> None:
    """Whatever a kernel returns, every requirement has a verdict."""
    found = {each.requirement: each for each in evaluate(kernel)}
    assert found["values/pointwise"].verdict is Verdict.FAIL
    assert any(message.lower() in each.detail.lower() for each in found.values())


def strict_kl(p: Any, q: Any) -> Any:
    """Let NumPy raise errors instead of warnings, from now on."""
    np.seterr(all="raise")
    with np.errstate(all="ignore"):
        return rel_entr(p, q)


def test_a_changed_error_state_stays_in_its_cell() -> None:
    """A kernel that changes NumPy's error state fails state/surroundings, and affects no other cell."""
    before = np.geterr()
    found = {each.requirement: each for each in evaluate(strict_kl)}
    assert np.geterr() == before
    assert found["state/surroundings"].verdict is Verdict.FAIL
    assert "floating-point errors" in found["state/surroundings"].detail
    assert found["values/pointwise"].verdict is Verdict.PASS


def test_a_heartbeat_file_contains_the_call_in_progress(tmp_path: Path) -> None:
    """Another process can read the last call, and whether it has returned."""
    file = tmp_path / "heartbeat"
    assert heartbeat.read(file) == heartbeat.Heartbeat()
    heartbeat.create(file)
    heartbeat.record_call(lambda: "never recorded: no file is open")
    heartbeat.open_for_writing(file)
    heartbeat.record_call(lambda: "kl(3)")
    with heartbeat.calling(), heartbeat.calling(State.COMPILING):
        inside = heartbeat.read(file)
    after = heartbeat.read(file)
    assert (inside.call, inside.state) == ("kl(3)", State.COMPILING)
    assert (after.call, after.state) == ("kl(3)", State.IDLE)
    assert after.beat > inside.beat
    heartbeat.record_call(lambda: "é" * heartbeat.SIZE)
    assert heartbeat.read(file).call.startswith("éé")


def test_a_single_kernel_is_divided_by_dtype() -> None:
    """On two cores it has two shards with different dtypes, which together plan every cell once."""
    selection = Selection((f"{KERNELS}:correct",), ("numpy",), devices=("cpu",), like=REL_ENTR)
    (whole,) = shards(selection, cores=1, min_cells=1)
    parts = shards(selection, cores=2, min_cells=1)
    assert [part.name for part in parts] == ["misbehaving_kernels.py:correct 1/2", "misbehaving_kernels.py:correct 2/2"]
    assert sorted(cell for part in parts for cell in part.header.planned) == sorted(whole.header.planned)
    for part in parts:
        assert {column.dtype for column in part.header.columns.values()} == set(part.selection.dtypes)
