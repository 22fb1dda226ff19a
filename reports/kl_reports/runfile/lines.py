"""The lines of a run file: records to JSON objects to compressed bytes, and back."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from kl_reports.runfile import codec
from kl_reports.runfile.codec import LineError
from kl_reports.runfile.records import FORMAT, Cell, CutOff, Header, Result, Run

GZIP = 31  # zlib's name for "gzip container, largest window"
MAGIC = b"\x1f\x8b"  # how every gzip file begins
_CHUNK = 1024  # bytes inflated at a time: where the file is damaged, at most so much before it is lost

_DECODER = json.JSONDecoder()
_DEEPEST = 64  # a witness is not nested deeper; more would exhaust the stack of every function that walks it


@dataclass(frozen=True, slots=True)
class Started:
    """A cell is about to be judged; where no result follows, the process ended during it."""

    cell: Cell


@dataclass(frozen=True, slots=True)
class Remark:
    """A sentence about the run itself."""

    sentence: str


@dataclass(frozen=True, slots=True)
class Footer:
    """The run came to its own end.

    Parameters
    ----------
    finished
        ISO 8601 time in UTC; null where the run is known never to have come to its end.
    """

    finished: str | None


Line = Header | Started | Result | Remark | CutOff | Footer
# The kinds of line, by the word that each line begins with.
KINDS: dict[str, type[Line]] = {
    "header": Header,
    "started": Started,
    "result": Result,
    "remark": Remark,
    "cut_off": CutOff,
    "footer": Footer,
}
_WORDS = {kind: word for word, kind in KINDS.items()}


class Lines:
    """Turns the bytes of a gzip file, piece by piece, into its complete lines."""

    def __init__(self) -> None:
        self._inflater = zlib.decompressobj(wbits=GZIP)
        self._tail = b""
        self.damaged = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines completed by these bytes; a half-written tail waits for more."""
        parts = [self._tail]
        for start in range(0, len(data), _CHUNK):
            if self.damaged:
                break
            try:
                parts.append(self._inflater.decompress(data[start : start + _CHUNK]))
            except zlib.error:
                self.damaged = True
        *lines, self._tail = b"".join(parts).split(b"\n")
        return lines


def parse(line: bytes) -> Mapping[str, Any]:
    """Return the JSON object a line holds.

    Raises
    ------
    LineError
        When it holds none.
    """
    try:
        data = _DECODER.decode(line.decode(errors="surrogatepass"))
    except (ValueError, RecursionError):
        raise LineError("not JSON") from None
    if not isinstance(data, dict):
        raise LineError("not a JSON object")
    # Whatever is nested so deep has as many brackets; few lines do, and only those are walked.
    if line.count(b"[") + line.count(b"{") > _DEEPEST and _deeper(data, _DEEPEST):
        raise LineError(f"nested more than {_DEEPEST} deep")
    return cast("dict[str, Any]", data)


def encode_line(data: Mapping[str, Any]) -> bytes:
    """Return a JSON object as one line."""
    return json.dumps(data, allow_nan=False, separators=(",", ":")).encode() + b"\n"


def encode(line: Line) -> dict[str, Any]:
    """Return a record as the JSON object of its line."""
    own = {"format": line.format} if isinstance(line, Header) else {}
    return {"kind": _WORDS[type(line)], **own, **codec.encode(line)}


def decode(data: Mapping[str, Any]) -> Line:
    """Return the record that a line's JSON object holds; keys not known here are ignored.

    Raises
    ------
    LineError
        The line is of no known kind, or a field is missing or of another type.
    """
    kind = KINDS.get(str(data.get("kind")))
    if kind is None:
        raise LineError(f"kind {str(data.get('kind'))[:40]!r} is not known; known: {', '.join(KINDS)}")
    return codec.decode(kind, data)


def encode_run(run: Run) -> Iterator[dict[str, Any]]:
    """Yield every line of a whole run as a JSON object."""
    yield encode(run.header)
    yield from map(encode, map(Remark, run.remarks))
    yield from map(encode, run.cut_off)
    yield from map(encode, run.results)
    yield encode(Footer(run.finished))


def json_schema() -> str:
    """Return the JSON Schema of a line, as ``run-file.schema.json`` has it."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://kl-conformance.invalid/run-file-2.schema.json",
        "title": f"One line of a KL Conformance run file, {FORMAT}",
        "description": "A run file is JSON Lines: a header, then results as they came, remarks, and a footer where "
        "the run came to its own end. Other keys may be present; a reader ignores those it does not know.",
        "oneOf": [{"$ref": f"#/$defs/{word}"} for word in KINDS],
        "$defs": {
            "float": codec.FLOAT,
            **{word: codec.schema(kind, _own(word)) for word, kind in KINDS.items()},
        },
    }
    return json.dumps(schema, indent=1, ensure_ascii=False) + "\n"


def _own(word: str) -> dict[str, Any]:
    """Return what a line has beside the fields of its record."""
    return {"kind": {"const": word}} | ({"format": {"const": FORMAT}} if word == "header" else {})


def _deeper(data: Any, depth: int) -> bool:
    level: list[Any] = [data]
    for _ in range(depth):
        level = [
            entry
            for value in level
            if isinstance(value, dict | list)
            for entry in cast("list[Any]", value.values() if isinstance(value, dict) else value)
        ]
    return bool(level)
