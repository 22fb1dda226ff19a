"""Lines of a run file: their kinds, JSON objects, bytes, and the JSON Schema."""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from kl_reports.runfile import codec
from kl_reports.runfile.codec import LineError
from kl_reports.runfile.records import FORMAT, Cell, CutOff, Header, Result, Run

GZIP = 31  # wbits of zlib: gzip container, largest window
MAGIC = b"\x1f\x8b"  # first bytes of a gzip file
_CHUNK = 1024  # bytes decompressed at a time: at most so many before a damage are lost

_DECODER = json.JSONDecoder()
_MAX_DEPTH = 64  # more than any witness; recursive functions would exhaust the stack


@dataclass(frozen=True, slots=True)
class Started:
    """A cell is evaluated next; if no result follows, the process ended during it."""

    cell: Cell


@dataclass(frozen=True, slots=True)
class Remark:
    """A statement about the run itself."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Footer:
    """The run finished.

    Parameters
    ----------
    finished
        ISO 8601 time in UTC; null if the run is known not to have finished.
    """

    finished: str | None


Line = Header | Started | Result | Remark | CutOff | Footer
KINDS: dict[str, type[Line]] = {
    "header": Header,
    "started": Started,
    "result": Result,
    "remark": Remark,
    "cut_off": CutOff,
    "footer": Footer,
}
_NAMES = {record: kind for kind, record in KINDS.items()}


class Lines:
    """Decompresses a gzip file piece by piece into complete lines."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(wbits=GZIP)
        self._tail = b""
        self.damaged = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines completed by these bytes; an incomplete line is kept until more bytes arrive."""
        parts = [self._tail]
        for start in range(0, len(data), _CHUNK):
            if self.damaged:
                break
            try:
                parts.append(self._decompressor.decompress(data[start : start + _CHUNK]))
            except zlib.error:
                self.damaged = True
        *lines, self._tail = b"".join(parts).split(b"\n")
        return lines


def parse(line: bytes) -> Mapping[str, Any]:
    """Parse a line as a JSON object.

    Raises
    ------
    LineError
        The line is not a JSON object, or is nested too deep.
    """
    try:
        data = _DECODER.decode(line.decode(errors="surrogatepass"))
    except (ValueError, RecursionError):
        raise LineError("not JSON") from None
    if not isinstance(data, dict):
        raise LineError("not a JSON object")
    # Counting brackets first is fast, and few lines have so many.
    if line.count(b"[") + line.count(b"{") > _MAX_DEPTH and _is_deeper(data, _MAX_DEPTH):
        raise LineError(f"nested more than {_MAX_DEPTH} deep")
    return cast("dict[str, Any]", data)


def encode_line(data: Mapping[str, Any]) -> bytes:
    """Encode a JSON object as one line."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def encode(line: Line) -> dict[str, Any]:
    """Encode a record as the JSON object of its line."""
    # The format equals its default, which the codec leaves out.
    extra = {"format": line.format} if isinstance(line, Header) else {}
    return {"kind": _NAMES[type(line)], **extra, **codec.encode(line)}


def decode(data: Mapping[str, Any]) -> Line:
    """Decode a record from the JSON object of a line; unknown keys are ignored.

    Raises
    ------
    LineError
        The line is of no known kind, or a field is missing or of another type.
    """
    kind = str(data.get("kind"))
    record = KINDS.get(kind)
    if record is None:
        raise LineError(f"unknown kind {kind[:40]!r}; known: {', '.join(KINDS)}")
    return codec.decode(record, data)


def encode_run(run: Run) -> Iterator[dict[str, Any]]:
    """Yield every line of a whole run as a JSON object."""
    yield encode(run.header)
    yield from map(encode, map(Remark, run.remarks))
    yield from map(encode, run.cut_off)
    yield from map(encode, run.results)
    yield encode(Footer(run.finished))


def json_schema() -> str:
    """Return the JSON Schema of a line, the content of ``run-file.schema.json``."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://kl-conformance.invalid/run-file-2.schema.json",
        "title": f"One line of a KL Conformance run file, {FORMAT}",
        "description": "A run file is JSON Lines: a header, then results in the order of evaluation, remarks, and a "
        "footer if the run finished. Readers ignore unknown keys.",
        "oneOf": [{"$ref": f"#/$defs/{kind}"} for kind in KINDS],
        "$defs": {"float": codec.FLOAT, **{kind: codec.schema(record, _extra(kind)) for kind, record in KINDS.items()}},
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _extra(kind: str) -> dict[str, Any]:
    """Return the properties of a line that are not fields of its record."""
    return {"kind": {"const": kind}} | ({"format": {"const": FORMAT}} if kind == "header" else {})


def _is_deeper(data: Any, depth: int) -> bool:
    level: list[Any] = [data]
    for _ in range(depth):
        level = [
            entry
            for value in level
            if isinstance(value, dict | list)
            for entry in cast("list[Any]", value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)
