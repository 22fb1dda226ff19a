"""The store: an index of run files, in SQLite or PostgreSQL."""

from __future__ import annotations

import gc
import re
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from types import TracebackType
from typing import Self

from packaging.requirements import Requirement
from sqlalchemy import Connection, and_, delete, select

from kl_reports.runfile.file import identified
from kl_reports.runfile.records import Column, Run
from kl_reports.store import queries, rows
from kl_reports.store.database import Database, StoreError
from kl_reports.store.history import History, StoredRun, StoredVerdict, histories
from kl_reports.store.schema import ASKED, COLUMNS, REQUIREMENTS, RESULTS, RUNS
from kl_reports.versions import asked, meets, ordered, same

_ID = re.compile(r"[0-9a-f]{4,64}")
_MOST = 30  # so many known names are given in a message


def is_id(name: str) -> bool:
    """Whether a name is the id of a run, or the start of one, and no version."""
    return _ID.fullmatch(name) is not None


class Store:
    """An index of run files.

    Parameters
    ----------
    place
        An SQLite file, or a URL such as ``postgresql+psycopg://user@host/database``.
    make
        Whether to make the store where there is none.

    Raises
    ------
    StoreError
        Here and in every method, when it cannot be opened, read or written, or lacks what is asked for.
    """

    def __init__(self, place: str, *, make: bool = False) -> None:
        self._database = Database(place, make=make)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def add(self, path: Path) -> tuple[str, bool]:
        """Ingest a run file: all of it or nothing; return its id, and whether it is new here.

        Raises
        ------
        RunFileError
            It is no run file that can be read.
        """
        with _uncollected():
            record, run = identified(path)
            with self._database.writing() as connection:
                known = connection.execute(select(RUNS.c.id).where(RUNS.c.record == record)).first()
                if known is None:
                    rows.put(connection, record, str(path.absolute()), run)
        return record, known is None

    def entries(self) -> list[StoredRun]:
        """Return every run, as they were ingested."""
        with self._database.reading() as connection:
            return queries.entries(connection)

    def run(self, name: str) -> Run:
        """Return the run of an id, or of the start of one, as it was read from its file."""
        with _uncollected(), self._database.reading() as connection:
            return rows.get(connection, self._number(connection, name))

    def named(self, name: str) -> list[StoredRun]:
        """Return the runs whose columns bear a version, such as ``torch==2.12``, the one ingested last first."""
        return self._bearing(self.entries(), self._asked(name))

    def look(self, name: str) -> list[StoredRun]:
        """Return the runs a person means by an id or by a version, the one ingested last first."""
        if not is_id(name):
            return self.named(name)
        with self._database.reading() as connection:
            number = self._number(connection, name)
            return [each for each in queries.entries(connection) if each.number == number]

    def cells(self, name: str) -> list[StoredVerdict]:
        """Return every cell of a run, by its id, or of a version such as ``torch==2.12``, as it was judged last."""
        if is_id(name):
            with self._database.reading() as connection:
                return list(queries.judgements(connection, RESULTS.c.run == self._number(connection, name)))
        requirement = self._asked(name)
        found = dict[str, StoredVerdict]()
        with self._database.reading() as connection:
            for entry in reversed(self._bearing(queries.entries(connection), requirement)):
                columns = [
                    each.column
                    for each in queries.confirmed_deviations(connection, entry.number)
                    if same(each.package, requirement.name) and meets(each.version, requirement.specifier)
                ]
                mine = and_(RESULTS.c.run == entry.number, RESULTS.c.column.in_(columns))
                found.update({each.cell: each for each in queries.judgements(connection, mine)})
        return list(found.values())

    def history(
        self,
        requirement: str,
        *,
        implementation: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        mode: str | None = None,
    ) -> list[History]:
        """Return what became of a requirement over versions and time, wherever it was asked or in some columns only."""
        only = {"implementation": implementation, "device": device, "dtype": dtype, "mode": mode}
        with self._database.reading() as connection:
            known = connection.execute(select(REQUIREMENTS.c.name).distinct()).scalars().all()
            if requirement not in known:
                raise self._unknown("requirement", requirement, known)
            mine = [COLUMNS.c[name] == value for name, value in only.items() if value is not None]
            return histories(queries.judgements(connection, and_(REQUIREMENTS.c.name == requirement, *mine)))

    def column(self, key: str) -> Column:
        """Return the column of a key, the part of a cell's name after the ``@``."""
        with self._database.reading() as connection:
            row = connection.execute(select(*queries.COLUMN).where(COLUMNS.c.key == key)).first()
            if row is None:
                known = connection.execute(select(COLUMNS.c.key).distinct()).scalars().all()
                raise self._unknown("column", key, known)
            return Column(*row)

    def keep(self, newest: int) -> list[StoredRun]:
        """Forget all but so many of the newest runs alike, and return the others.

        Runs are alike that asked the same columns, in the same profile, as many cells. Their run files, the record,
        stay where they are.
        """
        with self._database.writing() as connection:
            alike: dict[tuple[object, ...], list[StoredRun]] = {}
            for entry in queries.entries(connection):
                columns = connection.execute(
                    select(ASKED.c.column).where(ASKED.c.run == entry.number)
                ).scalars()
                alike.setdefault((frozenset(columns), entry.profile, entry.planned), []).append(entry)
            gone = [entry for group in alike.values() for entry in group[:-newest]]
            for entry in gone:
                for table, place in ((RESULTS, RESULTS.c.run), (ASKED, ASKED.c.run), (RUNS, RUNS.c.id)):
                    connection.execute(delete(table).where(place == entry.number))
        return gone

    def sweep(self) -> int:
        """Give back the room of what no run needs any more; return how many rows that were."""
        with self._database.writing() as connection:
            swept = sum(rows.sweep(connection))
        self._database.shrink()
        return swept

    def _number(self, connection: Connection, name: str) -> int:
        """Return the number of the run that an id, or the start of one, names."""
        known = connection.execute(select(RUNS.c.record, RUNS.c.id).order_by(RUNS.c.id.desc())).all()
        found = [place for record, place in known if _ID.fullmatch(name) and record.startswith(name)]
        if len(found) == 1:
            return int(found[0])
        if not found:
            raise self._unknown("run", name, [record[:12] for record, _ in known])
        raise self._database.error(f"{name!r} is the start of {len(found)} runs; give more of its letters")

    def _asked(self, name: str) -> Requirement:
        try:
            return asked(name)
        except ValueError as error:
            raise self._database.error(f"{error}, and a run by its id (kl-conformance db list)") from None

    def _bearing(self, entries: Sequence[StoredRun], requirement: Requirement) -> list[StoredRun]:
        versions = [
            (version, entry)
            for entry in reversed(entries)
            for package, borne in entry.versions.items()
            if same(package, requirement.name)
            for version in borne
        ]
        if not versions:
            known = [package for entry in entries for package in entry.versions]
            raise self._unknown("package", requirement.name, known)
        found = {entry.number: entry for version, entry in versions if meets(version, requirement.specifier)}
        if not found:
            known = ordered(version for version, _ in versions)
            raise self._unknown(f"version of {requirement.name}", str(requirement.specifier), known)
        return list(found.values())

    def _unknown(self, kind: str, name: str, known: Sequence[str]) -> StoreError:
        """Return an error that gives the name, the nearest known one, and the known ones if they are not many."""
        known = list(dict.fromkeys(known))
        near = get_close_matches(name, known, n=1)
        shown = [*known[:_MOST], *([f"and {len(known) - _MOST} more"] if len(known) > _MOST else [])]
        return self._database.error(
            f"unknown {kind} {name!r}; {f'did you mean {near[0]!r}? ' if near else ''}"
            f"known: {', '.join(shown) or 'none'}"
        )


@contextmanager
def _uncollected() -> Generator[None]:
    """Keep the collector from walking again and again through a run, where hardly anything is garbage."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()
