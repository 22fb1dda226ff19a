"""Starts child Python processes, sends JSON requests, limits and describes how they ended."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kl_cases
import kl_reference
import kl_reports

PACKAGE = Path(__file__).resolve().parent  # the folder of kl_conformance
PACKAGES = (  # the folders of the four packages of the suite
    *(Path(str(package.__file__)).resolve().parent for package in (kl_reference, kl_cases, kl_reports)),
    PACKAGE,
)
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <linux/prctl.h>


@dataclass(frozen=True, slots=True)
class Exit:
    """How a child process ended.

    Parameters
    ----------
    code
        Exit code, minus the signal number after a signal; None for a process killed at its time limit.
    message
        The last line on stderr.
    """

    code: int | None
    message: str = ""


class NoAnswerError(Exception):
    """A child process ended without an answer; the message describes its exit."""

    def __init__(self, end: Exit, seconds: float) -> None:
        self.end = end
        super().__init__(
            f"no answer within {seconds:g} s"
            if end.code is None
            else f"its process {describe_exit(end.code)} ({end.message})"
        )


def environment() -> dict[str, str]:
    """Return a child's environment: nothing meant for other pytest sessions, and this very code."""
    child = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    child["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    folders = dict.fromkeys(package.parent for package in PACKAGES)
    own = [str(folder) for folder in folders if folder not in installed]
    path = [*own, *filter(None, [child.get("PYTHONPATH")])]
    if path:
        child["PYTHONPATH"] = os.pathsep.join(path)
    return child


def start_python(
    *arguments: str,
    seconds: float,
    interpreter: str = sys.executable,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run Python with the code of this suite, one thread a library, and capture its output.

    ``variables`` are added to its environment; ``given`` is its standard input.

    Raises
    ------
    subprocess.TimeoutExpired
        The process did not end within ``seconds``; it is killed.
    """
    return subprocess.run(
        [interpreter, "-P", *arguments],
        env=environment() | threads() | dict(variables or {}),
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        cwd=folder,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line a process printed to standard error."""
    return (done.stderr.strip().splitlines() or ["no output on stderr"])[-1].strip()


def request(module: str, payload: Any, *, seconds: float) -> Any:
    """Return the answer of a module of this suite, run in a child process, to one JSON value.

    The module calls :func:`respond` when it is run; what the child prints goes to its stderr.

    Raises
    ------
    NoAnswerError
        The process ended without an answer, or gave none within ``seconds``.
    """
    answers, end = requests(module, [payload], seconds=seconds)
    if not answers:
        raise NoAnswerError(end, seconds)
    return answers[0]


def requests(
    module: str,
    payloads: Sequence[Any],
    *,
    seconds: float,
    interpreter: str = sys.executable,
    variables: Mapping[str, str] | None = None,
) -> tuple[list[Any], Exit]:
    """Return the answers of a module, run in one child process, to several JSON values, and how the process ended.

    The answers are in the order of the payloads; where they are fewer, the process ended during the next one.
    """
    given = "".join(f"{json.dumps(payload)}\n" for payload in payloads)
    try:
        done = start_python(
            "-m", module, seconds=seconds, interpreter=interpreter, variables=variables, given=given
        )
    except subprocess.TimeoutExpired as late:
        written: Any = late.stdout or b""  # bytes, also in text mode
        return _answers(written.decode() if isinstance(written, bytes) else written), Exit(None)
    return _answers(done.stdout), Exit(done.returncode, last_line(done))


def _answers(written: str) -> list[Any]:
    """Return the answers a process has written in full."""
    return [json.loads(line) for line in written.splitlines(keepends=True) if line.endswith("\n")]


def respond(answer: Callable[[Any], Any]) -> None:
    """Answer the requests of :func:`requests`, each as soon as its answer is known.

    Code under test may read stdin and print: stdin is empty from now on, and stdout is stderr.
    """
    payloads = [json.loads(line) for line in sys.stdin]
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii") as channel:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        for payload in payloads:
            channel.write(f"{json.dumps(answer(payload), allow_nan=False)}\n")
            channel.flush()


def threads() -> dict[str, str]:
    """Return variables that keep each of several workers to one thread, where the caller has set none.

    The problems are small, and there is a worker for every core: threads would wait for each other.
    """
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {name: os.environ.get(name, "1") for name in names}


def describe_exit(code: int) -> str:
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
