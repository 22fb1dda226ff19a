"""Encodes dataclasses as JSON objects, checks and decodes them, and derives their JSON Schema from their fields.

A float is written as its bit pattern, an enum as the name of its member; a field equal to its default is left out.
"""

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
    """A line that is not JSON or not of its kind; the message has the field, what was expected and what was given."""


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a text: a regular expression to be found in it, and its description."""

    pattern: str
    description: str


@dataclass(frozen=True, slots=True)
class _Codec:
    """Reader, writer and schema of a type; ``exact`` is the Python type if no other check is needed."""

    read: Callable[[Any], Any]
    write: Callable[[Any], Any]
    schema: Mapping[str, Any]
    exact: type | None = None


@dataclass(frozen=True, slots=True)
class _Field:
    """A field of a record; a field without a default is required. ``exact`` is that of its codec."""

    name: str
    key: str
    codec: _Codec
    exact: type | None
    default: Callable[[], Any] | None


_FIELDS: dict[type, tuple[_Field, ...]] = {}  # derived once for each record


def key(name: str) -> dict[str, str]:
    """Return the metadata of a field whose JSON key differs from its name."""
    return {_KEY: name}


def decode(kind: type[T], data: Any) -> T:
    """Decode a record from a JSON object; unknown keys are ignored.

    Raises
    ------
    LineError
        A field is missing or of another type.
    """
    if type(data) is not dict:
        raise _unexpected("an object", data)
    values: list[Any] = []
    for each in _fields(kind):
        value = data.get(each.key, MISSING)
        if type(value) is each.exact:  # no other check is needed: the case of most fields
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
    """Encode a record as a JSON object."""
    data: dict[str, Any] = {}
    for each in _fields(type(record)):
        value = getattr(record, each.name)
        if each.default is None or (value is not None and value != each.default()):
            data[each.key] = value if each.exact else each.codec.write(value)
    return data


def schema(kind: type, extra: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the JSON Schema of a record; ``extra`` are required properties added to its fields or replacing them."""
    summary, texts = _docstring(kind)
    properties = {
        each.key: ({"description": texts[each.name]} if each.name in texts else {}) | dict(each.codec.schema)
        for each in _fields(kind)
    }
    extra = extra or {}
    required = [each.key for each in _fields(kind) if each.default is None]
    return {
        "description": summary,
        "type": "object",
        "required": [*extra, *(name for name in required if name not in extra)],
        "properties": dict(extra) | {name: each for name, each in properties.items() if name not in extra},
    }


def plain(value: Any) -> Any:
    """Return nested data with every float as its bit pattern, since JSON has no NaN."""
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
    if kind not in _FIELDS:
        _FIELDS[kind] = tuple(_derive_fields(kind))
    return _FIELDS[kind]


def _derive_fields(kind: Any) -> Iterator[_Field]:
    hints = get_type_hints(kind, include_extras=True)
    for each in fields(kind):
        value: Any = each.default
        default: Any = each.default_factory
        if default is MISSING:
            default = None if value is MISSING else partial(_identity, value)
        codec = _codec(hints[each.name])
        yield _Field(each.name, each.metadata.get(_KEY, each.name), codec, codec.exact, default)


def _docstring(kind: type) -> tuple[str, dict[str, str]]:
    """Return the summary of a record's docstring, and the description of each field in it."""
    summary, _, rest = inspect.cleandoc(kind.__doc__ or "").partition("\n")
    texts: dict[str, str] = {}
    names: list[str] = []
    for line in rest.splitlines():
        if line.startswith("    "):
            texts.update({name: f"{texts.get(name, '')} {line.strip()}".strip() for name in names})
        else:
            names = [name.strip() for name in line.split(",")]
    return summary, texts


def _codec(hint: Any) -> _Codec:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _text_of_form(_codec(arguments[0]), arguments[1])
    if origin in {Union, UnionType}:
        (inner,) = (each for each in arguments if each is not NoneType)
        return _optional(_codec(inner))
    if origin is tuple:
        return _sequence(_codec(arguments[0]))
    if origin is Mapping:
        return _mapping(arguments[0] is int, _codec(arguments[1]))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _enum(hint)
    if is_dataclass(hint):
        return _Codec(partial(decode, cast("type", hint)), encode, schema(cast("type", hint)))
    return _PLAIN[hint]


def _scalar(kind: type, expected: str, name: str) -> _Codec:
    def read(value: Any) -> Any:
        if type(value) is not kind:  # not isinstance: True is an int
            raise _unexpected(expected, value)
        return value

    return _Codec(read, _identity, {"type": name}, kind)


def _text_of_form(inner: _Codec, form: Form) -> _Codec:
    pattern = re.compile(form.pattern)

    def read(value: Any) -> Any:
        if type(value) is not str or pattern.search(value) is None:
            raise _unexpected(f"text of the form {form.description}", value)
        return value

    return _Codec(read, inner.write, {"description": form.description, **inner.schema, "pattern": form.pattern})


def _optional(inner: _Codec) -> _Codec:
    def read(value: Any) -> Any:
        return None if value is None else inner.read(value)

    def write(value: Any) -> Any:
        return None if value is None else inner.write(value)

    return _Codec(read, write, {"anyOf": [inner.schema, {"type": "null"}]})


def _sequence(inner: _Codec) -> _Codec:
    def read(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise _unexpected("a list", value)
        entries: list[Any] = value
        return tuple(entries if _all_exact(inner, entries) else [inner.read(each) for each in entries])

    def write(value: Any) -> list[Any]:
        return [inner.write(each) for each in value]

    return _Codec(read, write, {"type": "array", "items": inner.schema})


def _mapping(numbered: bool, inner: _Codec) -> _Codec:
    """Return the codec of mappings from text, or from whole numbers, to another type."""

    def read(value: Any) -> dict[Any, Any]:
        if type(value) is not dict:
            raise _unexpected("an object", value)
        entries: dict[str, Any] = value
        if not _all_exact(inner, entries.values()):
            entries = {name: inner.read(entry) for name, entry in entries.items()}
        return {_number(name): entry for name, entry in entries.items()} if numbered else entries

    def write(value: Any) -> dict[str, Any]:
        if inner.exact is not None:
            return {str(name): entry for name, entry in value.items()}
        return {str(name): inner.write(entry) for name, entry in value.items()}

    names = {"propertyNames": {"pattern": _WHOLE}} if numbered else {}
    return _Codec(read, write, {"type": "object", **names, "additionalProperties": inner.schema})


def _enum(kind: type[Enum]) -> _Codec:
    members = dict(kind.__members__)

    def read(value: Any) -> Enum:
        member = members.get(value) if type(value) is str else None
        if member is None:
            raise LineError(f"{_short(value)} is not known; known: {', '.join(members)}")
        return member

    def write(value: Enum) -> str:
        return value.name

    return _Codec(read, write, {"enum": [*members]})


def _float(value: Any) -> float:
    if type(value) is not str:
        raise _unexpected("a bit pattern", value)
    try:
        return bits.to_float(value)
    except ValueError as error:
        raise LineError(str(error)) from None


def _identity(value: Any) -> Any:
    return value


def _all_exact(inner: _Codec, values: Iterable[Any]) -> bool:
    """Whether no value needs another check, in one pass in C, since nearly all values are correct."""
    return inner.exact is not None and {*map(type, values)} <= {inner.exact}


@lru_cache(maxsize=1024)  # few keys, present in every spread
def _number(name: str) -> int:
    if not re.fullmatch(_WHOLE, name):
        raise _unexpected("a whole number as key", name)
    return int(name)


def _unexpected(expected: str, given: Any) -> LineError:
    return LineError(f"expected {expected}, given {_short(given)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


_PLAIN: dict[Any, _Codec] = {
    str: _scalar(str, "text", "string"),
    int: _scalar(int, "a whole number", "integer"),
    float: _Codec(_float, bits.encode, {"$ref": "#/$defs/float"}),
    Any: _Codec(_identity, plain, {}),
}
