"""Interning: each text, column and requirement is stored once, under a small number."""

import json
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from hashlib import blake2b
from itertools import islice
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, insert, select

from kl_reports.runfile.codec import plain
from kl_reports.store.schema import TEXTS

_BATCH = 10_000  # values per statement; databases limit them to a few ten thousand
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))

T = TypeVar("T")
Key = TypeVar("Key", bound=Hashable)
Row = TypeVar("Row", bound=tuple[Any, ...])


class Texts:
    """Collects the texts of a run, as JSON, and stores those that are new."""

    def __init__(self) -> None:
        self._contents: dict[str | None, None] = {}
        self._repeated: dict[Hashable, str] = {}

    def add(self, value: Any) -> str:
        """Return a value as JSON in ASCII and keep it for :meth:`store`."""
        content = _json(value)
        self._contents[content] = None
        return content

    def add_repeated(self, value: Key, convert: Callable[[Key], Any] | None = None) -> str:
        """Do as :meth:`add` for a value, or for its conversion; faster if it occurs in many cells."""
        if value not in self._repeated:
            self._repeated[value] = self.add(convert(value) if convert else value)
        return self._repeated[value]

    def store(self, connection: Connection) -> Mapping[str | None, int | None]:
        """Insert the texts that the store lacks; return the id of every text, and None for None."""
        digests = {
            blake2b(content.encode(), digest_size=16).digest(): content
            for content in self._contents
            if content is not None
        }
        ids: dict[str | None, int | None] = {None: None}
        for batch in _batches(digests, _BATCH):
            rows = connection.execute(select(TEXTS.c.digest, TEXTS.c.id).where(TEXTS.c.digest.in_(batch)))
            ids.update({digests[bytes(digest)]: number for digest, number in rows})
        start = max_id(connection, TEXTS) + 1
        new = [(digest, content) for digest, content in digests.items() if content not in ids]
        ids.update({content: number for number, (_, content) in enumerate(new, start=start)})
        bulk_insert(connection, TEXTS, ((number, *row) for number, row in enumerate(new, start=start)))
        return ids


def _json(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except ValueError:  # NaN or an infinity
        return _ENCODER.encode(plain(value))


def row_ids(connection: Connection, table: Table, rows: set[Row]) -> dict[Row, int]:
    """Return the ids of rows, given as all columns but ``id``; missing rows are inserted."""
    names = [column.name for column in table.c if column.name != "id"]
    ids: dict[Any, int] = {}
    for batch in _batches({row[0] for row in rows}, _BATCH):
        found = connection.execute(select(table).where(table.c[names[0]].in_(batch)))
        ids.update({tuple(row[1:]): row[0] for row in found})
    new = [row for row in rows if row not in ids]
    ids.update({row: number for number, row in enumerate(new, start=max_id(connection, table) + 1)})
    if new:
        connection.execute(insert(table), [{"id": ids[row], **dict(zip(names, row, strict=True))} for row in new])
    return ids


def max_id(connection: Connection, table: Table) -> int:
    """Return the largest id of a table; 0 if it is empty."""
    return int(connection.execute(select(func.coalesce(func.max(table.c.id), 0))).scalar_one())


def bulk_insert(connection: Connection, table: Table, rows: Iterable[tuple[Any, ...]]) -> None:
    """Insert rows, each with every column of the table as the database stores it.

    The rows go straight to the driver: SQLAlchemy's processing would double the time of a million rows.
    """
    statement = str(insert(table).compile(dialect=connection.dialect))
    for batch in _batches(rows, _BATCH):
        connection.exec_driver_sql(statement, batch)


def _batches(values: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(values)
    while batch := list(islice(rest, size)):
        yield batch
