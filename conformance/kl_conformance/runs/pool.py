"""Runs workers in parallel, one per core, and stops them together."""

import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from kl_conformance.runs.progress import Grouping, by_worker, display
from kl_conformance.runs.worker import USAGE, Worker

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

POLL_INTERVAL = 0.1  # seconds
_STOP_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def run_workers(workers: Sequence[Worker], console: Console, grouping: Grouping = by_worker) -> bool:
    """Run the workers until they end and show their progress; return whether they were interrupted.

    An error of usage in one worker stops the others.
    """
    waiting, running = list(workers), list[Worker]()
    with _caught_signals() as signals, display(workers, console, grouping) as show:
        while waiting or running:
            while waiting and len(running) < (os.cpu_count() or 1):
                running.append(waiting.pop(0))
                running[-1].start()
            show()
            time.sleep(POLL_INTERVAL)
            if signals:
                _stop([*running, *waiting])
                return True
            for worker in list(running):
                if not worker.poll():
                    running.remove(worker)
                    worker.finished = True
                    if worker.exit_code == USAGE:
                        _stop([*running, *waiting])
                        return False
        show()
    return False


def _stop(workers: Sequence[Worker]) -> None:
    for worker in workers:
        worker.interrupt()
    for worker in workers:
        worker.wait()
        worker.poll()


@contextmanager
def _caught_signals() -> Generator[Sequence[int]]:
    """Collect the signals that ask this process to end, as Ctrl-C, a CI system or a closed terminal sends them.

    They are checked between two steps: an exception raised in a signal handler would be lost wherever Python
    ignores exceptions, for example in a callback of the garbage collector.
    """
    signals: list[int] = []

    def catch(number: int, frame: FrameType | None) -> None:
        del frame
        signals.append(number)

    defaults = (signal.SIG_DFL, signal.default_int_handler)  # an ignored signal (nohup) stays ignored
    with _handling({number: catch for number in _STOP_SIGNALS if signal.getsignal(number) in defaults}):
        yield signals


@contextmanager
def ignore_signals() -> Generator[None]:
    """Ignore a second Ctrl-C during the last seconds of a run."""
    with _handling(dict.fromkeys(_STOP_SIGNALS, signal.SIG_IGN)):
        yield


@contextmanager
def _handling(handlers: Mapping[signal.Signals, Handler]) -> Generator[None]:
    """Install signal handlers for a while; in threads other than the main one, do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
