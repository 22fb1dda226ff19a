"""Dataclasses as JSON objects: written, checked when read, and described by a JSON Schema, all from their fields.

A float is written as its bit pattern, an enum by the name of its member; a field equal to its default is left out.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import Enum
from functools import lru_cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from kl_reports.runfile import bits

T = TypeVar("T")

FLOAT = {
    "description": "An IEEE value as its format and bit pattern, such as f64:3ff0000000000000; never a printed number.",
    "type": "string",
    "pattern": "^(f64:[0-9a-f]{16}|f32:[0-9a-f]{8}|f16:[0-9a-f]{4}|bf16:[0-9a-f]{4})$",
}
_WHOLE = "^-?[0-9]{1,18}$"  # a key that is a whole number
_KEY = "key"


class LineError(Exception):
    """A line that is no JSON, or lacks what its kind must have: the field, what was expected and what was given."""


@dataclass(frozen=True, slots=True)
class Form:
    """What a text must look like: a regular expression found in it, and the same in words."""

    pattern: str
    words: str


@dataclass(frozen=True, slots=True)
class _Type:
    """How values of a type are read, written and described; ``exact`` is the Python type where that is all to check."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]
    schema: Mapping[str, Any]
    exact: type | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a record; one without a default is required. ``exact`` is that of its type."""

    name: str
    key: str
    codec: _Type
    exact: type | None
    default: Callable[[], Any] | None


_KNOWN: dict[type, tuple[_Field, ...]] = {}


def key(name: str) -> dict[str, str]:
    """Return the metadata of a field whose key in a JSON object is not its name."""
    return {_KEY: name}


def decode(kind: type[T], data: Any) -> T:
    """Return the record that a JSON object holds; keys without a field are ignored.

    Raises
    ------
    LineError
        A field is missing or of another type; the message names it, what was expected and what was given.
    """
    if type(data) is not dict:
        raise _unexpected("an object", data)
    values: list[Any] = []
    for each in _fields(kind):
        value = data.get(each.key, MISSING)
        if type(value) is each.exact:  # nothing left to check: most fields of most lines
            values.append(value)
        elif value is not MISSING:
            try:
                values.append(each.codec.read(value))
            except LineError as error:
                raise LineError(f"{each.key!r}: {error}") from None
        elif each.default is None:
            raise LineError(f"{each.key!r} is missing")
        else:
            values.append(each.default())
    return kind(*values)


def encode(record: Any) -> dict[str, Any]:
    """Return a record as a JSON object."""
    data: dict[str, Any] = {}
    for each in _fields(type(record)):
        value = getattr(record, each.name)
        if each.default is None or (value is not None and value != each.default()):
            data[each.key] = value if each.exact else each.codec.write(value)
    return data


def schema(kind: type, own: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a record's object; ``own`` are required properties beside or instead of its fields."""
    summary, texts = _described(kind)
    properties = {
        each.key: ({"description": texts[each.name]} if each.name in texts else {}) | dict(each.codec.schema)
        for each in _fields(kind)
    }
    own = own or {}
    required = [each.key for each in _fields(kind) if each.default is None]
    return {
        "description": summary,
        "type": "object",
        "required": [*own, *(name for name in required if name not in own)],
        "properties": dict(own) | {name: each for name, each in properties.items() if name not in own},
    }


def plain(value: Any) -> Any:
    """Return nested data with every float as its bit pattern: most readers lose a printed NaN."""
    match value:
        case float():
            return bits.encode(value)
        case Mapping():
            return {str(name): plain(entry) for name, entry in cast("Mapping[object, Any]", value).items()}
        case list() | tuple():
            return [plain(entry) for entry in value]
        case _:
            return value


def _fields(kind: type) -> tuple[_Field, ...]:
    """Return the fields of a record, worked out once."""
    if kind not in _KNOWN:
        _KNOWN[kind] = tuple(_found(kind))
    return _KNOWN[kind]


def _found(kind: Any) -> Iterator[_Field]:
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        default: Any = each.default
        make: Any = each.default_factory
        made = None if default is make is MISSING else partial(_same, default) if make is MISSING else make
        own = _type(hints[each.name])
        yield _Field(each.name, each.metadata.get(_KEY, each.name), own, own.exact, made)


def _described(kind: type) -> tuple[str, dict[str, str]]:
    """Return the summary of a record's docstring, and what its section on parameters has of each field."""
    summary, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in rest.splitlines():
        if line.startswith("    "):
            texts.update({name: f"{texts.get(name, '')} {line.strip()}".strip() for name in names})
        else:
            names = [name.strip() for name in line.split(",")]
    return summary, texts


def _type(hint: Any) -> _Type:
    """Return how values of an annotated type are read, written and described."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _formed(_type(arguments[0]), arguments[1])
    if origin in {Union, UnionType}:
        (inner,) = (each for each in arguments if each is not NoneType)
        return _optional(_type(inner))
    if origin is tuple:
        return _sequence(_type(arguments[0]))
    if origin is Mapping:
        return _mapping(arguments[0] is int, _type(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if is_dataclass(hint):
        return _Type(partial(decode, cast("type", hint)), encode, schema(cast("type", hint)))
    return _PLAIN[hint]


def _scalar(kind: type, words: str, name: str) -> _Type:
    def read(value: Any) -> Any:
        if type(value) is not kind:  # True is no whole number
            raise _unexpected(words, value)
        return value

    return _Type(read, _same, {"type": name}, kind)


def _formed(inner: _Type, form: Form) -> _Type:
    pattern = re.compile(form.pattern)

    def read(value: Any) -> Any:
        if type(value) is not str or pattern.search(value) is None:
            raise _unexpected(f"text of the form {form.words}", value)
        return value

    return _Type(
        read, inner.write, {"description": form.words, **inner.schema, "pattern": form.pattern}, None
    )


def _optional(inner: _Type) -> _Type:
    def read(value: Any) -> Any:
        return None if value is None else inner.read(value)

    def write(value: Any) -> Any:
        return None if value is None else inner.write(value)

    return _Type(read, write, {"anyOf": [inner.schema, {"type": "null"}]})


def _sequence(inner: _Type) -> _Type:
    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _unexpected("a list", value)
        entries: list[Any] = value
        return tuple(entries if _exactly(inner, entries) else [inner.read(each) for each in entries])

    def write(value: Any) -> list[Any]:
        return [inner.write(each) for each in value]

    return _Type(read, write, {"type": "array", "items": inner.schema})


def _mapping(numbered: bool, inner: _Type) -> _Type:
    """Return the type of mappings from texts, or from whole numbers, to another type."""

    def read(value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise _unexpected("an object", value)
        entries: dict[str, Any] = value
        if not _exactly(inner, entries.values()):
            entries = {name: inner.read(entry) for name, entry in entries.items()}
        return {_number(name): entry for name, entry in entries.items()} if numbered else entries

    def write(value: Any) -> dict[str, Any]:
        if inner.exact is not None:
            return {str(name): entry for name, entry in value.items()}
        return {str(name): inner.write(entry) for name, entry in value.items()}

    names = {"propertyNames": {"pattern": _WHOLE}} if numbered else {}
    return _Type(read, write, {"type": "object", **names, "additionalProperties": inner.schema})


def _enum(kind: type[Enum]) -> _Type:
    members = dict(kind.__members__)

    def read(value: Any) -> Enum:
        member = members.get(value) if type(value) is str else None
        if member is None:
            raise LineError(f"{_short(value)} is not known; known: {', '.join(members)}")
        return member

    def write(value: Enum) -> str:
        return value.name

    return _Type(read, write, {"enum": [*members]})


def _real(value: Any) -> float:
    if type(value) is not str:
        raise _unexpected("a bit pattern", value)
    try:
        return bits.real(value)
    except ValueError as error:
        raise LineError(str(error)) from None


def _same(value: Any) -> Any:
    return value


def _exactly(inner: _Type, values: Iterable[Any]) -> bool:
    """Whether nothing is left to check of any value: one pass in C, where nearly all values are right."""
    return inner.exact is not None and {*map(type, values)} <= {inner.exact}


@lru_cache(maxsize=1024)  # few keys, met in every spread
def _number(name: str) -> int:
    if not re.fullmatch(_WHOLE, name):
        raise _unexpected("a whole number as key", name)
    return int(name)


def _unexpected(expected: str, given: Any) -> LineError:
    return LineError(f"expected {expected}, given {_short(given)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


_PLAIN: dict[Any, _Type] = {
    str: _scalar(str, "text", "string"),
    int: _scalar(int, "a whole number", "integer"),
    float: _Type(_real, bits.encode, {"$ref": "#/$defs/float"}),
    Any: _Type(_same, plain, {}),
}
