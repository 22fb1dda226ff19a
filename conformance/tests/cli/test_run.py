"""A run from end to end: verdicts, files, exit codes, and messages when it is interrupted."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kl_conformance import __version__, processes
from kl_conformance.runs.header import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.process import Limits, WorkerProcess
from kl_conformance.runs.selection import Selection
from kl_conformance.runs.shards import Shard
from kl_conformance.runs.worker import Worker
from kl_conformance_testkit.command import (
    CORRECT,
    CRASHING,
    DEFECTIVE,
    FRAMEWORKS,
    SLOW,
    UNCATCHABLE,
    broken_frameworks,
    run_cli,
    start_cli,
)
from kl_reports.runfile.file import read
from kl_reports.runfile.follow import Follower
from kl_reports.runfile.records import Kind, Run, Verdict

QUICK = ("--profile", "quick", "--dtype", "float32", "--seed", "1", "-o", "run.jsonl.gz")
# Frameworks that the main job does not test, and the module of each.
OTHERS = {"paddle": "paddle", "tfp": "tensorflow_probability", "mlx": "mlx", "tinygrad": "tinygrad"}
LEFT = ["run.jsonl.gz"]  # the only file that a run leaves


def counts(run: Run, implementation: str) -> Counter[Verdict]:
    """Return how often an implementation has each verdict."""
    keys = {key for key, column in run.header.columns.items() if column.implementation == implementation}
    return Counter(result.verdict for result in run.results if result.column in keys)


def left(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_a_run_without_new_failures_ends_with_0(tmp_path: Path) -> None:
    """Where every requirement passes or deviates as recorded, the exit code is 0 and the next command is printed."""
    done = run_cli("run", "--framework", "scipy", "-k", "values", *QUICK, at=tmp_path)
    assert done.code == 0, done.all
    assert done.err.startswith("Testing scipy")
    assert "; profile quick, seed 1.\n" in done.err
    assert "No new failures" in done.out
    assert f"kl-conformance {__version__}, profile quick, seed 1" in done.out
    assert "Run file: run.jsonl.gz\nNext: kl-conformance report run.jsonl.gz" in done.out
    run = read(tmp_path / "run.jsonl.gz")
    assert run.finished is not None
    assert run.header.suite == __version__
    assert {result.verdict for result in run.results} <= {
        Verdict.PASS,
        Verdict.EXPECTED,
        Verdict.UNSUPPORTED,
        Verdict.UNDECIDED,
    }
    assert left(tmp_path) == LEFT
    shown = run_cli("report", "run.jsonl.gz", "-o", "page.html", at=tmp_path)
    assert shown.code == 0, shown.all
    assert left(tmp_path) == ["page.html", *LEFT]


def test_a_broken_kernel_ends_with_1_and_a_small_witness(tmp_path: Path) -> None:
    """A kernel that divides "batchmean" by the classes fails with at most four classes, and the fault is named."""
    done = run_cli("run", DEFECTIVE, *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    assert "FAIL reductions/batchmean" in done.out
    assert "This is the correct answer to another problem" in done.out
    failed = {
        result.requirement: result.witness
        for result in read(tmp_path / "run.jsonl.gz").results
        if result.verdict is Verdict.FAIL
    }
    assert {"reductions/batchmean", "values/batch", "reductions/default"} <= failed.keys()
    assert not {"values/pointwise", "values/sum", "support/zero-target"} & failed.keys()
    for name, witness in failed.items():
        assert witness is not None
        if not name.startswith("errors/"):  # these are about shapes
            assert witness["target"]["shape"][-1] <= 4


def test_a_correct_kernel_ends_with_0(tmp_path: Path) -> None:
    """A correct kernel passes every requirement."""
    done = run_cli("run", CORRECT, *QUICK, at=tmp_path)
    assert done.code == 0, done.all
    assert "correct_kl" in done.out
    assert "No new failures" in done.out


def test_frameworks_that_fail_to_import_are_missing(tmp_path: Path) -> None:
    """In a run of all frameworks, the cells of one that is not installed are MISSING with the reason; others run."""
    fake = broken_frameworks(tmp_path / "fake", "torch", "jax")
    broken_frameworks(fake, "tensorflow", *OTHERS.values(), missing=True)
    (work := tmp_path / "work").mkdir()
    done = run_cli("run", "-k", "values/pointwise", *QUICK, at=work, path=fake)
    assert done.code == 0, done.all
    run = read(work / "run.jsonl.gz")
    reasons = {
        run.header.columns[each.column].framework: each.detail
        for each in run.results
        if each.verdict is Verdict.MISSING
    }
    assert reasons.keys() == {*FRAMEWORKS, *OTHERS}
    assert "torch fails to import (ImportError: libtorch.so: cannot open" in reasons["torch"]
    assert "tensorflow is not installed" in reasons["tensorflow"]
    for name, reason in reasons.items():
        assert f"pip install 'kl-conformance[{name}]'" in reason
        assert reason[:40] in done.out
    scipy = [each for each in run.results if run.header.columns[each.column].framework == "scipy"]
    assert scipy
    assert all(each.verdict is not Verdict.MISSING for each in scipy)
    assert left(work) == LEFT


@pytest.mark.parametrize("missing", [True, False])
def test_a_named_framework_that_is_not_installed_is_bad_usage(tmp_path: Path, missing: bool) -> None:
    """A framework selected by name that cannot be imported ends the run at once, with the command to install it."""
    fake = broken_frameworks(tmp_path / "fake", "torch", missing=missing)
    (work := tmp_path / "work").mkdir()
    (work / "run.jsonl.gz").write_bytes(b"an earlier run")
    done = run_cli("run", "--framework", "torch", "-k", "values", *QUICK, at=work, path=fake)
    assert done.code == 4, done.all
    assert not done.out
    assert ("is not installed" if missing else "fails to import (ImportError: libtorch.so") in done.err
    assert "pip install 'kl-conformance[torch]'" in done.err
    assert (work / "run.jsonl.gz").read_bytes() == b"an earlier run"
    assert left(work) == LEFT


def test_bad_usage_stops_the_other_workers_and_keeps_their_results(tmp_path: Path) -> None:
    """If one of two implementations cannot be tested, the run does not wait for the other; its results are kept."""
    fake = broken_frameworks(tmp_path / "fake", "torch")
    (work := tmp_path / "work").mkdir()
    done = run_cli("run", "torch.nn.KLDivLoss", SLOW, *QUICK, at=work, path=fake)
    assert done.code == 4, done.all
    assert "torch fails to import (ImportError: libtorch.so" in done.err
    assert "Traceback" not in done.err
    if (work / "run.jsonl.gz").exists():  # the slow kernel may or may not have got so far
        assert "their results are in the run file" in done.err
        assert counts(read(work / "run.jsonl.gz"), "slow_kl")[Verdict.MISSING] >= 1
    assert left(work) in ([], LEFT)


def test_a_killed_worker_process_costs_one_cell(tmp_path: Path) -> None:
    """``kill -9`` of a worker process: its current cell CRASHED, another process runs the rest, others are complete."""
    done = run_cli("run", "scipy.special.rel_entr", CRASHING, "-k", "values", *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    run = read(tmp_path / "run.jsonl.gz")
    dying = counts(run, "crashing_kl")
    assert dying[Verdict.PASS] >= 2
    assert dying[Verdict.CRASHED] >= 1
    assert not dying[Verdict.MISSING]
    other = counts(run, "scipy.special.rel_entr")
    assert not other.keys() & {Verdict.CRASHED, Verdict.MISSING}
    assert other.total() == dying.total()
    assert "the worker of defective_kernels.py:CRASHING was ended by signal 9 (SIGKILL)" in done.out
    crashed = next(each for each in run.results if each.verdict is Verdict.CRASHED)
    assert f"CRASHED {crashed.requirement}" in done.out
    assert "the call in progress was crashing_kl(" in crashed.detail
    log = Path(done.err.rpartition("Log of the worker of defective_kernels.py:CRASHING: ")[2].strip())
    assert (tmp_path / log).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_results_survive_an_interruption(tmp_path: Path, number: signal.Signals) -> None:
    """After Ctrl-C the results so far are in the run file, and the other cells are MISSING."""
    with start_cli("run", SLOW, "-k", "values", *QUICK, at=tmp_path) as process:
        _wait_for_results(tmp_path)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2, out + err
    assert "Interrupted. The results so far are in the run file." in err
    assert "Traceback" not in err
    assert "run was cut off" in out
    run = read(tmp_path / "run.jsonl.gz")
    assert run.finished is None
    found = counts(run, "slow_kl")
    assert found[Verdict.PASS] >= 1
    assert found[Verdict.MISSING] >= 1
    assert not found[Verdict.CRASHED]
    assert {each.detail for each in run.results if each.verdict is Verdict.MISSING} == {
        "interrupted before it was evaluated"
    }
    assert left(tmp_path) == LEFT


def _wait_for_results(folder: Path) -> None:
    """Wait until a worker in a folder has written a result."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for file in folder.glob("*.parts-*/*.jsonl.gz"):
            if any(kind == "result" for kind, _ in Follower(file).poll()):
                return
        time.sleep(0.1)
    raise TimeoutError("no result within a minute")


def test_a_worker_that_ignores_an_interruption_is_killed(tmp_path: Path) -> None:
    """A worker process that does not end when it is interrupted is killed."""
    selection = Selection(implementations=("scipy.stats.entropy",))
    share = Shard("scipy", selection, header(selection, resolve(selection).cells))
    worker = Worker(share, "", False, tmp_path, 1)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    life = WorkerProcess([sys.executable, "-c", deaf], tmp_path / "deaf", limits=Limits(exit_seconds=0.2))
    worker.processes.append(life)
    life.start()
    while not life.log.stat().st_size:
        time.sleep(0.05)
    worker.interrupt()
    worker.wait()
    assert worker.exit_code == -signal.SIGKILL
    assert not worker.ended_unexpectedly
    run = worker.run()
    assert {each.verdict for each in run.results} == {Verdict.MISSING}
    assert {each.cell for each in run.results} == set(share.header.planned)


def test_a_failure_of_the_suite_is_undecided(tmp_path: Path) -> None:
    """A cell in which the suite itself fails is UNDECIDED with the reason, and the exit code is 3."""
    done = run_cli("run", UNCATCHABLE, "-k", "values/pointwise", *QUICK, at=tmp_path)
    assert done.code == 3, done.all
    (result,) = read(tmp_path / "run.jsonl.gz").results
    assert result.verdict is Verdict.UNDECIDED
    assert result.kind is Kind.HARNESS
    assert "UncatchableError: not caught" in result.detail
    assert "1 cell UNDECIDED because the suite itself failed" in done.err
    assert "log:" in done.err


def test_a_keyword_without_a_match_ends_with_5(tmp_path: Path) -> None:
    """If ``-k`` matches no cell, nothing is written, and the message describes the names of cells."""
    done = run_cli("run", CORRECT, "-k", "no-such-thing", *QUICK, at=tmp_path)
    assert done.code == 5, done.all
    assert "no cell name matches -k 'no-such-thing'" in done.err
    assert left(tmp_path) == []


def test_an_invalid_keyword_is_bad_usage(tmp_path: Path) -> None:
    """Pytest's message about an invalid ``-k`` is printed once."""
    done = run_cli("run", CORRECT, "-k", "(", *QUICK, at=tmp_path)
    assert done.code == 4, done.all
    assert "kl-conformance run: Wrong expression passed to '-k'" in done.err
    assert left(tmp_path) == []


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """If a worker's file cannot grow, the message names it, and the results written before are kept."""
    command = f"{sys.executable} -m kl_conformance run scipy.special.rel_entr {' '.join(QUICK)}"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 14; exec {command}"],
        cwd=tmp_path,
        env=processes.environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "cannot be written: File too large" in done.stderr
    (kept,) = tmp_path.glob("*.parts-*/*.jsonl.gz")
    assert counts(read(kept), "scipy.special.rel_entr")[Verdict.PASS] >= 1


def test_a_terminal_shows_a_bar(tmp_path: Path) -> None:
    """On a terminal a bar shows the progress of each worker."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "kl_conformance", "run", CORRECT, "-k", "values/sum", *QUICK]
    with subprocess.Popen(command, cwd=tmp_path, env=processes.environment(), stdout=subprocess.DEVNULL, stderr=slave):
        os.close(slave)
        shown = b""
        while True:
            try:
                shown += os.read(master, 4096)
            except OSError:  # the terminal's other end is closed: the run is over
                break
    os.close(master)
    assert "defective_kernels.py:CORRECT" in shown.decode(errors="replace")
    assert "━" in shown.decode(errors="replace")
