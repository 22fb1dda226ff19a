"""The call being made, kept on a page that outlives the process that makes it."""

from __future__ import annotations

import mmap
import struct
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

SIZE = 4096  # bytes
_HEAD = struct.Struct("<QBH")  # how many calls began or ended, the state, bytes of text


class State(IntEnum):
    """What the process is doing."""

    IDLE = 0  # in code of the suite's own
    CALLING = 1  # in the code of whoever is asked
    COMPILING = 2  # there, where a call may first have to be compiled


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a page says: how many calls began or ended, what is being done, and the last call in words."""

    beat: int = 0
    state: State = State.IDLE
    call: str = ""


class _HeartbeatFile:
    """A file of one page, mapped into memory: writing to it costs no call to the system."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), SIZE)
        self._lock = threading.Lock()
        self._text = b""
        self._beat = 0
        self._inside = 0

    def say(self, call: str) -> None:
        with self._lock:
            self._text = call.encode(errors="replace")[: SIZE - _HEAD.size]
            end = _HEAD.size + len(self._text)
            self._memory[_HEAD.size : end] = self._text
            self._write(State.CALLING if self._inside else State.IDLE)

    def step(self, by: int, state: State) -> None:
        with self._lock:
            self._beat += 1
            self._inside += by
            self._write(state if self._inside else State.IDLE)

    def _write(self, state: State) -> None:
        self._memory[: _HEAD.size] = _HEAD.pack(self._beat, state, len(self._text))


_pages: list[_HeartbeatFile] = []  # at most one: a process has one page, or none


def create(path: Path) -> None:
    """Make an empty page."""
    path.write_bytes(bytes(SIZE))


def open_for_writing(path: Path) -> None:
    """Write on that page from now on.

    Raises
    ------
    OSError
        Nobody has laid it there.
    """
    _pages[:] = [_HeartbeatFile(path)]


def read(path: Path) -> Heartbeat:
    """Return what a page says; nothing where there is none."""
    try:
        data = path.read_bytes()
    except OSError:
        return Heartbeat()
    if len(data) < _HEAD.size:
        return Heartbeat()
    beat, state, length = _HEAD.unpack_from(data)
    text = data[_HEAD.size : _HEAD.size + length].decode(errors="replace")
    return Heartbeat(beat, State(state) if state in set(State) else State.CALLING, text)


def record_call(call: Callable[[], str]) -> None:
    """Write which call comes next, in words; where no page is kept the words are not even made."""
    for page in _pages:
        page.say(call())


@contextmanager
def calling(state: State = State.CALLING) -> Generator[None]:
    """Note that the code of whoever is asked runs until the block ends."""
    for page in _pages:
        page.step(1, state)
    try:
        yield
    finally:
        for page in _pages:
            page.step(-1, state)
