"""What a process shares with everybody in it, and a call must leave as it was."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class RandomSource:
    """A source of random numbers that everybody draws from: how one is drawn, and what its state is."""

    draw: Callable[[], object]
    state: Callable[[], object]


def sources() -> Mapping[str, RandomSource]:
    """Return the random generators of Python and of NumPy, by name."""
    return {
        "Python's random generator": RandomSource(random.random, random.getstate),
        "NumPy's random generator": RandomSource(np.random.random, lambda: repr(np.random.get_state())),
    }


def settings() -> Mapping[str, Any]:
    """Return what the process itself keeps for everybody, by name."""
    variables = {f"the environment variable {name}": value for name, value in os.environ.items()}
    return variables | {
        "NumPy's handling of floating-point errors": np.geterr(),
        "the handling of subnormal numbers": bool(np.float64(5e-324) * np.float64(1.0)),
        "the working directory": str(Path.cwd()),
        "the signal handlers": [signal.getsignal(each) for each in SIGNALS],
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names whose values are no longer what they were.

    What is new is nobody's: libraries set environment variables for themselves when they are first used.
    """
    for name, value in before.items():
        if after.get(name) != value:
            yield name
