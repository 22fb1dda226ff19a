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

from kl_conformance.runs.progress import Grouped, _shown, by_worker
from kl_conformance.runs.worker import USAGE, Worker

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

PAUSE = 0.1  # seconds between two looks
_STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


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
