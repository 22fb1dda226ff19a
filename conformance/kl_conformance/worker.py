"""One process that asks one framework's implementations, watched through the run file it writes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from kl_conformance import host
from kl_conformance.share import Share
from kl_reports.exchange import Follower, RunFileError, read
from kl_reports.result import Result, Run, Verdict

SUITE = Path(__file__).parent / "suite"
OK, BROKEN, INTERRUPTED, HARNESS, USAGE, NOTHING = 0, 1, 2, 3, 4, 5  # pytest's exit codes
HARNESS_FAILED = "The harness failed, not the implementation"  # how a worker words that of a cell
PATIENCE = 5.0  # seconds a worker has to close its file when it is interrupted


@dataclass(slots=True)
class Worker:
    """One process, its share of the run and its files.

    Parameters
    ----------
    share
        What it is to ask, before ``keyword`` chooses.
    keyword
        What pytest's ``-k`` is given.
    optional
        Whether a framework that is not there is MISSING rather than an error of use.
    folder, position
        Where its files lie, and a number that tells them from other workers'.
    """

    share: Share
    keyword: str
    optional: bool
    folder: Path
    position: int
    process: subprocess.Popen[bytes] | None = None
    follower: Follower = field(init=False)
    planned: int = 0
    judged: int = 0
    missing: int = 0
    news: int = 0
    stopped: bool = False

    def __post_init__(self) -> None:
        """Follow the run file the worker will write."""
        self.follower = Follower(self.file)

    @property
    def name(self) -> str:
        """What people see."""
        return self.share.name

    @property
    def file(self) -> Path:
        """Its run file."""
        return self.folder / f"{self._stem}.jsonl.gz"

    @property
    def log(self) -> Path:
        """What it printed."""
        return self.folder / f"{self._stem}.log"

    @property
    def _stem(self) -> str:
        stem = re.sub(r"[^\w.]+", "-", self.name).strip("-")[-80:]
        return f"{stem}-{self.position}" if ":" in self.name else stem

    def start(self) -> None:
        """Start the process, in the caller's folder but under the suite's own pytest configuration.

        It leads a process group of its own: a terminal's Ctrl-C is for the run to pass on, once.
        """
        command = [sys.executable, "-P", "-m", "pytest", "--pyargs", "kl_conformance.suite"]
        command += ["-c", str(SUITE / "pytest.ini"), "-p", "kl_conformance.plugin", "-q", "--tb=short"]
        asked = self.share.selection
        for option, names in (
            ("--implementation", asked.implementations),
            ("--framework", asked.frameworks),
            ("--device", asked.devices),
            ("--dtype", asked.dtypes),
            ("--mode", asked.modes),
        ):
            command += [f"{option}={name}" for name in names]
        command += [f"--profile={asked.profile.value}", f"--kl-seed={asked.seed}"]
        command += [f"--like={asked.like}"] if asked.like else []
        command += ["--kl-strict"] if asked.strict else []
        command += [f"--run-file={self.file}"]
        command += ["-k", self.keyword] if self.keyword else []
        command += ["--if-installed"] if self.optional else []
        home = {"HYPOTHESIS_STORAGE_DIRECTORY": str(self.folder / "hypothesis")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=host.environment() | host.threads() | home,
                start_new_session=True,
            )

    def poll(self) -> bool:
        """Take in what the worker wrote; whether it is still at work."""
        running = self.process is not None and self.process.poll() is None
        for kind, data in self.follower.poll():
            if kind == "header":
                self.planned = len(data["planned"])
            verdict = Verdict.__members__.get(str(data.get("verdict"))) if kind == "result" else None
            if verdict is Verdict.MISSING:
                self.missing += 1
            elif verdict is not None:
                self.judged += 1
                self.news += verdict.is_news
        return running

    def interrupt(self) -> None:
        """Ask the worker to close its file and end."""
        self.stopped = True
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def end(self) -> None:
        """Wait for an interrupted worker; a deaf one is killed."""
        if self.process is not None:
            try:
                self.process.wait(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    @property
    def code(self) -> int | None:
        """Return pytest's exit code, minus the signal that ended the worker, or None where it never started."""
        return None if self.process is None else self.process.returncode

    @property
    def died(self) -> bool:
        """Whether the process was ended by somebody else."""
        return self.code is not None and self.code < 0 and not self.stopped

    def run(self) -> Run:
        """Read the worker's run file back; where it left none, every cell it set out to judge is MISSING."""
        try:
            found = read(self.file)
        except RunFileError:
            return self._nothing()
        if self.stopped:
            return replace(found, results=tuple(_excused(result) for result in found.results))
        if self.died:
            remark = f"the worker of {self.name} {host.ending(self.code or 0)}"
            return replace(found, remarks=(*found.remarks, remark))
        return found

    def _nothing(self) -> Run:
        if self.stopped:
            why = "interrupted before anything was judged"
        elif self.died:
            why = f"the worker of {self.name} {host.ending(self.code or 0)} before anything was judged"
        else:
            why = f"the worker of {self.name} left no run file: {self.last_words()}"
        if self.keyword:  # which cells it would have chosen, only the worker knows
            return Run(replace(self.share.header, planned=()), (), None, (f"{self.name}: {why}",))
        return Run(self.share.header, tuple(self._missing(why)), None, () if self.stopped else (why,))

    def _missing(self, why: str) -> Iterator[Result]:
        for cell in self.share.header.planned:
            requirement, _, column = cell.partition("@")
            revision = self.share.header.requirements[requirement]["revision"]
            yield Result(requirement, revision, column, Verdict.MISSING, why)

    def last_words(self) -> str:
        """Return the last error the worker printed, or else its last line."""
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return "it printed nothing"
        errors = [line for line in lines if line.startswith(("ERROR: ", "Exit: ", "INTERNALERROR> ", "E  "))]
        said = [line.strip() for line in errors or lines if line.strip()]
        return (
            re.sub(r"^(ERROR: |Exit: |INTERNALERROR> |E +)+", "", said[-1]) if said else "it printed nothing"
        )


def _excused(result: Result) -> Result:
    """Return the result of a cell that was being asked when we ended its worker as what it is: not judged."""
    if result.verdict is not Verdict.CRASHED:
        return result
    return replace(result, verdict=Verdict.MISSING, detail="interrupted before it was judged")
