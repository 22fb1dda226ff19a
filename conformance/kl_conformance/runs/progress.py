"""Progress display: bars on a terminal, lines elsewhere."""

from __future__ import annotations

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

Grouped = Callable[[Sequence[Worker]], Sequence["ProgressRow"]]

SILENCE = 30.0  # seconds between two lines where there is no terminal


@dataclass(frozen=True, slots=True)
class ProgressRow:
    """How far a number of cells are.

    Parameters
    ----------
    name
        What people see.
    planned
        How many cells there are; 0 while nobody knows.
    verdicts
        Of those that have one.
    over
        Whether there will be no more.
    """

    name: str
    planned: int
    verdicts: Sequence[Verdict]
    over: bool

    @property
    def news(self) -> int:
        """How many verdicts are news."""
        return sum(verdict.is_news for verdict in self.verdicts)

    def __str__(self) -> str:
        missing = sum(verdict is Verdict.MISSING for verdict in self.verdicts)
        said = f"{self.name}: {len(self.verdicts) - missing} of {self.planned} cells judged"
        said += f", {missing} missing" if missing else ""
        return said + (f", {self.news} with news" if self.news else "")


def by_worker(workers: Sequence[Worker]) -> list[ProgressRow]:
    """Return a group for each worker."""
    return [
        ProgressRow(each.name, len(each.planned), list(each.verdicts().values()), each.over)
        for each in workers
    ]


def by_chapter(workers: Sequence[Worker]) -> list[ProgressRow]:
    """Return a group for each chapter of the requirements, once every worker has said what it is to ask."""
    if not all(worker.planned or worker.over for worker in workers):
        return []
    planned = Counter(_chapter(cell) for worker in workers for cell in worker.planned)
    found: dict[str, list[Verdict]] = {chapter: [] for chapter in planned}
    for worker in workers:
        for cell, verdict in worker.verdicts().items():
            found[_chapter(cell)].append(verdict)
    over = all(worker.over for worker in workers)
    return [
        ProgressRow(name, planned[name], some, over or len(some) == planned[name])
        for name, some in found.items()
    ]


def _chapter(cell: str) -> str:
    return chapter_of(cell)


@contextmanager
def _shown(workers: Sequence[Worker], console: Console, grouped: Grouped) -> Generator[Callable[[], None]]:
    """Show a bar for each group on a terminal; elsewhere a line when one is over, and now and then of all others."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        show = BarDisplay(progress) if console.is_terminal else LineDisplay(console)
        yield lambda: show(grouped(workers))


class BarDisplay:
    """Brings the bars of a terminal up to date."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, groups: Sequence[ProgressRow]) -> None:
        """Update the bar of each group."""
        for group in groups:
            if group.name not in self._tasks:
                self._tasks[group.name] = self._progress.add_task(
                    group.name, total=None, start=False, news=""
                )
            task, news = self._tasks[group.name], f"[red]{group.news} with news" if group.news else ""
            if group.planned and not self._progress.tasks[task].started:
                self._progress.start_task(task)
            done = len(group.verdicts)
            self._progress.update(task, total=group.planned or None, completed=done, news=news)
            if group.over:
                self._progress.stop_task(task)


class LineDisplay:
    """Says of each group how far it is."""

    def __init__(self, console: Console, silence: float = SILENCE) -> None:
        self._console = console
        self._silence = silence
        self._spoke = time.monotonic()
        self._told = set[str]()

    def __call__(self, groups: Sequence[ProgressRow]) -> None:
        """Print a line for each group that is over, and after a silence one for each of the others."""
        for group in groups:
            if group.over and group.planned and group.name not in self._told:
                self._told.add(group.name)
                self._say(f"  {group}")
        if time.monotonic() - self._spoke > self._silence:
            for group in groups:
                if group.planned and not group.over:
                    self._say(f"  {group} so far")

    def _say(self, line: str) -> None:
        self._spoke = time.monotonic()
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
