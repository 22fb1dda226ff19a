"""What one framework's implementations are asked, in one process after another where one dies of it."""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from kl_conformance import processes
from kl_conformance.runs.process import Limits, ProcessExit, WorkerProcess
from kl_conformance.runs.shards import Shard
from kl_reports.files import RunFileError
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.file import read
from kl_reports.runfile.merge import merge
from kl_reports.runfile.records import Result, Run, Verdict

SUITE = processes.PACKAGE / "suite"
OK, BROKEN, INTERRUPTED, HARNESS, USAGE, NOTHING = 0, 1, 2, 3, 4, 5  # pytest's exit codes


@dataclass(slots=True)
class Worker:
    """A share of the run, and the processes that ask it, one at a time.

    A process that dies, hangs or takes too much memory costs the cell it was asking; the next one asks the rest.

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
    limits
        What each process may take.
    """

    share: Shard
    keyword: str
    optional: bool
    folder: Path
    position: int
    limits: Limits = field(default_factory=Limits)
    lives: list[WorkerProcess] = field(default_factory=list[WorkerProcess])
    deaths: dict[str, ProcessExit] = field(default_factory=dict[str, ProcessExit])
    stopped: bool = False
    over: bool = False  # whether whoever watches it has seen its end

    @property
    def name(self) -> str:
        """What people see."""
        return self.share.name

    @property
    def stem(self) -> str:
        """What the files of its first process are called, but for the ending."""
        stem = re.sub(r"[^\w.]+", "-", self.name).strip("-")[-80:]
        return f"{stem}-{self.position}" if ":" in self.name else stem

    @property
    def started(self) -> bool:
        """Whether a process of its own was ever started."""
        return bool(self.lives)

    @property
    def planned(self) -> tuple[str, ...]:
        """The cells its first process set out to judge; none before that is known."""
        return self.lives[0].planned if self.lives else ()

    @property
    def judged(self) -> int:
        """How many cells have a verdict other than MISSING."""
        return sum(verdict is not Verdict.MISSING for verdict in self.verdicts().values())

    def verdicts(self) -> dict[str, Verdict]:
        """Return the verdicts so far, by cell."""
        found = {cell: verdict for life in self.lives for cell, verdict in life.verdicts.items()}
        return found | {cell: death.verdict for cell, death in self.deaths.items()}

    def start(self) -> None:
        """Start a process, under the suite's own pytest configuration, for what is not yet settled."""
        command = [sys.executable, "-P", "-m", "pytest", "--pyargs", "kl_conformance.suite"]
        command += ["-c", str(SUITE / "pytest.ini"), "-p", "kl_conformance.plugin", "-q", "--tb=short"]
        # What threads and finalisers raise is the implementation's: nobody here collects it.
        command += ["-p", "no:threadexception", "-p", "no:unraisableexception"]
        command += [f"--kl-selection={self._selection_file()}"]
        command += ["-k", self.keyword] if self.keyword else []
        command += ["--if-installed"] if self.optional else []
        stem = f"{self.stem}.after-{len(self.lives)}" if self.lives else self.stem
        left = set(self._left())
        settled = [cell for cell in self.planned if cell not in left]
        self.lives.append(WorkerProcess(command, self.folder / stem, settled, self.limits))
        self.lives[-1].start()

    def _selection_file(self) -> Path:
        """Return the file of the selection, written before the first process starts."""
        path = self.folder / f"{self.stem}.selection.json"
        if not self.lives:
            path.write_text(json.dumps(self.share.selection.to_json()), encoding="utf-8")
        return path

    def poll(self) -> bool:
        """Take in what was written, and start another process where one died; whether there is one at work."""
        if not self.lives or self.lives[-1].poll():
            return bool(self.lives)
        death = self.lives[-1].death
        if self.stopped or death is None or death.cell in self.deaths:
            return False
        self.deaths[death.cell] = death
        if self._left():
            self.start()
            return True
        return False

    def _left(self) -> list[str]:
        """Return the cells still to be asked."""
        known = {cell for life in self.lives for cell in life.verdicts} | self.deaths.keys()
        hopeless = self._hopeless()
        return [cell for cell in self.planned if cell not in known and _column(cell) not in hopeless]

    def _hopeless(self) -> set[str]:
        """Return the columns in which too many processes have died."""
        counts = Counter[str]()
        for death in self.deaths.values():
            counts[_column(death.cell)] += 2 if death.verdict is Verdict.TIMED_OUT else 1
        return {column for column, count in counts.items() if count >= self.limits.deaths}

    def interrupt(self) -> None:
        """End the process at work; no other is started."""
        self.stopped = True
        if self.lives:
            self.lives[-1].interrupt()

    def end(self) -> None:
        """Wait for an interrupted process."""
        if self.lives:
            self.lives[-1].end()

    @property
    def code(self) -> int | None:
        """Pytest's exit code of the last process, minus the signal that ended it, or None where none started."""
        if not self.lives:
            return None
        return BROKEN if self.lives[-1].death is not None and not self.stopped else self.lives[-1].code

    @property
    def died(self) -> bool:
        """Whether a process came to an end nobody here wished for."""
        return bool(self.deaths) or (self.code is not None and self.code < 0 and not self.stopped)

    @property
    def log(self) -> Path:
        """All that was printed by the first process that died, or else by the last."""
        dead = [life for life in self.lives if life.death is not None]
        return [*dead, *self.lives[-1:]][0].log

    def last_words(self) -> str:
        """Return the last error the last process printed, or else its last line."""
        return self.lives[-1].last_words() if self.lives else "it was never started"

    def run(self) -> Run:
        """Read the run files back as one; where there is none, every cell it set out to judge is MISSING."""
        parts = list(self._parts())
        if not parts:
            return self._nothing()
        remarks = tuple(f"the worker of {self.name} {death.how}" for death in self.deaths.values())
        last, whole = parts[-1], merge(parts)
        if self.deaths:
            over = not self.stopped and not self._left()
            finished = datetime.now(UTC).isoformat(timespec="seconds") if over else None
            known, cut = (last.remarks, last.cut_off) if last.finished or not over else ((), ())
            whole = replace(whole, finished=last.finished or finished, remarks=known, cut_off=cut)
        elif self.died:
            remarks = (f"the worker of {self.name} {processes.describe_exit(self.code or 0)}",)
        results = tuple(map(self._final, whole.results))
        return replace(whole, results=results, remarks=(*whole.remarks, *dict.fromkeys(remarks)))

    def _parts(self) -> Iterator[Run]:
        for life in self.lives:
            try:
                yield read(life.file)
            except RunFileError:
                continue

    def _final(self, result: Result) -> Result:
        """Return a result as this process, which saw the others die, knows it."""
        death = self.deaths.get(result.cell)
        if death is not None:
            return replace(
                result,
                verdict=death.verdict,
                kind=death.kind,
                detail=death.sentence,
                happened=f"its process {death.how}",
                last_call=death.call,
            )
        if self.stopped and all(result.cell not in life.verdicts for life in self.lives):
            return replace(result, verdict=Verdict.MISSING, detail="interrupted before it was judged")
        if result.verdict is Verdict.MISSING and result.column in self._hopeless():
            count = sum(_column(cell) == result.column for cell in self.deaths)
            return replace(result, detail=f"not asked: {count} processes had ended in this column before")
        return result

    def _nothing(self) -> Run:
        if self.stopped:
            why = "interrupted before anything was judged"
        elif self.died:
            why = f"the worker of {self.name} {processes.describe_exit(self.code or 0)} before anything was judged"
        else:
            why = f"the worker of {self.name} left no run file: {self.last_words()}"
        if self.keyword:  # which cells it would have chosen, only the worker knows
            return Run(replace(self.share.header, planned=()), (), None, (f"{self.name}: {why}",))
        return Run(self.share.header, tuple(self._missing(why)), None, () if self.stopped else (why,))

    def _missing(self, why: str) -> Iterator[Result]:
        for cell in self.share.header.planned:
            own = CellId.parse(cell)
            revision = self.share.header.requirements[own.requirement]["revision"]
            yield Result(own.requirement, revision, own.column, Verdict.MISSING, why)


def _column(cell: str) -> str:
    return CellId.parse(cell).column
