"""Starts child Python processes, sends them JSON requests, limits them and describes how they ended."""

import ctypes
import json
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kl_cases
import kl_reference
import kl_reports

PACKAGE = Path(__file__).resolve().parent  # folder of kl_conformance
PACKAGES = (  # folders of the four packages of the suite
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

    def __init__(self, end: Exit, seconds: float | None) -> None:
        message = f" ({end.message})" if end.message else ""
        super().__init__(
            f"no answer within {seconds:g} s"
            if end.code is None and seconds is not None
            else f"its process {describe_exit(end.code or 0)}{message}"
        )


def environment() -> dict[str, str]:
    """Return the environment of a child process: without pytest's variables, with this code on the module path."""
    child = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    child["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    installed = {Path(sysconfig.get_path(name)).resolve() for name in ("purelib", "platlib")}
    folders = dict.fromkeys(package.parent for package in PACKAGES)
    own = [str(folder) for folder in folders if folder not in installed]
    path = [*own, *filter(None, [child.get("PYTHONPATH")])]
    if path:
        child["PYTHONPATH"] = os.pathsep.join(path)
    return child


def thread_limits() -> dict[str, str]:
    """Return variables that limit the libraries to one thread, except those that the caller has set.

    The problems are small, and there is one worker per core: more threads would wait for each other.
    """
    names = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return {name: os.environ.get(name, "1") for name in names}


def start(command: Sequence[str], *, log: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    """Start a process that writes its output to a file, with one thread per library, and do not wait for it.

    It leads a process group of its own, so that a terminal's Ctrl-C does not reach it.
    """
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment() | thread_limits() | dict(variables),
            start_new_session=True,
        )


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that :func:`start` returned, and every process of its group."""
    with suppress(OSError):  # it has just ended
        os.killpg(process.pid, signal.SIGKILL) if os.name == "posix" else process.kill()


def run_python(
    *arguments: str,
    seconds: float,
    interpreter: str = sys.executable,
    folder: Path | None = None,
    variables: Mapping[str, str] | None = None,
    given: str = "",
) -> subprocess.CompletedProcess[str]:
    """Run Python with the code of this suite and one thread per library, and capture its output.

    ``variables`` are added to its environment; ``given`` is its standard input.

    Raises
    ------
    subprocess.TimeoutExpired
        The process did not end within ``seconds``; it is killed.
    """
    return subprocess.run(
        [interpreter, "-P", *arguments],
        env=environment() | thread_limits() | dict(variables or {}),
        input=given,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=seconds,
        check=False,
        cwd=folder,
    )


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """Return the last line of a process's standard error."""
    return (done.stderr.strip().splitlines() or ["no output on stderr"])[-1].strip()


def request(module: str, payload: Any, *, seconds: float) -> Any:
    """Return the answer of a module of this suite, run in a child process, to one JSON value.

    The module calls :func:`respond` when it is run; what the child prints goes to its stderr.

    Raises
    ------
    NoAnswerError
        The process ended without an answer, or returned none within ``seconds``.
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

    The answers are in the order of the payloads; if they are fewer, the process ended during the next one.
    """
    given = "".join(f"{json.dumps(payload)}\n" for payload in payloads)
    try:
        done = run_python("-m", module, seconds=seconds, interpreter=interpreter, variables=variables, given=given)
    except subprocess.TimeoutExpired as late:
        output: Any = late.stdout or b""  # bytes, also in text mode
        return _answers(output.decode() if isinstance(output, bytes) else output), Exit(None)
    return _answers(done.stdout), Exit(done.returncode, last_line(done))


def _answers(output: str) -> list[Any]:
    """Return the answers that were written completely."""
    return [json.loads(line) for line in output.splitlines(keepends=True) if line.endswith("\n")]


def respond(answer: Callable[[Any], Any]) -> None:
    """Answer the requests of :func:`requests`, each as soon as its answer is computed.

    Code under test may read stdin and print: from now on stdin is empty and stdout is stderr.
    """
    payloads = [json.loads(line) for line in sys.stdin]
    with os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="ascii") as channel:
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
        os.dup2(os.open(os.devnull, os.O_RDONLY), sys.stdin.fileno())
        for payload in payloads:
            channel.write(f"{json.dumps(answer(payload), allow_nan=False)}\n")
            channel.flush()


def describe_exit(code: int) -> str:
    """Return how a process ended, as the end of a sentence: ``was ended by signal 9 (SIGKILL)``."""
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "no name"
    return f"was ended by signal {-code} ({name})"


def end_with_parent() -> None:
    """Let the kernel kill this process when its parent ends; on Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)


def available_memory() -> int | None:
    """Return the bytes of memory that processes may use, within a container's limit; None if that is unknown."""
    try:
        total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    try:
        return min(total, int(Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii")))
    except (OSError, ValueError):  # no container, or "max": no limit
        return total


def resident_memory(process: int) -> int | None:
    """Return the bytes of memory of a process by its id; None if it has ended, and on systems other than Linux."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")
