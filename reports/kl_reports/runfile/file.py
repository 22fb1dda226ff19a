"""Writes a run file line by line and reads it, complete or cut off."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, assert_never

from kl_reports.files import RunFileError, atomic_replacement
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

_PREFIX = FORMAT.partition("/")[0] + "/"


class Writer:
    """Writes a run file, replacing an existing one; every line written can be read, however the process ends.

    Raises
    ------
    RunFileError
        Here and in every method, if the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._compressor = zlib.compressobj(wbits=GZIP)
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
        """Write that a cell is evaluated next; if no result follows, the process ended during it."""
        self.write(encode(Started(cell)))

    def result(self, result: Result) -> None:
        """Write the result of one cell."""
        self.write(encode(result))

    def remark(self, sentence: str) -> None:
        """Write a statement about the run itself."""
        self.write(encode(Remark(sentence)))

    def footer(self) -> None:
        """Write that the run finished now."""
        self.end(datetime.now(UTC).isoformat(timespec="seconds"))

    def end(self, finished: str | None) -> None:
        """Write the last line, with the time the run finished, or None if it did not finish."""
        self.write(encode(Footer(finished)))

    def close(self) -> None:
        """Close the file; without a footer it counts as cut off."""
        if not self._file.closed:
            with self._file:
                self._put(self._compressor.flush(zlib.Z_FINISH))

    def write(self, data: Mapping[str, Any]) -> None:
        """Write one line."""
        line = encode_line(data)
        self._put(self._compressor.compress(line) + self._compressor.flush(zlib.Z_SYNC_FLUSH))

    def _put(self, data: bytes) -> None:
        try:
            self._file.write(data)
            self._file.flush()
        except OSError as error:
            raise RunFileError(self.path, f"cannot be written: {error.strerror}") from error


def write(path: Path, run: Run) -> None:
    """Write a whole run; the file appears complete or not at all.

    Raises
    ------
    RunFileError
        The file cannot be written.
    """
    with atomic_replacement(path) as temporary, Writer(temporary) as writer:
        for data in encode_run(run):
            writer.write(data)


def read(path: Path) -> Run:
    """Read a run file, complete or cut off, of format 1 or 2.

    Planned cells without a result become CRASHED, if they were running when the process ended, or MISSING.

    Raises
    ------
    RunFileError
        The file does not exist, is not a run file, has an unknown format or a damaged header.
    """
    return read_with_digest(path)[1]


def read_with_digest(path: Path) -> tuple[str, Run]:
    """Read a run file and the SHA-256 of its lines, which depends on neither file name nor compression.

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
        raise RunFileError(path, "is empty: the run ended before it wrote the header")
    if not data.startswith(MAGIC[: len(data)]):
        raise RunFileError(path, "is not a run file: not gzip-compressed JSON Lines")
    lines = Lines()
    texts = lines.feed(data)
    if not texts:
        raise RunFileError(path, "has no complete header line: not a run file, or cut off in the header")
    header, old = _header(path, texts[0])
    digest = hashlib.sha256(b"\n".join(texts)).hexdigest()
    return digest, _RunReader(path.name, header, lines.damaged, old).run(texts[1:])


class _RunReader:
    """Builds a run from the lines after the header."""

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
        self._errors = ["the compressed data is damaged"] if damaged else []

    def run(self, lines: Sequence[bytes]) -> Run:
        for index, line in enumerate(lines, start=2):
            try:
                data = parse(line)
                self._add(decode(upgrade.line(data) if self._old else data))
            except LineError as error:
                self._errors.append(f"line {index}: {error}")
        planned = self._header.planned
        judged = sum(cell in self._results for cell in planned)
        if self._errors:
            more = f", and {len(self._errors) - 1} more" if len(self._errors) > 1 else ""
            self._remarks.append(f"{self._name} is damaged: {self._errors[0]}{more}")
        if not self._ended:
            self._cut_off.append(CutOff(self._name, judged, len(planned)))
        known = set(planned)
        unplanned = [result for cell, result in self._results.items() if cell not in known]
        if unplanned:
            self._remarks.append(f"{self._name} has {len(unplanned)} results of unplanned cells")
        return Run(
            header=self._header,
            results=(*(self._results.get(cell) or self._placeholder(cell) for cell in planned), *unplanned),
            finished=self._finished,
            remarks=tuple(self._remarks),
            cut_off=tuple(self._cut_off),
        )

    def _add(self, line: Line) -> None:
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

    def _placeholder(self, text: str) -> Result:
        cell = CellId.parse(text)
        revision = self._header.requirements.get(cell.requirement, {}).get("revision")
        missing = Result(cell.requirement, revision if isinstance(revision, int) else 0, cell.column, Verdict.MISSING)
        if self._ended:
            return replace(missing, detail="the run ended without a result for this cell")
        if text not in self._started:
            return replace(missing, detail="the run was cut off before this cell")
        return replace(
            missing,
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
    version = data.get("format")
    if data.get("kind") != "header" or not isinstance(version, str) or not version.startswith(_PREFIX):
        raise RunFileError(path, "is not a run file: its first line is not a run-file header")
    if version not in {upgrade.FORMAT, FORMAT}:
        raise RunFileError(
            path,
            f"has format {version[:40]!r}; known: {upgrade.FORMAT!r}, {FORMAT!r}; "
            "read it with the kl-conformance that wrote it",
        )
    old = version == upgrade.FORMAT
    try:
        return codec.decode(Header, upgrade.line(data) if old else data), old
    except LineError as error:
        raise RunFileError(path, f"has a damaged header: {error}") from None


def read_all(paths: Sequence[Path]) -> list[Run]:
    """Read run files and all run files of folders."""
    return [read(file) for file in run_files(paths)]


def run_files(paths: Sequence[Path]) -> list[Path]:
    """Return run files, each folder replaced by its run files.

    Raises
    ------
    RunFileError
        A folder has no run files.
    """
    files: list[Path] = []
    for path in paths:
        found = sorted(path.glob("*.jsonl.gz")) if path.is_dir() else [path]
        if not found:
            raise RunFileError(path, "is a folder without run files (*.jsonl.gz)")
        files += found
    return files
