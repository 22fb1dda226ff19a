"""A reproducer executed in a clean process: it must show the failure it claims."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from enum import Enum
from pathlib import Path

from kl_conformance import host

SECONDS = 60  # a framework's import, and one call


class Seen(Enum):
    """What came of a reproducer in a process of its own."""

    FAILURE = "it shows the failure"
    RIGHT = "alone, in a process of its own, it gives the right answer"
    NOTHING = "it came to another end"


def execute(script: str, python: str = sys.executable) -> Seen:
    """Execute a reproducer in a clean process.

    Parameters
    ----------
    script
        The whole script; its last line asserts what is right.
    python
        The interpreter.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reproducer.py"
        file.write_text(script, encoding="utf-8")
        try:
            done = host.python(str(file), seconds=SECONDS, interpreter=python, folder=Path(folder))
        except subprocess.TimeoutExpired:
            return Seen.NOTHING
    if done.returncode == 0:
        return Seen.RIGHT
    return Seen.FAILURE if host.last_line(done).startswith("AssertionError") else Seen.NOTHING
