"""Migrates a store from run-file format 1 to format 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import blake2b
from typing import Any

from sqlalchemy import Connection, text

from kl_reports.runfile import upgrade
from kl_reports.runfile.records import FORMAT as NEXT

_TEXTS = ("explanation", "happened", "last_call")


def format_2(connection: Connection) -> None:
    """Add the columns of format 2 and fill them from the sentences of format 1."""
    for column in ("kind TEXT", "absence TEXT", *(f"{name} INTEGER" for name in _TEXTS)):
        connection.exec_driver_sql(f"ALTER TABLE kl_result ADD COLUMN {column}")
    connection.exec_driver_sql("ALTER TABLE kl_run ADD COLUMN cut_off INTEGER")
    texts = _Texts(connection)
    for run, environment, guide, remarks in connection.execute(
        text("SELECT id, environment, guide, remarks FROM kl_run")
    ).all():
        other_remarks, cut_off = upgrade.remarks(texts.value(remarks))
        values = {
            "environment": texts.converted(environment, upgrade.environment),
            "guide": texts.converted(guide, upgrade.guide),
            "remarks": texts.add(other_remarks),
            "cut_off": texts.add(cut_off) if cut_off else None,
            "format": NEXT,
        }
        _update(connection, "kl_run", "id = :id", [values | {"id": run}])
        _results(connection, texts, run)


class _Texts:
    """Reads, converts and adds texts of a store by id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        max_id = connection.execute(text("SELECT COALESCE(MAX(id), 0) FROM kl_text")).scalar_one()
        self._next = int(max_id) + 1
        self._converted: dict[tuple[int, str], int] = {}

    def value(self, number: int) -> Any:
        """Return the value of a text."""
        found = text("SELECT content FROM kl_text WHERE id = :id")
        return json.loads(self._connection.execute(found, {"id": number}).scalar_one())

    def converted(self, number: int | None, convert: Callable[[Any], Any]) -> int | None:
        """Return the id of a converted text."""
        if number is None:
            return None
        key = number, convert.__name__
        if key not in self._converted:
            self._converted[key] = self.add(convert(self.value(number)))
        return self._converted[key]

    def add(self, value: Any) -> int:
        """Return the id of a value's text, adding the text if it is new."""
        content = json.dumps(value, allow_nan=False, separators=(",", ":"))
        digest = blake2b(content.encode(), digest_size=16).digest()
        query = text("SELECT id FROM kl_text WHERE digest = :digest")
        number = self._connection.execute(query, {"digest": digest}).scalar()
        if number is None:
            number, self._next = self._next, self._next + 1
            insert = text("INSERT INTO kl_text (id, digest, content) VALUES (:id, :digest, :content)")
            self._connection.execute(insert, {"id": number, "digest": digest, "content": content})
        return int(number)


def _results(connection: Connection, texts: _Texts, run: int) -> None:
    query = text("SELECT position, verdict, detail, budget, witness FROM kl_result WHERE run = :run")
    rows: list[dict[str, Any]] = []
    for position, verdict, detail, budget, witness in connection.execute(query, {"run": run}).all():
        found: dict[str, str] = {}
        # Only results with these verdicts have further fields in their detail.
        if detail is not None and verdict in {"FAIL", "CRASHED", "TIMED_OUT", "UNDECIDED", "MISSING"}:
            found = upgrade.failure(verdict, texts.value(detail))
        rows.append(
            {
                "run": run,
                "position": position,
                "budget": texts.converted(budget, upgrade.budget),
                "witness": texts.converted(witness, upgrade.witness),
                "kind": found.get("failure"),
                "absence": found.get("absence"),
                **{name: texts.add(found[name]) if found.get(name) else None for name in _TEXTS},
            }
        )
    _update(connection, "kl_result", "run = :run AND position = :position", rows)


def _update(connection: Connection, table: str, where: str, rows: list[dict[str, Any]]) -> None:
    """Update one row of a table per set of values."""
    if rows:
        changed = (name for name in rows[0] if f":{name}" not in where.split())
        names = ", ".join(f"{name} = :{name}" for name in changed)
        connection.execute(text(f"UPDATE {table} SET {names} WHERE {where}"), rows)
