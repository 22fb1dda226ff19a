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


def replay(script: str, python: str = sys.executable) -> Seen:
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
            done = subprocess.run(
                [python, "-P", str(file)],
                env=host.environment() | host.threads(),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
                cwd=folder,
            )
        except subprocess.TimeoutExpired:
            return Seen.NOTHING
    if done.returncode == 0:
        return Seen.RIGHT
    last = (done.stderr.strip().splitlines() or [""])[-1]
    return Seen.FAILURE if last.startswith("AssertionError") else Seen.NOTHING
