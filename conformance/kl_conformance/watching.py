"""Workers at work: as many at once as there are cores, shown as they go, and stopped together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from kl_conformance.worker import USAGE, Worker
from kl_reports.result import Verdict, chapter_of

Handler = Callable[[int, FrameType | None], None] | signal.Handlers
Grouped = Callable[[Sequence[Worker]], Sequence["Group"]]

PAUSE = 0.1  # seconds between two looks
SILENCE = 30.0  # seconds between two lines where there is no terminal
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


@dataclass(frozen=True, slots=True)
class Group:
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


def by_worker(workers: Sequence[Worker]) -> list[Group]:
    """Return a group for each worker."""
    return [
        Group(each.name, len(each.planned), list(each.verdicts().values()), each.over) for each in workers
    ]


def by_chapter(workers: Sequence[Worker]) -> list[Group]:
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
        Group(name, planned[name], some, over or len(some) == planned[name]) for name, some in found.items()
    ]


def _chapter(cell: str) -> str:
    return chapter_of(cell)


def watch(workers: Sequence[Worker], console: Console, grouped: Grouped = by_worker) -> bool:
    """Run the workers to their end, showing how far the groups are; whether they were interrupted.

    When one of them finds that it cannot be asked at all, the others are stopped as well.
    """
    waiting, running = list(workers), list[Worker]()
    with _stoppable() as signals, _shown(workers, console, grouped) as show:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                running.append(waiting.pop(0))
                running[-1].start()
            show()
            time.sleep(PAUSE)
            if signals:
                _stop([*running, *waiting])
                return True
            for worker in list(running):
                if not worker.poll():
                    running.remove(worker)
                    worker.over = True
                    if worker.code == USAGE:
                        _stop([*running, *waiting])
                        return False
        show()
    return False


def _stop(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.interrupt()
    for worker in workers:
        worker.end()
        worker.poll()


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

    def __call__(self, groups: Sequence[Group]) -> None:
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

    def __call__(self, groups: Sequence[Group]) -> None:
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


@contextmanager
def _stoppable() -> Generator[Sequence[int]]:
    """Gather the signals of whoever ends this process politely: Ctrl-C, a CI system, a closed terminal.

    They are looked at between two steps: an exception raised anywhere would now and then be lost, in a
    callback of the garbage collector for one.
    """
    signals: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signals.append(number)

    # What the surroundings ignore (nohup) stays ignored.
    usual = (signal.SIG_DFL, signal.default_int_handler)
    polite = [number for number in _STOPPING if signal.getsignal(number) in usual]
    with _handling(dict.fromkeys(polite, stop)):
        yield signals


@contextmanager
def undisturbed() -> Generator[None]:
    """Let an impatient second Ctrl-C cost nothing where only seconds are left as it is."""
    with _handling(dict.fromkeys(_STOPPING, signal.SIG_IGN)):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Handler]) -> Generator[None]:
    """Handle signals otherwise for a while; only the main thread may."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
