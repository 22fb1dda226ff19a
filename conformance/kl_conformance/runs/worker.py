"""Worker: executes one shard, and restarts its process after a crash or timeout."""

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kl_conformance.processes import PACKAGE, describe_exit
from kl_conformance.runs.process import Limits, ProcessExit, WorkerProcess
from kl_conformance.runs.shards import Shard
from kl_reports.files import RunFileError
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.file import read
from kl_reports.runfile.merge import merge
from kl_reports.runfile.records import Result, Run, Verdict

SUITE = PACKAGE / "suite"
OK, FAILED, INTERRUPTED, HARNESS, USAGE, NOTHING = 0, 1, 2, 3, 4, 5  # pytest's exit codes


@dataclass(slots=True)
class Worker:
    """Executes one shard in child processes, one at a time.

    A process that crashes, exceeds its time or uses too much memory costs the cell that it was evaluating; the next
    process evaluates the rest.

    Parameters
    ----------
    shard
        The columns to test.
    keyword
        Expression of pytest's ``-k`` that selects cells among them.
    optional
        Whether a framework that is not installed makes its cells MISSING instead of being an error of usage.
    folder, position
        Folder of its files, and a number that distinguishes them from those of other workers.
    limits
        Limits of each process.
    """

    shard: Shard
    keyword: str
    optional: bool
    folder: Path
    position: int
    limits: Limits = field(default_factory=Limits)
    processes: list[WorkerProcess] = field(default_factory=list[WorkerProcess])
    early_exits: dict[str, ProcessExit] = field(default_factory=dict[str, ProcessExit])  # by cell
    interrupted: bool = False
    finished: bool = False  # set by the pool

    @property
    def name(self) -> str:
        """Name of the shard."""
        return self.shard.name

    @property
    def stem(self) -> str:
        """File name of the files of the first process, without suffix."""
        stem = re.sub(r"[^\w.]+", "-", self.name).strip("-")[-80:]
        return f"{stem}-{self.position}" if ":" in self.name else stem

    @property
    def started(self) -> bool:
        """Whether a process was ever started."""
        return bool(self.processes)

    @property
    def planned(self) -> tuple[str, ...]:
        """The cells that the first process planned; empty until they are known."""
        return self.processes[0].planned if self.processes else ()

    @property
    def evaluated(self) -> int:
        """Number of cells with a verdict other than MISSING."""
        return sum(verdict is not Verdict.MISSING for verdict in self.verdicts().values())

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdicts so far, by cell."""
        found = {cell: verdict for each in self.processes for cell, verdict in each.verdicts.items()}
        return found | {cell: end.verdict for cell, end in self.early_exits.items()}

    def start(self) -> None:
        """Start a process for the remaining cells, with the suite's own pytest configuration."""
        command = [sys.executable, "-P", "-m", "pytest", "--pyargs", "kl_conformance.suite"]
        command += ["-c", str(SUITE / "pytest.ini"), "-p", "kl_conformance.plugin", "-q", "--tb=short"]
        # Exceptions in threads and finalisers belong to the implementation, not to the suite.
        command += ["-p", "no:threadexception", "-p", "no:unraisableexception"]
        command += [f"--kl-selection={self._selection_file()}"]
        command += ["-k", self.keyword] if self.keyword else []
        command += ["--if-installed"] if self.optional else []
        stem = f"{self.stem}.after-{len(self.processes)}" if self.processes else self.stem
        remaining = set(self._remaining())
        done = [cell for cell in self.planned if cell not in remaining]
        self.processes.append(WorkerProcess(command, self.folder / stem, done, self.limits))
        self.processes[-1].start()

    def _selection_file(self) -> Path:
        """Return the path of the selection, written before the first process starts."""
        path = self.folder / f"{self.stem}.selection.json"
        if not self.processes:
            path.write_text(json.dumps(self.shard.selection.to_json()), encoding="utf-8")
        return path

    def poll(self) -> bool:
        """Read new results, and start another process after an early exit; return whether one is running."""
        if not self.processes or self.processes[-1].poll():
            return bool(self.processes)
        end = self.processes[-1].early_exit
        if self.interrupted or end is None or end.cell in self.early_exits:
            return False
        self.early_exits[end.cell] = end
        if self._remaining():
            self.start()
            return True
        return False

    def _remaining(self) -> list[str]:
        done = {cell for each in self.processes for cell in each.verdicts} | self.early_exits.keys()
        abandoned = self._abandoned_columns()
        return [cell for cell in self.planned if cell not in done and _column(cell) not in abandoned]

    def _abandoned_columns(self) -> set[str]:
        """Return the columns in which too many processes have ended early."""
        counts = Counter[str]()
        for end in self.early_exits.values():
            counts[_column(end.cell)] += 2 if end.verdict is Verdict.TIMED_OUT else 1
        return {column for column, count in counts.items() if count >= self.limits.max_exits}

    def interrupt(self) -> None:
        """End the running process, and start no other."""
        self.interrupted = True
        if self.processes:
            self.processes[-1].interrupt()

    def wait(self) -> None:
        """Wait for an interrupted process."""
        if self.processes:
            self.processes[-1].wait()

    @property
    def exit_code(self) -> int | None:
        """Pytest's exit code of the last process, minus the signal number after a signal; None if none was started."""
        if not self.processes:
            return None
        last = self.processes[-1]
        return FAILED if last.early_exit is not None and not self.interrupted else last.exit_code

    @property
    def ended_unexpectedly(self) -> bool:
        """Whether a process ended early, or by a signal that the worker did not send."""
        code = self.exit_code
        return bool(self.early_exits) or (code is not None and code < 0 and not self.interrupted)

    @property
    def log(self) -> Path:
        """The output of the first process that ended early, otherwise of the last process."""
        early = [each for each in self.processes if each.early_exit is not None]
        return [*early, *self.processes[-1:]][0].log

    def exit_message(self) -> str:
        """Return the last error of the last process, otherwise the last line of its output."""
        return self.processes[-1].exit_message() if self.processes else "it was never started"

    def run(self) -> Run:
        """Read the run files of all processes as one run; without any, every planned cell is MISSING."""
        parts = list(self._parts())
        if not parts:
            return self._empty_run()
        remarks = tuple(f"the worker of {self.name} {end.reason}" for end in self.early_exits.values())
        last, whole = parts[-1], merge(parts)
        if self.early_exits:
            complete = not self.interrupted and not self._remaining()
            finished = datetime.now(UTC).isoformat(timespec="seconds") if complete else None
            closed = last.finished or not complete
            earlier, cut_off = (last.remarks, last.cut_off) if closed else ((), ())
            whole = replace(whole, finished=last.finished or finished, remarks=earlier, cut_off=cut_off)
        elif self.ended_unexpectedly:
            remarks = (f"the worker of {self.name} {describe_exit(self.exit_code or 0)}",)
        results = tuple(map(self._final, whole.results))
        return replace(whole, results=results, remarks=(*whole.remarks, *dict.fromkeys(remarks)))

    def _parts(self) -> Iterator[Run]:
        for each in self.processes:
            try:
                yield read(each.run_file)
            except RunFileError:
                continue

    def _final(self, result: Result) -> Result:
        """Return a result with what only this process knows: early exits and interruption."""
        end = self.early_exits.get(result.cell)
        if end is not None:
            return replace(
                result,
                verdict=end.verdict,
                kind=end.kind,
                detail=end.sentence,
                happened=f"its process {end.reason}",
                last_call=end.call,
            )
        if self.interrupted and all(result.cell not in each.verdicts for each in self.processes):
            return replace(result, verdict=Verdict.MISSING, detail="interrupted before it was evaluated")
        if result.verdict is Verdict.MISSING and result.column in self._abandoned_columns():
            count = sum(_column(cell) == result.column for cell in self.early_exits)
            return replace(result, detail=f"skipped: the column's process had already exited {count} times")
        return result

    def _empty_run(self) -> Run:
        if self.interrupted:
            reason = "interrupted before any cell was evaluated"
        elif self.ended_unexpectedly:
            end = describe_exit(self.exit_code or 0)
            reason = f"the worker of {self.name} {end} before any cell was evaluated"
        else:
            reason = f"the worker of {self.name} left no run file: {self.exit_message()}"
        if self.keyword:  # only the worker's process determines the cells that match
            return Run(replace(self.shard.header, planned=()), (), None, (f"{self.name}: {reason}",))
        remarks = () if self.interrupted else (reason,)
        return Run(self.shard.header, tuple(self._missing(reason)), None, remarks)

    def _missing(self, reason: str) -> Iterator[Result]:
        for cell in map(CellId.parse, self.shard.header.planned):
            revision = self.shard.header.requirements[cell.requirement]["revision"]
            yield Result(cell.requirement, revision, cell.column, Verdict.MISSING, reason)


def _column(cell: str) -> str:
    return CellId.parse(cell).column
