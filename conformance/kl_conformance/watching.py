"""Workers at work: as many at once as there are cores, shown as they go, and stopped together."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from kl_conformance.worker import USAGE, Worker

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

PAUSE = 0.1  # seconds between two looks
SILENCE = 30.0  # seconds between two lines where there is no terminal
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def watch(workers: Sequence[Worker], console: Console) -> bool:
    """Run the workers to their end; whether they were interrupted.

    When one of them finds that it cannot be asked at all, the others are stopped as well.
    """
    waiting, running = list(workers), list[Worker]()
    with _stoppable() as signals, _shown(workers, console) as show:
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
                    _farewell(worker, console)
                    if worker.code == USAGE:
                        _stop([*running, *waiting])
                        return False
    return False


def _stop(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.interrupt()
    for worker in workers:
        worker.end()
        worker.poll()


def _farewell(worker: Worker, console: Console) -> None:
    """Say, where no bar does, that a worker has ended."""
    if not console.is_terminal and worker.planned:
        console.print(f"  {_progress(worker)}", highlight=False, markup=False, soft_wrap=True)


def _progress(worker: Worker) -> str:
    missing = f", {worker.missing} missing" if worker.missing else ""
    news = f", {worker.news} with news" if worker.news else ""
    return f"{worker.name}: {worker.judged} of {len(worker.planned)} cells judged{missing}{news}"


@contextmanager
def _shown(workers: Sequence[Worker], console: Console) -> Generator[_Show]:
    """Show a bar per worker on a terminal; elsewhere, now and then, a line."""
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[news]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        tasks = [progress.add_task(worker.name, total=None, start=False, news="") for worker in workers]
        yield _Show(workers, console, progress, tasks)


class _Show:
    """Brings what is shown up to date."""

    def __init__(
        self, workers: Sequence[Worker], console: Console, progress: Progress, tasks: Sequence[TaskID]
    ) -> None:
        self._tasks = list(zip(workers, tasks, strict=True))
        self._console = console
        self._progress = progress
        self._spoke = time.monotonic()

    def __call__(self) -> None:
        if self._console.is_terminal:
            for worker, task in self._tasks:
                self._bar(worker, task)
        elif time.monotonic() - self._spoke > SILENCE:
            self._spoke = time.monotonic()
            for worker, _ in self._tasks:
                if worker.planned and worker.judged + worker.missing < len(worker.planned):
                    self._console.print(
                        f"  {_progress(worker)} so far", highlight=False, markup=False, soft_wrap=True
                    )

    def _bar(self, worker: Worker, task: TaskID) -> None:
        if worker.started and not self._progress.tasks[task].started:
            self._progress.start_task(task)
        news = f"[red]{worker.news} with news" if worker.news else ""
        done = worker.judged + worker.missing
        self._progress.update(task, total=len(worker.planned) or None, completed=done, news=news)
        if worker.code is not None:
            self._progress.stop_task(task)


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
