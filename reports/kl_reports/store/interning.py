"""Every text, column and requirement of a store once, by a small number."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, insert, select

from kl_reports.runfile.codec import plain
from kl_reports.store.schema import TEXTS

_PIECE = 10_000  # so many values at once: a statement takes no more than some ten thousand
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))

T = TypeVar("T")
Key = TypeVar("Key", bound=tuple[Any, ...])


class Texts:
    """Texts on their way into the store: each once, as JSON."""

    def __init__(self) -> None:
        self._contents: dict[str | None, None] = {}
        self._met: dict[str, str] = {}

    def again(self, value: str) -> str:
        """Do as :meth:`add`, for what is met in many cells."""
        if value not in self._met:
            self._met[value] = self.add(value)
        return self._met[value]

    def add(self, value: Any) -> str:
        """Return a value as JSON in ASCII, and remember it."""
        content = _json(value)
        self._contents[content] = None
        return content

    def stored(self, connection: Connection) -> Mapping[str | None, int | None]:
        """See that every text is in the store, and return its number there."""
        digests = {
            blake2b(content.encode(), digest_size=16).digest(): content
            for content in self._contents
            if content is not None
        }
        known: dict[str | None, int | None] = {None: None}
        for piece in _pieces(digests, _PIECE):
            found = connection.execute(select(TEXTS.c.digest, TEXTS.c.id).where(TEXTS.c.digest.in_(piece)))
            known.update({digests[bytes(digest)]: text for digest, text in found})
        following = greatest(connection, TEXTS) + 1
        fresh = [(digest, content) for digest, content in digests.items() if content not in known]
        known.update({content: place for place, (_, content) in enumerate(fresh, start=following)})
        pour(connection, TEXTS, ((place, *row) for place, row in enumerate(fresh, start=following)))
        return known


def _json(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except ValueError:  # NaN or an infinity
        return _ENCODER.encode(plain(value))


def numbers(connection: Connection, table: Table, wanted: set[Key]) -> dict[Key, int]:
    """Return the numbers of rows, which are all of a table but its ``id``; those it lacks are inserted."""
    names = [column.name for column in table.c if column.name != "id"]
    known: dict[Any, int] = {}
    for piece in _pieces({row[0] for row in wanted}, _PIECE):
        found = connection.execute(select(table).where(table.c[names[0]].in_(piece)))
        known.update({tuple(row[1:]): row[0] for row in found})
    fresh = [row for row in wanted if row not in known]
    following = greatest(connection, table) + 1
    known.update({row: place for place, row in enumerate(fresh, start=following)})
    if fresh:
        rows = [{"id": known[row], **dict(zip(names, row, strict=True))} for row in fresh]
        connection.execute(insert(table), rows)
    return known


def greatest(connection: Connection, table: Table) -> int:
    """Return the greatest number given so far; 0 where there is none."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())


def pour(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows, which hold every column of a table as the database keeps it.

    They go straight to the driver: a million of them would be as long on their way there as in it.
    """
    statement = str(insert(table).compile(dialect=connection.dialect))
    for piece in _pieces(rows, _PIECE):
        connection.exec_driver_sql(statement, piece)


def _pieces(values: Iterable[T], most: int) -> Iterator[list[T]]:
    rest = iter(values)
    while piece := list(islice(rest, most)):
        yield piece
