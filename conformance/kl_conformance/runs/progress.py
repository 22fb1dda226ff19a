"""Progress display: bars on a terminal, lines elsewhere."""

import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from kl_conformance.runs.worker import Worker
from kl_reports.runfile.cell_id import chapter_of
from kl_reports.runfile.records import Verdict

Grouping = Callable[[Sequence[Worker]], Sequence["ProgressRow"]]

LINE_INTERVAL = 30.0  # seconds between two lines without a terminal


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """Progress of a group of cells.

    Parameters
    ----------
    name
        Name of the group, for people.
    planned
        Number of cells; 0 until it is known.
    verdicts
        Verdicts so far.
    finished
        Whether there will be no more.
    """

    name: str
    planned: int
    verdicts: Sequence[Verdict]
    finished: bool

    @property
    def unexpected(self) -> int:
        """Number of verdicts that make the run end with exit code 1."""
        return sum(verdict.is_news for verdict in self.verdicts)

    def __str__(self) -> str:
        missing = sum(verdict is Verdict.MISSING for verdict in self.verdicts)
        counts = [f"{len(self.verdicts) - missing} of {self.planned} cells evaluated"]
        counts += [f"{missing} not run"] if missing else []
        counts += [f"{self.unexpected} unexpected"] if self.unexpected else []
        return f"{self.name}: {', '.join(counts)}"


def by_worker(workers: Sequence[Worker]) -> list[ProgressRow]:
    """Return one row per worker."""
    return [
        ProgressRow(each.name, len(each.planned), list(each.verdicts().values()), each.finished) for each in workers
    ]


def by_chapter(workers: Sequence[Worker]) -> list[ProgressRow]:
    """Return one row per chapter of the requirements; none until the plan of every worker is known."""
    if not all(worker.planned or worker.finished for worker in workers):
        return []
    planned = Counter(chapter_of(cell) for worker in workers for cell in worker.planned)
    verdicts: dict[str, list[Verdict]] = {chapter: [] for chapter in planned}
    for worker in workers:
        for cell, verdict in worker.verdicts().items():
            verdicts[chapter_of(cell)].append(verdict)
    finished = all(worker.finished for worker in workers)
    return [
        ProgressRow(name, planned[name], each, finished or len(each) == planned[name])
        for name, each in verdicts.items()
    ]


@contextmanager
def display(workers: Sequence[Worker], console: Console, grouping: Grouping) -> Generator[Callable[[], None]]:
    """Yield a function that updates the display: bars on a terminal, lines elsewhere."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[unexpected]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        show = BarDisplay(progress) if console.is_terminal else LineDisplay(console)
        yield lambda: show(grouping(workers))


class BarDisplay:
    """One progress bar per row, on a terminal."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, rows: Sequence[ProgressRow]) -> None:
        """Update the bar of each row."""
        for row in rows:
            if row.name not in self._tasks:
                task = self._progress.add_task(row.name, total=None, start=False, unexpected="")
                self._tasks[row.name] = task
            task = self._tasks[row.name]
            if row.planned and not self._progress.tasks[task].started:
                self._progress.start_task(task)
            unexpected = f"[red]{row.unexpected} unexpected" if row.unexpected else ""
            done = len(row.verdicts)
            self._progress.update(task, total=row.planned or None, completed=done, unexpected=unexpected)
            if row.finished:
                self._progress.stop_task(task)


class LineDisplay:
    """One line for each finished row, and at intervals one for each of the others."""

    def __init__(self, console: Console, interval: float = LINE_INTERVAL) -> None:
        self._console = console
        self._interval = interval
        self._last_line = time.monotonic()
        self._printed = set[str]()

    def __call__(self, rows: Sequence[ProgressRow]) -> None:
        """Print the rows that have finished, and the others if nothing was printed for the interval."""
        for row in rows:
            if row.finished and row.planned and row.name not in self._printed:
                self._printed.add(row.name)
                self._print(f"  {row}")
        if time.monotonic() - self._last_line > self._interval:
            for row in rows:
                if row.planned and not row.finished:
                    self._print(f"  {row} so far")

    def _print(self, line: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
