"""The lines of a run file: records to JSON objects to compressed bytes, and back."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, cast

from kl_reports import number
from kl_reports.result import Column, Fixed, Header, Result, Run, Verdict
from kl_reports.spread import Spread

GZIP = 31  # zlib's name for "gzip container, largest window"
MAGIC = b"\x1f\x8b"  # how every gzip file begins
_CHUNK = 1024  # bytes inflated at a time: where the file is damaged, at most so much before it is lost

_DECODER = json.JSONDecoder()
_VERDICTS = {verdict.name: verdict for verdict in Verdict}
_COUNTS = tuple(each.name for each in fields(Spread))
_DEEPEST = 64  # what is nested deeper is no witness, and would exhaust the stack of whoever walks it


class LineError(Exception):
    """A line that is JSON but lacks what its kind must have."""


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


def encode_header(header: Header) -> dict[str, Any]:
    """Return a header as a JSON object."""
    return {
        "kind": "header",
        "format": header.format,
        "started": header.started,
        "suite": header.suite,
        "profile": header.profile,
        "seed": header.seed,
        "environment": dict(header.environment),
        "requirements": plain(header.requirements),
        "implementations": plain(header.implementations),
        "columns": {
            key: {name.name: getattr(column, name.name) for name in fields(Column)}
            for key, column in header.columns.items()
        },
        "planned": list(header.planned),
        **({"guide": plain(header.guide)} if header.guide else {}),
    }


def decode_header(data: Mapping[str, Any]) -> Header:
    """Return the header a JSON object holds; keys not known here are ignored.

    Raises
    ------
    LineError
        When a field is missing or of another type.
    """
    planned = _tuple_of_text(data, "planned")
    for cell in planned:
        if "@" not in cell:
            raise LineError(f"planned cell {cell[:80]!r} is not of the form requirement@column")
    return Header(
        started=_text(data, "started"),
        suite=_text(data, "suite"),
        profile=_text(data, "profile"),
        seed=_whole(data, "seed"),
        environment=_texts(_object(data, "environment"), "environment"),
        requirements={
            name: _as_object(entry, "requirements") for name, entry in _object(data, "requirements").items()
        },
        implementations={
            name: _texts(_as_object(entry, "implementations"), "implementations")
            for name, entry in _object(data, "implementations").items()
        },
        columns={
            key: Column(
                **{name.name: _text(_as_object(entry, "columns"), name.name) for name in fields(Column)}
            )
            for key, entry in _object(data, "columns").items()
        },
        planned=planned,
        guide=_object(data, "guide") if "guide" in data else {},
        format=_text(data, "format"),
    )


def encode_result(result: Result) -> dict[str, Any]:
    """Return a result as a JSON object, leaving out what is empty."""
    data: dict[str, Any] = {
        "kind": "result",
        "requirement": result.requirement,
        "revision": result.revision,
        "column": result.column,
        "verdict": result.verdict.name,
        "seconds": number.encode(result.seconds),
    }
    optional = {
        "detail": result.detail,
        "headroom": None if result.headroom is None else number.encode(result.headroom),
        "budget": list(result.budget),
        "problems": result.problems,
        "deviation": result.deviation,
    }
    data.update({key: value for key, value in optional.items() if value or value == ""})
    if result.arithmetic:
        data["arithmetic"] = result.arithmetic
    if result.witness is not None:
        data["witness"] = plain(result.witness)
    if result.spread is not None:
        data["spread"] = {
            name: {str(place): count for place, count in getattr(result.spread, name).items()}
            for name in _COUNTS
        }
    if result.fixed is not None:
        fixed = result.fixed
        data["fixed"] = {"problems": fixed.problems, "bits": fixed.bits}
        if fixed.headroom is not None:
            data["fixed"]["headroom"] = number.encode(fixed.headroom)
    return data


def encode_run(run: Run) -> Iterator[dict[str, Any]]:
    """Give every line of a whole run as a JSON object."""
    yield encode_header(run.header)
    for sentence in run.remarks:
        yield {"kind": "remark", "sentence": sentence}
    for result in run.results:
        yield encode_result(result)
    yield {"kind": "footer", "finished": run.finished}


def decode_result(data: Mapping[str, Any]) -> Result:
    """Return the result a JSON object holds; keys not known here are ignored.

    Raises
    ------
    LineError
        When a field is missing or of another type, or the verdict is not a known one.
    """
    name = _text(data, "verdict")
    if name not in _VERDICTS:
        raise LineError(f"verdict {name[:40]!r} is not known; known: {', '.join(_VERDICTS)}")
    return Result(
        requirement=_text(data, "requirement"),
        revision=_whole(data, "revision"),
        column=_text(data, "column"),
        verdict=_VERDICTS[name],
        detail=_text(data, "detail", ""),
        headroom=_real(data, "headroom") if data.get("headroom") is not None else None,
        budget=_tuple_of_text(data, "budget") if "budget" in data else (),
        problems=_whole(data, "problems") if "problems" in data else 0,
        witness=_object(data, "witness") if data.get("witness") is not None else None,
        deviation=_text(data, "deviation") if data.get("deviation") is not None else None,
        seconds=_real(data, "seconds") if "seconds" in data else 0.0,
        spread=decode_spread(_object(data, "spread")) if data.get("spread") is not None else None,
        fixed=_fixed(_object(data, "fixed")) if data.get("fixed") is not None else None,
        arithmetic=_text(data, "arithmetic", ""),
    )


def _fixed(data: Mapping[str, Any]) -> Fixed:
    headroom = _real(data, "headroom") if data.get("headroom") is not None else None
    return Fixed(_whole(data, "problems"), headroom, _text(data, "bits"))


def decode_spread(data: Mapping[str, Any]) -> Spread:
    """Return the spread a JSON object holds.

    Raises
    ------
    LineError
        When one of its counts is missing, or no number.
    """
    return Spread(*(_counts(_object(data, name), name) for name in _COUNTS))


def _counts(data: Mapping[str, Any], key: str) -> dict[int, int]:
    if not {*map(type, data.values())} <= {int}:
        raise LineError(f"{key!r} holds something that is not a whole number")
    return {_number(place): count for place, count in data.items()}


@lru_cache(maxsize=1024)  # few places, met in every spread
def _number(key: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", key):
        raise LineError(f"{key[:40]!r} is not a whole number")
    return int(key)


def plain(value: Any) -> Any:
    """Return nested data with every float as its bit pattern: most readers lose a printed NaN."""
    match value:
        case float():
            return number.encode(value)
        case Mapping():
            return {str(key): plain(entry) for key, entry in cast("Mapping[object, Any]", value).items()}
        case list() | tuple():
            return [plain(entry) for entry in value]
        case _:
            return value


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


def _text(data: Mapping[str, Any], key: str, default: str | None = None) -> str:
    value = data.get(key, default)
    if not isinstance(value, str):
        raise LineError(f"{key!r} is not text")
    return value


def _whole(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise LineError(f"{key!r} is not a whole number")
    return value


def _real(data: Mapping[str, Any], key: str) -> float:
    try:
        return number.real(_text(data, key))
    except ValueError as error:
        raise LineError(f"{key!r}: {error}") from None


def _as_object(value: Any, key: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise LineError(f"{key!r} is not an object")
    return cast("dict[str, Any]", value)


def _object(data: Mapping[str, Any], key: str) -> dict[str, Any]:
    return _as_object(data.get(key), key)


def _texts(data: Mapping[str, Any], key: str) -> dict[str, str]:
    if not all(isinstance(value, str) for value in data.values()):
        raise LineError(f"{key!r} holds something that is not text")
    return dict(data)


def _tuple_of_text(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = data.get(key)
    if not isinstance(value, list):
        raise LineError(f"{key!r} is not a list")
    entries: list[Any] = value
    if not all(isinstance(entry, str) for entry in entries):
        raise LineError(f"{key!r} holds something that is not text")
    return tuple(entries)
