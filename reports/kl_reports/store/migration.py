"""A store of run files of format 1 becomes one of format 2."""

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
    """Make room for what format 1 had only in sentences, and fill it from these."""
    for column in ("kind TEXT", "absence TEXT", *(f"{name} INTEGER" for name in _TEXTS)):
        connection.exec_driver_sql(f"ALTER TABLE kl_result ADD COLUMN {column}")
    connection.exec_driver_sql("ALTER TABLE kl_run ADD COLUMN cut_off INTEGER")
    texts = _Texts(connection)
    for run, environment, guide, remarks in connection.execute(
        text("SELECT id, environment, guide, remarks FROM kl_run")
    ).all():
        left, cut = upgrade.remarks(texts.value(remarks))
        values = {
            "environment": texts.moved(environment, upgrade.environment),
            "guide": texts.moved(guide, upgrade.guide),
            "remarks": texts.add(left),
            "cut_off": texts.add(cut) if cut else None,
            "format": NEXT,
        }
        _update(connection, "kl_run", "id = :id", [values | {"id": run}])
        _results(connection, texts, run)


class _Texts:
    """The texts of a store by their numbers."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        greatest = connection.execute(text("SELECT COALESCE(MAX(id), 0) FROM kl_text")).scalar_one()
        self._next = int(greatest) + 1
        self._moved: dict[tuple[int, str], int] = {}

    def value(self, number: int) -> Any:
        """Return what a text holds."""
        found = text("SELECT content FROM kl_text WHERE id = :id")
        return json.loads(self._connection.execute(found, {"id": number}).scalar_one())

    def moved(self, number: int | None, change: Callable[[Any], Any]) -> int | None:
        """Return the number of a text after a change."""
        if number is None:
            return None
        place = number, change.__name__
        if place not in self._moved:
            self._moved[place] = self.add(change(self.value(number)))
        return self._moved[place]

    def add(self, value: Any) -> int:
        """Return the number of a value's text, which is added where it is new."""
        content = json.dumps(value, allow_nan=False, separators=(",", ":"))
        digest = blake2b(content.encode(), digest_size=16).digest()
        known = text("SELECT id FROM kl_text WHERE digest = :digest")
        number = self._connection.execute(known, {"digest": digest}).scalar()
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
        # Only of these verdicts a detail says what happened.
        if detail is not None and verdict in {"FAIL", "CRASHED", "TIMED_OUT", "UNDECIDED", "MISSING"}:
            found = upgrade.failure(verdict, texts.value(detail))
        rows.append(
            {
                "run": run,
                "position": position,
                "budget": texts.moved(budget, upgrade.budget),
                "witness": texts.moved(witness, upgrade.witness),
                "kind": found.get("failure"),
                "absence": found.get("absence"),
                **{name: texts.add(found[name]) if found.get(name) else None for name in _TEXTS},
            }
        )
    _update(connection, "kl_result", "run = :run AND position = :position", rows)


def _update(connection: Connection, table: str, where: str, rows: list[dict[str, Any]]) -> None:
    """Update one row of a table for each set of values."""
    if rows:
        changed = (name for name in rows[0] if f":{name}" not in where.split())
        names = ", ".join(f"{name} = :{name}" for name in changed)
        connection.execute(text(f"UPDATE {table} SET {names} WHERE {where}"), rows)
