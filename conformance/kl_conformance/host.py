"""Other processes with this very code in them, installed or not."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import kl_cases
import kl_conformance
import kl_reference
import kl_reports

_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


def environment() -> dict[str, str]:
    """Return a child's environment: nothing meant for other pytest sessions, and this very code."""
    child = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    child["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    houses = [
        Path(str(package.__file__)).resolve().parents[1]
        for package in (kl_reference, kl_cases, kl_conformance, kl_reports)
    ]
    own = [str(house) for house in dict.fromkeys(houses) if house not in installed]
    path = [*own, *filter(None, [child.get("PYTHONPATH")])]
    if path:
        child["PYTHONPATH"] = os.pathsep.join(path)
    return child


def python(
    *arguments: str,
    seconds: float,
    interpreter: str = sys.executable,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run Python with this very code to its end, one thread a library, and keep what it prints.

    ``variables`` are set in its environment beside what is there.

    Raises
    ------
    subprocess.TimeoutExpired
        It did not end within so many seconds.
    """
    return subprocess.run(
        [interpreter, "-P", *arguments],
        env=environment() | threads() | dict(variables or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        cwd=folder,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line a process printed to standard error."""
    return (done.stderr.strip().splitlines() or ["it said nothing"])[-1].strip()


def threads() -> dict[str, str]:
    """Return variables that keep each of several workers to one thread, where the caller has set none.

    The problems are small, and there is a worker for every core: threads would wait for each other.
    """
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {name: os.environ.get(name, "1") for name in names}


def ending(code: int) -> str:
    """Return how a process ended, as the end of a sentence: ``was ended by signal 9 (SIGKILL)``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "no name"
    return f"was ended by signal {-code} ({name})"


def die_with_parent() -> None:
    """Let this process end when the one that started it is killed; Linux alone can be told so."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def memory() -> int | None:
    """Return the bytes of memory processes may use here, a container's limit heeded; None where nobody says."""
    try:
        found = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        return min(found, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or "max": no limit
        return found


def resident(process: int) -> int | None:
    """Return the bytes of memory a process has; None where nobody says (only Linux does) or it is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
