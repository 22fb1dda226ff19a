"""Kernels that crash, hang or leak once, in the first process, and are correct afterwards; `fatal` always crashes."""

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import rel_entr

_LEAKED: list[Any] = []


def correct(p: Any, q: Any) -> Any:
    """Return the correct terms."""
    return rel_entr(p, q)


def _once(action: Callable[[], object]) -> None:
    """Call the action if no process of this test has done so before."""
    mark = Path(os.environ["KL_TESTKIT_ONCE"])
    if not mark.exists():
        mark.touch()
        action()


def segfaulting(p: Any, q: Any) -> Any:
    """Read address 0."""
    _once(lambda: ctypes.string_at(0))
    return correct(p, q)


def aborting(p: Any, q: Any) -> Any:
    """Abort, as a failed assertion in C does."""
    _once(os.abort)
    return correct(p, q)


def exiting(p: Any, q: Any) -> Any:
    """End the process with exit code 0."""
    _once(lambda: os._exit(0))
    return correct(p, q)


def endless(p: Any, q: Any) -> Any:
    """Never return."""
    _once(lambda: time.sleep(3600))
    return correct(p, q)


def _leak() -> None:
    _LEAKED.append(np.ones(1 << 27))  # 1 GiB, written to
    time.sleep(60)


def leaking(p: Any, q: Any) -> Any:
    """Allocate 1 GiB and keep it."""
    _once(_leak)
    return correct(p, q)


def fatal(p: Any, q: Any) -> Any:
    """Read address 0 at every call."""
    ctypes.string_at(0)
    return correct(p, q)


def threading_kl(p: Any, q: Any) -> Any:
    """Leave a thread running that does not end."""
    _once(threading.Thread(target=time.sleep, args=(3600,)).start)
    return correct(p, q)
