"""WorkerProcess: one pytest child process of a worker, its heartbeat, its results and how it ended."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from kl_conformance import processes
from kl_conformance.harness import heartbeat
from kl_conformance.harness.heartbeat import Heartbeat, State
from kl_reports.runfile.follow import Follower
from kl_reports.runfile.records import Kind, Verdict

# Seconds one call may take. Without compilation the largest problem takes a few; with it, the first start of a
# compiler on a busy machine takes tens.
SECONDS = {State.CALLING: 60.0, State.COMPILING: 300.0}
# Sets another limit, for kernels that tune themselves at the first call.
SECONDS_VARIABLE = "KL_CONFORMANCE_SECONDS"
MIN_MEMORY = 2 << 30  # bytes every process may use, because frameworks need as much for themselves
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a worker's processes.

    Parameters
    ----------
    memory
        Bytes of memory of each; None for no limit.
    exit_seconds
        Time in which a process must end after it has closed its run file, or after it is killed.
    max_exits
        Processes that may end early in one column before the rest of it is MISSING, so that a kernel that always
        crashes costs little time; a timeout, which has cost more, counts twice.
    """

    memory: int | None = None
    exit_seconds: float = 5.0
    max_exits: int = 6

    @classmethod
    def for_this_machine(cls, count: int) -> Self:
        """Return the limits of one of ``count`` processes: an equal part of the memory, with one part left free."""
        memory = processes.available_memory()
        return cls(None if memory is None else max(memory // (count + 1), MIN_MEMORY))


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """The exit of a process during a cell.

    Parameters
    ----------
    cell, verdict
        The cell and its verdict.
    reason
        How the process ended, as the end of a sentence.
    call
        The call in progress, as a sentence.
    """

    cell: str
    verdict: Verdict
    reason: str
    call: str

    @property
    def sentence(self) -> str:
        """How the process ended, and the call."""
        return f"Its process {self.reason}; {self.call}"

    @property
    def kind(self) -> Kind:
        """The kind of this failure."""
        return Kind.TIMED_OUT if self.verdict is Verdict.TIMED_OUT else Kind.CRASHED


class WorkerProcess:
    """A child process of a worker, observed through its run file and its heartbeat file.

    Parameters
    ----------
    command
        The command; options with the paths of its files are added.
    stem
        Path of its files without their suffixes.
    done
        Cells that are not to be evaluated again.
    limits
        Limits on time and memory.
    """

    def __init__(
        self, command: Sequence[str], stem: Path, done: Sequence[str] = (), limits: Limits | None = None
    ) -> None:
        self.run_file, self.log, self._heartbeat_file, done_file = (
            stem.with_name(f"{stem.name}{suffix}") for suffix in (".jsonl.gz", ".log", ".heartbeat", ".done")
        )
        self._command = [*command, f"--run-file={self.run_file}", f"--kl-heartbeat={self._heartbeat_file}"]
        if done:
            done_file.write_text("\n".join(done), encoding="utf-8")
            self._command.append(f"--kl-done={done_file}")
        self._limits = limits or Limits()
        self._follower = Follower(self.run_file)
        self.process: subprocess.Popen[bytes] | None = None
        self.planned: tuple[str, ...] = ()
        self.verdicts: dict[str, Verdict] = {}
        self._current_cell = ""
        self._closed = False  # whether the run file has its footer
        self._killed = False
        self._last_beat = (0, 0.0)  # the last change of the heartbeat, and its time
        self._initial_memory: int | None = None  # bytes before the first call
        self._exceeded: tuple[Verdict, str] | None = None  # the exceeded limit, with its verdict

    def start(self) -> None:
        """Start the process in the current folder."""
        heartbeat.create(self._heartbeat_file)
        home = {"HYPOTHESIS_STORAGE_DIRECTORY": str(self.run_file.parent / "hypothesis")}
        self.process = processes.start(self._command, log=self.log, variables=home)
        self._last_beat = (0, time.monotonic())

    def poll(self) -> bool:
        """Read new results, and kill a process that exceeds a limit; return whether it is running."""
        running = self.process is not None and self.process.poll() is None
        for kind, data in self._follower.poll():
            self._read(kind, data)
        if running and self._exceeds_limit():
            self.interrupt()
        return running

    def _read(self, kind: str, data: Mapping[str, Any]) -> None:
        match kind:
            case "header":
                self.planned = tuple(data["planned"])
            case "started":
                self._current_cell = str(data["cell"])
            case "result":
                self._current_cell = ""
                verdict = Verdict.__members__.get(str(data.get("verdict")))
                if verdict is not None:
                    self.verdicts[f"{data['requirement']}@{data['column']}"] = verdict
            case "footer":
                self._closed = True
                self._last_beat = (self._last_beat[0], time.monotonic())
            case _:
                pass

    def _exceeds_limit(self) -> bool:
        """Whether the process exceeds a limit on time or memory during a cell."""
        latest, now = heartbeat.read(self._heartbeat_file), time.monotonic()
        if self._closed:  # a thread keeps it from ending
            return now - self._last_beat[1] > self._limits.exit_seconds
        if latest.beat != self._last_beat[0]:
            self._last_beat = (latest.beat, now)
        allowed = _seconds(latest.state)
        if allowed is not None and now - self._last_beat[1] > allowed:
            reason = f"returned no answer within {allowed:g} s ({SECONDS_VARIABLE} sets another limit)"
            self._exceeded = (Verdict.TIMED_OUT, reason)
        limit = self._limits.memory
        used = processes.resident_memory(self.process.pid) if self.process is not None and limit else None
        if used is not None and limit is not None:
            if self._initial_memory is None or not latest.beat:
                self._initial_memory = used
            if used > limit:
                growth = f"grew from {self._initial_memory / _GIB:.1f} to {used / _GIB:.1f} GiB of memory"
                reason = f"{growth} and was ended; its limit is {limit / _GIB:.1f} GiB"
                self._exceeded = (Verdict.CRASHED, reason)
        return self._exceeded is not None and bool(self._current_cell)  # between two cells none is to blame

    def interrupt(self) -> None:
        """Kill the process and every process that it has started; its results so far are in its run file.

        No exception is raised in it instead: Python would lose it in some places, and it could break the recorder.
        """
        if self.process is not None and self.process.poll() is None:
            self._killed = True
            processes.kill(self.process)

    def wait(self) -> None:
        """Wait for an interrupted process to end, for a limited time."""
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=self._limits.exit_seconds)

    @property
    def exit_code(self) -> int | None:
        """Pytest's exit code, minus the signal number after a signal, or None if the process was not started.

        A process that was killed only because it did not end after closing its run file has done its work.
        """
        if self.process is None:
            return None
        if self._closed and self._killed:
            return int(any(verdict.is_news for verdict in self.verdicts.values()))
        return self.process.returncode

    @property
    def early_exit(self) -> ProcessExit | None:
        """How the process ended during a cell, or None if it ended regularly or between two cells."""
        code = self.process.returncode if self.process is not None else None
        if self._closed or not self._current_cell or code is None:
            return None
        latest = heartbeat.read(self._heartbeat_file)
        if self._exceeded is not None:
            verdict, reason = self._exceeded
        elif code < 0 or latest.state is not State.IDLE:  # otherwise pytest itself ended: a full disk
            verdict, reason = Verdict.CRASHED, processes.describe_exit(code)
        else:
            return None
        return ProcessExit(self._current_cell, verdict, reason, f"{_call(latest)}.")

    def exit_message(self) -> str:
        """Return the last error in the log, otherwise its last line."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        errors = [line for line in lines if line.startswith(("ERROR: ", "Exit: ", "INTERNALERROR> ", "E  "))]
        texts = [line.strip() for line in errors or lines if line.strip()] or ["no output"]
        return re.sub(r"^(ERROR: |Exit: |INTERNALERROR> |E +)+", "", texts[-1])


def _seconds(state: State) -> float | None:
    """Return how long a process may be in a state; None for no limit."""
    if state is State.IDLE:
        return None
    try:
        return float(os.environ[SECONDS_VARIABLE])
    except (KeyError, ValueError):
        return SECONDS[state]


def _call(latest: Heartbeat) -> str:
    """Return the call of a heartbeat, as the end of a sentence."""
    if not latest.call:
        return "no call had been made"
    which = "the last call was" if latest.state is State.IDLE else "the call in progress was"
    return f"{which} {latest.call}"
