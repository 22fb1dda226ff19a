"""Snapshots global process state (RNG, warnings, dtype defaults) and detects changes."""

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
    """A global random generator: how to draw a number, and how to read its state."""

    draw: Callable[[], object]
    state: Callable[[], object]


def sources() -> Mapping[str, RandomSource]:
    """Return the global random generators of Python and NumPy, by name."""
    return {
        "Python's random generator": RandomSource(random.random, random.getstate),
        "NumPy's random generator": RandomSource(np.random.random, lambda: repr(np.random.get_state())),
    }


def settings() -> Mapping[str, Any]:
    """Return the settings of the process itself, by name."""
    variables = {f"the environment variable {name}": value for name, value in os.environ.items()}
    return variables | {
        "NumPy's handling of floating-point errors": np.geterr(),
        "the handling of subnormal numbers": bool(np.float64(5e-324) * np.float64(1.0)),
        "the working directory": str(Path.cwd()),
        "the signal handlers": [signal.getsignal(each) for each in SIGNALS],
    }


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names whose values have changed.

    New names do not count: libraries set environment variables of their own at first use.
    """
    for name, value in before.items():
        if after.get(name) != value:
            yield name
