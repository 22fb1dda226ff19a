"""The store: an index of run files in SQLite or PostgreSQL."""

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

from kl_reports.runfile.file import read_with_digest
from kl_reports.runfile.records import Column, Run
from kl_reports.store import queries, rows
from kl_reports.store.database import Database, StoreError
from kl_reports.store.history import History, StoredRun, StoredVerdict, histories
from kl_reports.store.schema import COLUMNS, REQUIREMENTS, RESULTS, RUN_COLUMNS, RUNS
from kl_reports.versions import meets, parse_requirement, same_package, sorted_versions

_ID = re.compile(r"[0-9a-f]{4,64}")
_MAX_NAMES = 30  # known names in a message


def is_id(name: str) -> bool:
    """Whether a name is the id of a run, or the start of one."""
    return _ID.fullmatch(name) is not None


class Store:
    """An index of run files, in an SQLite file or at a URL such as ``postgresql+psycopg://user@host/database``.

    ``make`` creates the store if it does not exist.

    Raises
    ------
    StoreError
        Here and in every method, if the store cannot be opened, read or written, or lacks what is requested.
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
        """Close the database."""
        self._database.close()

    def add(self, path: Path) -> tuple[str, bool]:
        """Ingest a run file, completely or not at all; return its full id and whether it is new.

        Raises
        ------
        RunFileError
            The run file cannot be read.
        """
        with _garbage_collection_off():
            record, run = read_with_digest(path)
            with self._database.writing() as connection:
                found = connection.execute(select(RUNS.c.id).where(RUNS.c.record == record)).first()
                if found is None:
                    rows.put(connection, record, str(path.absolute()), run)
        return record, found is None

    def runs(self) -> list[StoredRun]:
        """Return all runs in order of ingestion."""
        with self._database.reading() as connection:
            return queries.stored_runs(connection)

    def run(self, name: str) -> Run:
        """Return a run by its id or the start of it, equal to the run read from its file."""
        with _garbage_collection_off(), self._database.reading() as connection:
            return rows.get(connection, self._number(connection, name))

    def find_runs(self, name: str) -> list[StoredRun]:
        """Return the runs with an id or a version such as ``torch==2.12``, the one ingested last first."""
        if not is_id(name):
            return self._with_version(self.runs(), self._requirement(name))
        with self._database.reading() as connection:
            number = self._number(connection, name)
            return [each for each in queries.stored_runs(connection) if each.number == number]

    def cells(self, name: str) -> list[StoredVerdict]:
        """Return every cell of a run, by its id, or of a version such as ``torch==2.12``, by its latest result."""
        if is_id(name):
            with self._database.reading() as connection:
                of_run = RESULTS.c.run == self._number(connection, name)
                return list(queries.stored_verdicts(connection, of_run))
        requirement = self._requirement(name)
        found = dict[str, StoredVerdict]()
        with self._database.reading() as connection:
            for run in reversed(self._with_version(queries.stored_runs(connection), requirement)):
                columns = [
                    each.column
                    for each in queries.column_versions(connection, run.number)
                    if same_package(each.package, requirement.name) and meets(each.version, requirement.specifier)
                ]
                condition = and_(RESULTS.c.run == run.number, RESULTS.c.column.in_(columns))
                found.update({each.cell: each for each in queries.stored_verdicts(connection, condition)})
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
        """Return the histories of a requirement in all columns, or only in those with the given values."""
        only = {"implementation": implementation, "device": device, "dtype": dtype, "mode": mode}
        with self._database.reading() as connection:
            known = connection.execute(select(REQUIREMENTS.c.name).distinct()).scalars().all()
            if requirement not in known:
                raise self._unknown("requirement", requirement, known)
            conditions = [COLUMNS.c[name] == value for name, value in only.items() if value is not None]
            condition = and_(REQUIREMENTS.c.name == requirement, *conditions)
            return histories(queries.stored_verdicts(connection, condition))

    def column(self, key: str) -> Column:
        """Return a column by its key, the part of a cell id after the ``@``."""
        with self._database.reading() as connection:
            row = connection.execute(select(*queries.COLUMN).where(COLUMNS.c.key == key)).first()
            if row is None:
                known = connection.execute(select(COLUMNS.c.key).distinct()).scalars().all()
                raise self._unknown("column", key, known)
            return Column(*row)

    def delete_older(self, keep: int) -> list[StoredRun]:
        """Delete all but the newest ``keep`` of similar runs, and return the deleted ones; run files remain.

        Runs are similar if their columns, profile and number of planned cells are equal.
        """
        with self._database.writing() as connection:
            similar: dict[tuple[object, ...], list[StoredRun]] = {}
            for run in queries.stored_runs(connection):
                columns = connection.execute(
                    select(RUN_COLUMNS.c.column).where(RUN_COLUMNS.c.run == run.number)
                ).scalars()
                similar.setdefault((frozenset(columns), run.profile, run.planned), []).append(run)
            deleted = [run for group in similar.values() for run in group[:-keep]]
            for run in deleted:
                for number in (RESULTS.c.run, RUN_COLUMNS.c.run, RUNS.c.id):
                    connection.execute(delete(number.table).where(number == run.number))
        return deleted

    def delete_unused(self) -> int:
        """Delete rows that no run uses and return free space to the disk; return the number of rows."""
        with self._database.writing() as connection:
            deleted = sum(rows.delete_unused(connection))
        self._database.shrink()
        return deleted

    def _number(self, connection: Connection, name: str) -> int:
        """Return the number of a run by its id or the start of it."""
        known = connection.execute(select(RUNS.c.record, RUNS.c.id).order_by(RUNS.c.id.desc())).all()
        found = [number for record, number in known if _ID.fullmatch(name) and record.startswith(name)]
        if len(found) == 1:
            return int(found[0])
        if not found:
            raise self._unknown("run", name, [record[:12] for record, _ in known])
        raise self._database.error(f"{name!r} is the start of {len(found)} run ids; give more digits")

    def _requirement(self, name: str) -> Requirement:
        try:
            return parse_requirement(name)
        except ValueError as error:
            raise self._database.error(f"{error}, or the id of a run (kl-conformance db list)") from None

    def _with_version(self, runs: Sequence[StoredRun], requirement: Requirement) -> list[StoredRun]:
        """Return the runs with a column whose version meets a requirement, the one ingested last first."""
        versions = [
            (version, run)
            for run in reversed(runs)
            for package, found in run.versions.items()
            if same_package(package, requirement.name)
            for version in found
        ]
        if not versions:
            raise self._unknown("package", requirement.name, [name for run in runs for name in run.versions])
        matches = {run.number: run for version, run in versions if meets(version, requirement.specifier)}
        if not matches:
            known = sorted_versions(version for version, _ in versions)
            raise self._unknown(f"version of {requirement.name}", str(requirement.specifier), known)
        return list(matches.values())

    def _unknown(self, kind: str, name: str, known: Sequence[str]) -> StoreError:
        """Return an error with an unknown name, the nearest known name, and the known names up to a limit."""
        known = list(dict.fromkeys(known))
        near = get_close_matches(name, known, n=1)
        more = len(known) - _MAX_NAMES
        shown = [*known[:_MAX_NAMES], *([f"and {more} more"] if more > 0 else [])]
        return self._database.error(
            f"unknown {kind} {name!r}; {f'did you mean {near[0]!r}? ' if near else ''}"
            f"known: {', '.join(shown) or 'none'}"
        )


@contextmanager
def _garbage_collection_off() -> Generator[None]:
    """Turn off garbage collection, which would traverse a large run many times and find hardly any garbage."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
