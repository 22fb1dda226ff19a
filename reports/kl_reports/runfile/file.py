"""The run file: written line by line as cells are judged, read back whole, cut off or growing."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, assert_never

from kl_reports.files import RunFileError, replacing
from kl_reports.runfile import codec, upgrade
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.codec import LineError
from kl_reports.runfile.lines import (
    GZIP,
    MAGIC,
    Footer,
    Line,
    Lines,
    Remark,
    Started,
    decode,
    encode,
    encode_line,
    encode_run,
    parse,
)
from kl_reports.runfile.records import FORMAT, CutOff, Header, Kind, Result, Run, Verdict

_OURS = FORMAT.partition("/")[0] + "/"


class Writer:
    """Writes a run file so that whatever ends the process, every line already written can be read.

    Parameters
    ----------
    path
        The file to write; an existing file is replaced.

    Raises
    ------
    RunFileError
        Here and in every method, when the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._deflater = zlib.compressobj(wbits=GZIP)
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise RunFileError(path, f"cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def header(self, header: Header) -> None:
        """Write the header, the first line of the file."""
        self.write(encode(header))

    def started(self, cell: str) -> None:
        """Write that a cell is about to be judged: where no result follows, the process ended during it."""
        self.write(encode(Started(cell)))

    def result(self, result: Result) -> None:
        """Write one cell's result."""
        self.write(encode(result))

    def remark(self, sentence: str) -> None:
        """Write one sentence about the run itself."""
        self.write(encode(Remark(sentence)))

    def footer(self) -> None:
        """Write that the run came to its own end, now."""
        self.end(datetime.now(UTC).isoformat(timespec="seconds"))

    def end(self, finished: str | None) -> None:
        """Write the last line, with the time the run came to its own end, or None when it never did."""
        self.write(encode(Footer(finished)))

    def close(self) -> None:
        """Close the file; without a footer it reads as cut off."""
        if not self._file.closed:
            with self._file:
                self._put(self._deflater.flush(zlib.Z_FINISH))

    def write(self, data: Mapping[str, Any]) -> None:
        """Write one line."""
        line = encode_line(data)
        self._put(self._deflater.compress(line) + self._deflater.flush(zlib.Z_SYNC_FLUSH))

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise RunFileError(self.path, f"cannot be written: {error.strerror}") from error


def write(path: Path, run: Run) -> None:
    """Write a whole run at once; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        When the file cannot be written.
    """
    with replacing(path) as temporary, Writer(temporary) as writer:
        for data in encode_run(run):
            writer.write(data)


def read(path: Path) -> Run:
    """Read a run file back, however it ended.

    Planned cells without a result become CRASHED (running when the process ended) or MISSING. A file of format 1 is
    read as one of today.

    Raises
    ------
    RunFileError
        When there is no such file, it is not a run file or one of another format, or its header is damaged.
    """
    return identified(path)[1]


def identified(path: Path) -> tuple[str, Run]:
    """Read a run file back, with the SHA-256 of its lines: the same record however it is named and compressed.

    Raises
    ------
    RunFileError
        As by :func:`read`.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise RunFileError(path, "no such file") from error
    except OSError as error:
        raise RunFileError(path, f"cannot be read: {error.strerror}") from error
    if not data:
        raise RunFileError(path, "is empty: the run ended before it wrote its header")
    if not data.startswith(MAGIC[: len(data)]):
        raise RunFileError(path, "is not a run file: not gzip-compressed JSON Lines")
    lines = Lines()
    texts = lines.feed(data)
    if not texts:
        raise RunFileError(
            path, "holds no complete header line: not a run file, or cut off at its very start"
        )
    header, old = _header(path, texts[0])
    digest = hashlib.sha256(b"\n".join(texts)).hexdigest()
    return digest, _Reading(path.name, header, lines.damaged, old).run(texts[1:])


class _Reading:
    """Gathers the lines after the header into a run."""

    def __init__(self, name: str, header: Header, damaged: bool, old: bool) -> None:
        self._name = name
        self._header = header
        self._old = old
        self._results: dict[str, Result] = {}
        self._started: set[str] = set()
        self._remarks: list[str] = []
        self._cut_off: list[CutOff] = []
        self._ended = False
        self._finished: str | None = None
        self._lost = ["the compressed data is damaged"] if damaged else []

    def run(self, lines: Sequence[bytes]) -> Run:
        for index, line in enumerate(lines, start=2):
            try:
                data = parse(line)
                self._take(decode(upgrade.line(data) if self._old else data))
            except LineError as error:
                self._lost.append(f"line {index}: {error}")
        planned = self._header.planned
        judged = sum(cell in self._results for cell in planned)
        if self._lost:
            more = f", and {len(self._lost) - 1} more" if len(self._lost) > 1 else ""
            self._remarks.append(f"{self._name} is damaged: {self._lost[0]}{more}")
        if not self._ended:
            self._cut_off.append(CutOff(self._name, judged, len(planned)))
        known = set(planned)
        unplanned = [result for cell, result in self._results.items() if cell not in known]
        if unplanned:
            self._remarks.append(f"{self._name} holds {len(unplanned)} results of cells it did not plan")
        return Run(
            header=self._header,
            results=(*(self._results.get(cell) or self._placeholder(cell) for cell in planned), *unplanned),
            finished=self._finished,
            remarks=tuple(self._remarks),
            cut_off=tuple(self._cut_off),
        )

    def _take(self, line: Line) -> None:
        match line:
            case Started(cell):
                self._started.add(cell)
            case Result():
                self._results[line.cell] = line
            case Remark(sentence):
                self._remarks.append(sentence)
            case CutOff():
                self._cut_off.append(line)
            case Footer(finished):
                self._ended, self._finished = True, finished
            case Header():
                raise LineError("a second header")
            case _:
                assert_never(line)

    def _placeholder(self, cell: str) -> Result:
        own = CellId.parse(cell)
        revision = self._header.requirements.get(own.requirement, {}).get("revision")
        lost = Result(
            own.requirement, revision if isinstance(revision, int) else 0, own.column, Verdict.MISSING
        )
        if self._ended:
            return replace(lost, detail="the run ended without a result for this cell")
        if cell not in self._started:
            return replace(lost, detail="the run was cut off before this cell")
        return replace(
            lost,
            verdict=Verdict.CRASHED,
            detail="the process ended while this cell was running",
            kind=Kind.CRASHED,
            happened="its process ended while this cell was running",
        )


def _header(path: Path, line: bytes) -> tuple[Header, bool]:
    """Return the header, and whether the file is of format 1."""
    try:
        data = parse(line)
    except LineError as error:
        raise RunFileError(path, f"is not a run file: its first line is {error}") from None
    written = data.get("format")
    if data.get("kind") != "header" or not isinstance(written, str) or not written.startswith(_OURS):
        raise RunFileError(path, "is not a run file: its first line is not the header of one")
    if written not in {upgrade.FORMAT, FORMAT}:
        raise RunFileError(
            path,
            f"is written in format {written[:40]!r}; known here: {upgrade.FORMAT!r}, {FORMAT!r}; "
            "read it with the kl-conformance that wrote it",
        )
    old = written == upgrade.FORMAT
    try:
        return codec.decode(Header, upgrade.line(data) if old else data), old
    except LineError as error:
        raise RunFileError(path, f"has a damaged header: {error}") from None


def read_all(places: Sequence[Path]) -> list[Run]:
    """Read run files, and every run file of a folder."""
    return [read(file) for file in run_files(places)]


def run_files(places: Sequence[Path]) -> list[Path]:
    """Return run files, with those of every folder named.

    Raises
    ------
    RunFileError
        A folder has none.
    """
    files: list[Path] = []
    for place in places:
        found = sorted(place.glob("*.jsonl.gz")) if place.is_dir() else [place]
        if not found:
            raise RunFileError(place, "a folder without run files (*.jsonl.gz)")
        files += found
    return files
