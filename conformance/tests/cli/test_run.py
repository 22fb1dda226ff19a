"""A run from end to end: what it finds, what it writes, and what it says when somebody or something ends it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from kl_conformance import __version__, processes
from kl_conformance.cli import run as run_command
from kl_conformance.cli.run import RunOptions
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
from kl_reports.files import RunFileError
from kl_reports.runfile.file import read
from kl_reports.runfile.follow import Follower
from kl_reports.runfile.records import Kind, Run, Verdict

QUICK = ("--profile", "quick", "--dtype", "float32", "--seed", "1", "-o", "run.jsonl.gz")
# What the main job does not ask, and the module each is of.
OTHERS = {"paddle": "paddle", "tfp": "tensorflow_probability", "mlx": "mlx", "tinygrad": "tinygrad"}
OWN = ["run.jsonl.gz"]  # what a run leaves, and all it leaves


def counts(run: Run, implementation: str) -> Counter[Verdict]:
    """Return how often each verdict was given to an implementation."""
    keys = {key for key, column in run.header.columns.items() if column.implementation == implementation}
    return Counter(result.verdict for result in run.results if result.column in keys)


def left(folder: Path) -> list[str]:
    """Return the names of everything in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_what_is_as_recorded_ends_with_0(tmp_path: Path) -> None:
    """Where every requirement holds or deviates as recorded, a run ends with 0 and says what to do next."""
    done = run_cli("run", "--framework", "scipy", "-k", "values", *QUICK, at=tmp_path)
    assert done.code == 0, done.all
    assert done.err.startswith("Asking scipy")
    assert "; profile quick, seed 1.\n" in done.err
    assert "Nothing new is broken" in done.out
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
    assert left(tmp_path) == OWN
    shown = run_cli("report", "run.jsonl.gz", "-o", "page.html", at=tmp_path)
    assert shown.code == 0, shown.all
    assert left(tmp_path) == ["page.html", *OWN]


def test_a_broken_kernel_ends_with_1_and_a_small_witness(tmp_path: Path) -> None:
    """A kernel that divides "batchmean" by the classes is caught by at most four of them, and told so."""
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
        if not name.startswith("errors/"):  # there the shapes are the question
            assert witness["target"]["shape"][-1] <= 4


def test_a_right_kernel_ends_with_0(tmp_path: Path) -> None:
    """A kernel that does what it says is accused of nothing."""
    done = run_cli("run", CORRECT, *QUICK, at=tmp_path)
    assert done.code == 0, done.all
    assert "correct_kl" in done.out
    assert "Nothing new is broken" in done.out


def test_frameworks_that_fail_to_import_are_missing_and_cost_nobody_else(tmp_path: Path) -> None:
    """Where all are asked, a framework that is not there costs its own cells, each with the reason."""
    fake = broken_frameworks(tmp_path / "fake", "torch", "jax")
    broken_frameworks(fake, "tensorflow", *OTHERS.values(), missing=True)
    work = tmp_path / "work"
    work.mkdir()
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
    assert left(work) == OWN


@pytest.mark.parametrize("missing", [True, False])
def test_a_framework_asked_by_name_that_is_not_there_is_an_error_of_use(
    tmp_path: Path, missing: bool
) -> None:
    """Who asks for a framework by name hears at once why it cannot be asked, and what installs it."""
    fake = broken_frameworks(tmp_path / "fake", "torch", missing=missing)
    work = tmp_path / "work"
    work.mkdir()
    (work / "run.jsonl.gz").write_bytes(b"an earlier run")
    done = run_cli("run", "--framework", "torch", "-k", "values", *QUICK, at=work, path=fake)
    assert done.code == 4, done.all
    assert not done.out
    assert ("is not installed" if missing else "fails to import (ImportError: libtorch.so") in done.err
    assert "pip install 'kl-conformance[torch]'" in done.err
    assert (work / "run.jsonl.gz").read_bytes() == b"an earlier run"
    assert left(work) == OWN


def test_an_error_of_use_stops_the_others_and_keeps_what_they_judged(tmp_path: Path) -> None:
    """Who mistypes one of two names does not wait for the other; what it had judged by then is not lost."""
    fake = broken_frameworks(tmp_path / "fake", "torch")
    work = tmp_path / "work"
    work.mkdir()
    done = run_cli("run", "torch.nn.KLDivLoss", SLOW, *QUICK, at=work, path=fake)
    assert done.code == 4, done.all
    assert "torch fails to import (ImportError: libtorch.so" in done.err
    assert "Traceback" not in done.err
    if (work / "run.jsonl.gz").exists():  # the slow kernel may or may not have got so far
        assert "what they judged is in the run file" in done.err
        assert counts(read(work / "run.jsonl.gz"), "slow_kl")[Verdict.MISSING] >= 1
    assert left(work) in ([], OWN)


def test_a_dead_worker_costs_the_cell_it_was_asking_and_nothing_else(tmp_path: Path) -> None:
    """``kill -9`` of a worker: the cell it was asking CRASHED, another process asks the rest, others are complete."""
    done = run_cli("run", "scipy.special.rel_entr", CRASHING, "-k", "values", *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    run = read(tmp_path / "run.jsonl.gz")
    dying = counts(run, "crashing_kl")
    assert dying[Verdict.PASS] >= 2
    assert dying[Verdict.CRASHED] >= 1
    assert not dying[Verdict.MISSING]
    spared = counts(run, "scipy.special.rel_entr")
    assert not spared.keys() & {Verdict.CRASHED, Verdict.MISSING}
    assert spared.total() == dying.total()
    assert "the worker of defective_kernels.py:CRASHING was ended by signal 9 (SIGKILL)" in done.out
    crashed = next(each for each in run.results if each.verdict is Verdict.CRASHED)
    assert f"CRASHED {crashed.requirement}" in done.out
    assert "the call in progress was crashing_kl(" in crashed.detail
    log = Path(done.err.rpartition("All the worker of defective_kernels.py:CRASHING said: ")[2].strip())
    assert (tmp_path / log).is_file()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_was_judged_survives_an_interruption(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C in the middle: what was judged is in the run file, the rest is MISSING because of it."""
    with start_cli("run", SLOW, "-k", "values", *QUICK, at=tmp_path) as process:
        _wait_for_results(tmp_path)
        os.killpg(process.pid, number)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 2, out + err
    assert "Interrupted: what was judged until then is in the run file." in err
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
    assert left(tmp_path) == OWN


def _wait_for_results(folder: Path) -> None:
    """Wait until a worker in a folder has judged something."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for file in folder.glob("*.parts-*/*.jsonl.gz"):
            if any(kind == "result" for kind, _ in Follower(file).poll()):
                return
        time.sleep(0.1)
    raise TimeoutError("nothing was judged within a minute")


def test_a_worker_deaf_to_interruption_is_ended(tmp_path: Path) -> None:
    """A worker that does not end when it is interrupted is killed: nobody waits for it."""
    selection = Selection(implementations=("scipy.stats.entropy",))
    share = Shard("scipy", selection, header(selection, resolve(selection).cells))
    worker = Worker(share, "", False, tmp_path, 1)
    deaf = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
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


def test_a_failure_of_the_harness_is_nobody_s_verdict(tmp_path: Path) -> None:
    """What the harness cannot handle is UNDECIDED, with the reason, and ends with 3."""
    done = run_cli("run", UNCATCHABLE, "-k", "values/pointwise", *QUICK, at=tmp_path)
    assert done.code == 3, done.all
    (result,) = read(tmp_path / "run.jsonl.gz").results
    assert result.verdict is Verdict.UNDECIDED
    assert result.kind is Kind.HARNESS
    assert "UncatchableError: not caught" in result.detail
    assert "1 cells are UNDECIDED" in done.err
    assert "all it said:" in done.err


def test_a_keyword_nobody_bears_is_answered(tmp_path: Path) -> None:
    """Where ``-k`` chooses nothing, nothing is written, and the message says what cells are called."""
    done = run_cli("run", CORRECT, "-k", "no-such-thing", *QUICK, at=tmp_path)
    assert done.code == 5, done.all
    assert "no cell's name matches -k 'no-such-thing'" in done.err
    assert left(tmp_path) == []


def test_a_keyword_that_is_no_expression_is_answered(tmp_path: Path) -> None:
    """A mistake in ``-k`` is pytest's to explain, once."""
    done = run_cli("run", CORRECT, "-k", "(", *QUICK, at=tmp_path)
    assert done.code == 4, done.all
    assert "kl-conformance run: Wrong expression passed to '-k'" in done.err
    assert left(tmp_path) == []


def test_a_full_disk_ends_a_worker_in_words(tmp_path: Path) -> None:
    """Where a worker's file can no longer grow, that is said, and what was written before is kept."""
    asked = f"{sys.executable} -m kl_conformance run scipy.special.rel_entr {' '.join(QUICK)}"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 14; exec {asked}"],
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


def test_a_run_that_cannot_be_merged_says_where_its_parts_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A disk that fills up at the very end costs nothing: the workers' own files can be merged elsewhere."""

    def fail(path: Path, run: Run) -> None:
        del run
        raise RunFileError(path, "cannot be written: No space left on device")

    monkeypatch.setattr(run_command, "write", fail)
    request = RunOptions(
        (CORRECT,), profile="quick", keyword="values/sum", output=tmp_path / "a run.jsonl.gz"
    )
    assert run_command.run(request) == 3
    err = capsys.readouterr().err
    assert "No space left on device; what was judged is kept: kl-conformance merge" in err
    (folder,) = tmp_path.iterdir()
    assert f"kl-conformance merge '{folder}' -o RUN" in err
    done = run_cli("merge", folder, "-o", "merged.jsonl.gz", at=tmp_path)
    assert done.code == 0, done.all


def test_a_terminal_is_shown_a_bar(tmp_path: Path) -> None:
    """On a terminal a bar shows what each worker has judged."""
    master, slave = os.openpty()
    command = [sys.executable, "-m", "kl_conformance", "run", CORRECT, "-k", "values/sum", *QUICK]
    with subprocess.Popen(
        command, cwd=tmp_path, env=processes.environment(), stdout=subprocess.DEVNULL, stderr=slave
    ):
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
