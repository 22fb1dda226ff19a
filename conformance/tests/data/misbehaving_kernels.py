"""Kernels that do, once, what no kernel should, and are right ever after; FATAL never stops."""

from __future__ import annotations

import ctypes
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import rel_entr

_KEPT: list[Any] = []


def right(p: Any, q: Any) -> Any:
    """Answer rightly."""
    return rel_entr(p, q)


def _once(deed: Callable[[], object]) -> None:
    """Do something in the first of all processes that come here alone."""
    mark = Path(os.environ["KL_TRIALS_ONCE"])
    if not mark.exists():
        mark.touch()
        deed()


def faulty(p: Any, q: Any) -> Any:
    """Read where nothing is."""
    _once(lambda: ctypes.string_at(0))
    return right(p, q)


def aborting(p: Any, q: Any) -> Any:
    """Give up as a failed assertion in C does."""
    _once(os.abort)
    return right(p, q)


def leaving(p: Any, q: Any) -> Any:
    """End the process as if all were well."""
    _once(lambda: os._exit(0))
    return right(p, q)


def endless(p: Any, q: Any) -> Any:
    """Never come back."""
    _once(lambda: time.sleep(3600))
    return right(p, q)


def _hoard() -> None:
    _KEPT.append(np.ones(1 << 27))  # 1 GiB, written to
    time.sleep(60)


def leaking(p: Any, q: Any) -> Any:
    """Take a GiB, and keep it."""
    _once(_hoard)
    return right(p, q)


def fatal(p: Any, q: Any) -> Any:
    """Read where nothing is, every time."""
    ctypes.string_at(0)
    return right(p, q)


def threading_kl(p: Any, q: Any) -> Any:
    """Leave a thread running that nothing ends."""
    _once(threading.Thread(target=time.sleep, args=(3600,)).start)
    return right(p, q)
