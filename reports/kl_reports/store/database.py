"""A store's database opened: made, migrated, locked for writing, and its complaints put into one sentence."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, func, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from kl_reports.store.schema import SCHEMA, STORE, TABLES, migrate

PATIENCE = 60  # seconds to wait for another process to finish writing
_CACHE = 128 * 1024  # KiB of an SQLite file kept in memory, if it is so large
_LOCK = 0x4B4C  # "KL": the advisory lock of PostgreSQL that whoever writes holds

# What SQLite says, and what it means to a person.
_MEANINGS = {
    "database or disk is full": "no room is left on its disk; what was ingested before is kept",
    "disk i/o error": "its disk gave an error, or has no room left; what was ingested before is kept",
    "file is not a database": "is not a store: no SQLite database; name another file by --store",
    "database disk image is malformed": "is damaged; the run files are the record: "
    "move it away, and make it again by kl-conformance db ingest RUN…",
    "database is locked": f"another process has been writing for {PATIENCE} s; try again",
    "readonly database": "is write-protected",
    "unable to open database file": "cannot be opened: see that its folder exists and can be written to",
}


class StoreError(Exception):
    """A store that cannot be opened, read or written, or that lacks what was asked for, with one reason."""


def address(place: str) -> URL:
    """Return the database a place names: a file, or a URL of SQLite or PostgreSQL.

    Raises
    ------
    StoreError
        It is a URL of something else.
    """
    if "://" not in place:
        return URL.create("sqlite", database=os.fspath(Path(place).absolute()))
    try:
        url = make_url(place)
    except ArgumentError:
        raise StoreError(f"{place}: is no URL of a database; {_known()}") from None
    match url.get_backend_name():
        case "sqlite":
            return url
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"{other} is not a kind of store known here; {_known()}")


def _known() -> str:
    return "known: a file name (SQLite), sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE"


class Database:
    """A database with the tables of a store in it.

    Parameters
    ----------
    place
        A file name or a URL.
    make
        Whether to make the store where there is none.

    Raises
    ------
    StoreError
        Here and in every method, when the database cannot do what is asked.
    """

    def __init__(self, place: str, *, make: bool = False) -> None:
        url = address(place)
        self.place = place if url.password is None else url.render_as_string(hide_password=True)
        self._file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        if self._file is not None and not make and not self._file.is_file():
            raise self.error("there is no store yet; make it by kl-conformance db ingest RUN…")
        try:
            # Parameters by place: rows are tuples on their way in.
            style = {} if self._file is not None else {"paramstyle": "format"}
            self._engine = create_engine(url, connect_args=_options(url), **style)
        except ModuleNotFoundError as missing:
            raise self.error(
                f"needs {missing.name}, which is not installed: pip install 'kl-conformance[postgresql]'"
            ) from None
        if self._file is not None:
            event.listen(self._engine, "connect", _set_up)
            event.listen(self._engine, "begin", _begin)
        with self.complaining():
            self._settle(make)

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Give a connection that sees the store as it is now, whatever is written meanwhile."""
        options = {} if self._file is not None else {"isolation_level": "REPEATABLE READ"}
        with self.complaining(), self._engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Give a connection that alone may write; all of it is kept when the block ends well, else nothing."""
        with self.complaining(), self._engine.connect() as connection:
            held = connection.execution_options(writes=True)
            with held.begin():
                if self._file is None:
                    held.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                yield held

    def shrink(self) -> None:
        """Give room that is no longer needed back to the disk; PostgreSQL does so by itself."""
        if self._file is not None:
            with self.complaining():
                self._alone("VACUUM")

    def _alone(self, statement: str) -> None:
        """Execute what SQLite takes only outside of a transaction."""
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute(statement)
        except sqlite3.Error as error:
            raise self.error(_meaning(error)) from error
        finally:
            connection.close()

    @contextmanager
    def complaining(self) -> Generator[None]:
        """Turn what the database complains of into a StoreError."""
        try:
            yield
        except DBAPIError as error:
            raise self.error(_meaning(error.orig or error)) from error
        except OverflowError as error:
            raise self.error("a number of this run is too large for a database") from error
        except SQLAlchemyError as error:
            raise self.error(_first_line(error)) from error

    def error(self, reason: str) -> StoreError:
        """Return what is to be raised, with the place."""
        return StoreError(f"{self.place}: {reason}")

    def _settle(self, make: bool) -> None:
        """See that the tables are there, and of today's schema."""
        schema = self._schema()
        if schema == SCHEMA:
            return
        if schema is None and not make:
            raise self.error("holds no store yet; make it by kl-conformance db ingest RUN…")
        if schema is None and self._file is not None:
            self._refuse_foreign()
            self._alone("PRAGMA journal_mode = WAL")  # readers and a writer at once; the file remembers it
        with self.writing() as connection:
            schema = self._schema(connection)  # another process may have been quicker
            if schema is None:
                TABLES.create_all(connection)
                connection.execute(insert(STORE).values(schema=SCHEMA))
            elif schema < SCHEMA:
                migrate(connection, schema)

    def _schema(self, connection: Connection | None = None) -> int | None:
        if connection is None:
            with self._engine.connect() as fresh:
                return self._schema(fresh)
        if not inspect(connection).has_table(STORE.name):
            return None
        schema = connection.execute(select(STORE.c.schema)).scalar_one_or_none()
        if schema is None:
            raise self.error("is damaged: it does not say of which schema it is")
        if schema > SCHEMA:
            raise self.error(
                f"is of schema {schema}, and only {SCHEMA} and older ones are known here: "
                "upgrade kl-conformance, or name another store by --store"
            )
        return int(schema)

    def _refuse_foreign(self) -> None:
        with self._engine.connect() as connection:
            foreign = inspect(connection).get_table_names()
        if foreign:
            raise self.error(
                f"is another program's database (it has a table {foreign[0]!r}); name another file by --store"
            )


def _options(url: URL) -> dict[str, Any]:
    return {"timeout": PATIENCE} if url.get_backend_name() == "sqlite" else {"connect_timeout": PATIENCE}


def _set_up(connection: Any, record: Any) -> None:
    """Let SQLAlchemy begin transactions, not SQLite's driver, which begins them late and deferred."""
    del record
    connection.isolation_level = None
    # The index of texts, which are met in no order, is to fit: that of a million is as large.
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _meaning(error: BaseException) -> str:
    said = _first_line(error)
    return next((meaning for words, meaning in _MEANINGS.items() if words in said.lower()), said)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
