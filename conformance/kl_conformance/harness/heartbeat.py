"""Heartbeat file: the call in progress, memory-mapped so that the parent can read it after a crash."""

import mmap
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SIZE = 4096  # bytes
_HEADER = struct.Struct("<QBH")  # beat, state, length of the text in bytes


class State(IntEnum):
    """What a process is doing."""

    IDLE = 0  # in the suite's own code
    CALLING = 1  # in the implementation under test
    COMPILING = 2  # the same, where a call may be compiled first


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """The content of a heartbeat file.

    Parameters
    ----------
    beat
        Number of calls begun and ended.
    state
        What the process is doing.
    call
        Description of the last call.
    """

    beat: int = 0
    state: State = State.IDLE
    call: str = ""


class _HeartbeatFile:
    """A file of one memory page, mapped: writing makes no system call."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)
        self._lock = threading.Lock()
        self._text = b""
        self._beat = 0
        self._depth = 0

    def record(self, call: str) -> None:
        with self._lock:
            self._text = call.encode(errors="replace")[: SIZE - _HEADER.size]
            end = _HEADER.size + len(self._text)
            self._memory[_HEADER.size : end] = self._text
            self._write(State.CALLING if self._depth else State.IDLE)

    def step(self, by: int, state: State) -> None:
        with self._lock:
            self._beat += 1
            self._depth += by
            self._write(state if self._depth else State.IDLE)

    def _write(self, state: State) -> None:
        self._memory[: _HEADER.size] = _HEADER.pack(self._beat, state, len(self._text))


_files: list[_HeartbeatFile] = []  # at most one


def create(path: Path) -> None:
    """Create an empty heartbeat file."""
    path.write_bytes(bytes(SIZE))


def open_for_writing(path: Path) -> None:
    """Use a heartbeat file in this process.

    Raises
    ------
    OSError
        The file does not exist.
    """
    _files[:] = [_HeartbeatFile(path)]


def read(path: Path) -> Heartbeat:
    """Return the content of a heartbeat file; an idle heartbeat if it does not exist."""
    try:
        data = path.read_bytes()
    except OSError:
        return Heartbeat()
    if len(data) < _HEADER.size:
        return Heartbeat()
    beat, state, length = _HEADER.unpack_from(data)
    text = data[_HEADER.size : _HEADER.size + length].decode(errors="replace")
    return Heartbeat(beat, State(state) if state in set(State) else State.CALLING, text)


def record_call(call: Callable[[], str]) -> None:
    """Record the next call; without a heartbeat file, its description is not computed."""
    for file in _files:
        file.record(call())


@contextmanager
def calling(state: State = State.CALLING) -> Generator[None]:
    """Record that the implementation under test runs until the block ends."""
    for file in _files:
        file.step(1, state)
    try:
        yield
    finally:
        for file in _files:
            file.step(-1, state)
