"""One process of a worker, from its start to its end: what it judged, whether it is well, and what it died of."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kl_conformance import processes as child_processes
from kl_conformance.harness import heartbeat
from kl_conformance.harness.heartbeat import Heartbeat, State
from kl_reports.runfile.follow import Follower
from kl_reports.runfile.records import Kind, Verdict

# Seconds one call may take. What compiles nothing answers the largest problem within a few; where the suite
# compiles, a compiler's first start on a busy machine takes tens.
SECONDS = {State.CALLING: 60.0, State.COMPILING: 300.0}
OTHERWISE = (
    "KL_CONFORMANCE_SECONDS"  # environment variable: another limit, for kernels tuned at their first call
)
LEAST = 2 << 30  # bytes of memory every process may take: frameworks need as much for themselves
_GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Limits:
    """What the processes of a worker may take.

    Parameters
    ----------
    memory
        Bytes each may grow to; None for any number.
    patience
        Seconds a process has to end when its file is closed, or when it is killed.
    deaths
        Deaths in one column after which the rest of it is MISSING, so that what always dies costs little; one by a
        call that never ends has cost more, and counts twice.
    """

    memory: int | None = None
    patience: float = 5.0
    deaths: int = 6

    @classmethod
    def here(cls, processes: int) -> Limits:
        """Return the limits of one of so many processes on this machine: an equal part of its memory, one left free."""
        memory = child_processes.memory()
        return cls(None if memory is None else max(memory // (processes + 1), LEAST))


@dataclass(frozen=True, slots=True)
class ProcessExit:
    """A process that ended in the middle of a cell: which one, with what verdict, how, and during which call."""

    cell: str
    verdict: Verdict
    how: str
    call: str

    @property
    def sentence(self) -> str:
        """How it ended, and the last call."""
        return f"Its process {self.how}; {self.call}"

    @property
    def kind(self) -> Kind:
        """The kind of this failure."""
        return Kind.TIMED_OUT if self.verdict is Verdict.TIMED_OUT else Kind.CRASHED


class WorkerProcess:
    """A process of a worker, followed through the run file and the note it writes.

    Parameters
    ----------
    command
        What to start; the options that name its files are added.
    stem
        What its files are called, and where they lie, but for the ending.
    settled
        Cells it is not to ask.
    limits
        What it may take.
    """

    def __init__(
        self, command: Sequence[str], stem: Path, settled: Sequence[str] = (), limits: Limits | None = None
    ) -> None:
        self.file, self.log, self._note, self._settled = (
            stem.with_name(f"{stem.name}{ending}") for ending in (".jsonl.gz", ".log", ".note", ".settled")
        )
        self._command = [*command, f"--run-file={self.file}", f"--kl-note={self._note}"]
        if settled:
            self._settled.write_text("\n".join(settled), encoding="utf-8")
            self._command.append(f"--kl-settled={self._settled}")
        self._limits = limits or Limits()
        self._follower = Follower(self.file)
        self.process: subprocess.Popen[bytes] | None = None
        self.planned: tuple[str, ...] = ()
        self.verdicts: dict[str, Verdict] = {}
        self._at_hand = ""
        self._closed = False
        self._killed = False
        self._beat = (0, 0.0)  # the last sign of life, and when it was seen
        self._first: int | None = None  # bytes before the first call
        self._ended: tuple[Verdict, str] | None = None

    def start(self) -> None:
        """Start the process, in the caller's folder.

        It leads a process group of its own: a terminal's Ctrl-C is for the run to pass on, once.
        """
        heartbeat.create(self._note)
        home = {"HYPOTHESIS_STORAGE_DIRECTORY": str(self.file.parent / "hypothesis")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_processes.environment() | child_processes.threads() | home,
                start_new_session=True,
            )
        self._beat = (0, time.monotonic())

    def poll(self) -> bool:
        """Take in what the process wrote, and end it where it is past hope; whether it is still at work."""
        running = self.process is not None and self.process.poll() is None
        for kind, data in self._follower.poll():
            self._take(kind, data)
        if running and self._past_hope():
            self._kill()
        return running

    def _take(self, kind: str, data: Mapping[str, Any]) -> None:
        match kind:
            case "header":
                self.planned = tuple(data["planned"])
            case "started":
                self._at_hand = str(data["cell"])
            case "result":
                self._at_hand = ""
                verdict = Verdict.__members__.get(str(data.get("verdict")))
                if verdict is not None:
                    self.verdicts[f"{data['requirement']}@{data['column']}"] = verdict
            case "footer":
                self._closed = True
                self._beat = (self._beat[0], time.monotonic())
            case _:
                pass

    def _past_hope(self) -> bool:
        """Whether the process hangs, or takes too much memory; what will be said of it is kept."""
        said, now = heartbeat.read(self._note), time.monotonic()
        if self._closed:  # a thread nobody joins, or a stop nobody heeds
            return now - self._beat[1] > self._limits.patience
        if said.beat != self._beat[0]:
            self._beat = (said.beat, now)
        allowed = _seconds(said.state)
        if allowed is not None and now - self._beat[1] > allowed:
            words = f"gave no answer within {allowed:g} s ({OTHERWISE} sets another limit)"
            self._ended = (Verdict.TIMED_OUT, words)
        most = self._limits.memory
        taken = child_processes.resident(self.process.pid) if self.process is not None and most else None
        if taken is not None and most is not None:
            if self._first is None or not said.beat:
                self._first = taken
            if taken > most:
                grown = f"grew from {self._first / _GIB:.1f} to {taken / _GIB:.1f} GiB of memory"
                limit = f"{most / _GIB:.1f} GiB are allowed here"
                self._ended = (Verdict.CRASHED, f"{grown}, and was ended: {limit}")
        return self._ended is not None and bool(self._at_hand)  # between two cells it is at nobody's door

    def _kill(self) -> None:
        """End the process and whatever it has started."""
        if self.process is not None and self.process.poll() is None:
            self._killed = True
            with suppress(OSError):  # it has just ended by itself
                os.killpg(self.process.pid, signal.SIGKILL) if os.name == "posix" else self.process.kill()

    def interrupt(self) -> None:
        """End the process where it is; what it judged is in its file.

        It is not asked to: an exception raised in the middle of anything is now and then lost, or breaks what
        was to report it.
        """
        self._kill()

    def end(self) -> None:
        """Wait for an interrupted process; one that even so does not end is left behind."""
        if self.process is not None:
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=self._limits.patience)

    @property
    def code(self) -> int | None:
        """Pytest's exit code, minus the signal that ended the process, or None where it never started.

        A process that was ended only because it did not go when its file was closed did what it was to do.
        """
        if self.process is None:
            return None
        if self._closed and self._killed:
            return int(any(verdict.is_news for verdict in self.verdicts.values()))
        return self.process.returncode

    @property
    def death(self) -> ProcessExit | None:
        """What a process that has ended died of, or None where it ended as it should or between two cells."""
        said = heartbeat.read(self._note)
        code = self.process.returncode if self.process is not None else None
        if self._closed or not self._at_hand or code is None:
            return None
        if self._ended is not None:
            verdict, how = self._ended
        elif code < 0 or said.state is not State.IDLE:  # else pytest itself gave up: a full disk
            verdict, how = Verdict.CRASHED, child_processes.describe_exit(code)
        else:
            return None
        return ProcessExit(self._at_hand, verdict, how, f"{_when(said)}.")

    def last_words(self) -> str:
        """Return the last error the process printed, or else its last line."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it printed nothing"
        errors = [line for line in lines if line.startswith(("ERROR: ", "Exit: ", "INTERNALERROR> ", "E  "))]
        said = [line.strip() for line in errors or lines if line.strip()]
        return (
            re.sub(r"^(ERROR: |Exit: |INTERNALERROR> |E +)+", "", said[-1]) if said else "it printed nothing"
        )


def _seconds(state: State) -> float | None:
    """Return how long a process may be in a state; None where it may for ever."""
    if state is State.IDLE:
        return None
    try:
        return float(os.environ[OTHERWISE])
    except (KeyError, ValueError):
        return SECONDS[state]


def _when(said: Heartbeat) -> str:
    """Return what the process was doing, in words."""
    if not said.call:
        return "it had been asked nothing yet"
    return f"{'the last call was' if said.state is State.IDLE else 'it was asked'} {said.call}"
