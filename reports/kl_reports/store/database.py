"""Opens the database of a store: creation, schema, locking and error messages."""

import os
import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, func, insert, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from kl_reports.store.schema import SCHEMA, STORE, TABLES

PATIENCE = 60  # seconds to wait for another process to finish writing
_CACHE = 128 * 1024  # KiB of an SQLite file kept in memory at most
_LOCK = 0x4B4C  # "KL": the PostgreSQL advisory lock of the writer

_KNOWN = "known: a file name (SQLite), sqlite:///FILE, postgresql+psycopg://USER@HOST/DATABASE"

# Message of SQLite: message to the user.
_MESSAGES = {
    "database or disk is full": "no space left on its disk; runs ingested before are kept",
    "disk i/o error": "no space left on its disk, or a disk error; runs ingested before are kept",
    "file is not a database": "is not a store: not an SQLite database; name another file with --store",
    "database disk image is malformed": "is damaged; move it away and rebuild it from the run files: "
    "kl-conformance db ingest RUN…",
    "database is locked": f"another process has been writing for {PATIENCE} s; try again",
    "readonly database": "is write-protected",
    "unable to open database file": "cannot be opened: check that its folder exists and can be written to",
}


class StoreError(Exception):
    """A store cannot be opened, read or written, or does not contain what was requested."""


def address(place: str) -> URL:
    """Return the URL of a store's database, given as a file name or a URL of SQLite or PostgreSQL.

    Raises
    ------
    StoreError
        It is the URL of another kind of database.
    """
    if "://" not in place:
        return URL.create("sqlite", database=os.fspath(Path(place).absolute()))
    try:
        url = make_url(place)
    except ArgumentError:
        raise StoreError(f"{place}: is not the URL of a database; {_KNOWN}") from None
    match url.get_backend_name():
        case "sqlite":
            return url
        case "postgresql":
            return url.set(drivername="postgresql+psycopg")
        case other:
            raise StoreError(f"unknown kind of store {other!r}; {_KNOWN}")


class Database:
    """The database of a store, at a file name or a URL; ``make`` creates the store if it does not exist.

    Raises
    ------
    StoreError
        Here and in every method, if the database reports an error.
    """

    def __init__(self, place: str, *, make: bool = False) -> None:
        url = address(place)
        self.place = place if url.password is None else url.render_as_string(hide_password=True)
        self._file = Path(url.database or "") if url.get_backend_name() == "sqlite" else None
        if self._file is not None and not make and not self._file.is_file():
            raise self.error("no such store; create it with kl-conformance db ingest RUN…")
        try:
            # Positional parameters, because bulk_insert passes tuples.
            style = {} if self._file is not None else {"paramstyle": "format"}
            wait = {"connect_timeout" if self._file is None else "timeout": PATIENCE}
            self._engine = create_engine(url, connect_args=wait, **style)
        except ModuleNotFoundError as missing:
            raise self.error(
                f"needs {missing.name}, which is not installed: pip install 'kl-conformance[postgresql]'"
            ) from None
        if self._file is not None:
            event.listen(self._engine, "connect", _set_up)
            event.listen(self._engine, "begin", _begin)
        with self._errors():
            self._prepare(make)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def reading(self) -> Generator[Connection]:
        """Yield a connection with a snapshot of the store, which concurrent writers do not change."""
        options = {} if self._file is not None else {"isolation_level": "REPEATABLE READ"}
        with self._errors(), self._engine.connect().execution_options(**options) as connection:
            yield connection

    @contextmanager
    def writing(self) -> Generator[Connection]:
        """Yield the only connection that may write; committed if the block succeeds, else rolled back."""
        with self._errors(), self._engine.connect() as connection:
            writer = connection.execution_options(writes=True)
            with writer.begin():
                if self._file is None:
                    writer.execute(select(func.pg_advisory_xact_lock(_LOCK)))
                yield writer

    def shrink(self) -> None:
        """Return free space of an SQLite file to the disk; PostgreSQL does so by itself."""
        if self._file is not None:
            with self._errors():
                self._execute_outside_transaction("VACUUM")

    def _execute_outside_transaction(self, statement: str) -> None:
        """Execute a statement that SQLite accepts only outside a transaction."""
        connection = self._engine.raw_connection()
        try:
            connection.cursor().execute(statement)
        except sqlite3.Error as error:
            raise self.error(_message(error)) from error
        finally:
            connection.close()

    @contextmanager
    def _errors(self) -> Generator[None]:
        """Convert errors of the database to StoreError."""
        try:
            yield
        except DBAPIError as error:
            raise self.error(_message(error.orig or error)) from error
        except OverflowError as error:
            raise self.error("a number of this run is too large for the database") from error
        except SQLAlchemyError as error:
            raise self.error(_first_line(error)) from error

    def error(self, reason: str) -> StoreError:
        """Return an error with the place of the store."""
        return StoreError(f"{self.place}: {reason}")

    def _prepare(self, make: bool) -> None:
        with self._engine.connect() as connection:
            if self._has_tables(connection):
                return
            if not make:
                raise self.error("contains no store; create it with kl-conformance db ingest RUN…")
            foreign = inspect(connection).get_table_names()
        if self._file is not None:
            if foreign:
                raise self.error(
                    f"is the database of another program (it has a table {foreign[0]!r}); "
                    "name another file with --store"
                )
            self._execute_outside_transaction("PRAGMA journal_mode = WAL")  # concurrent readers and a writer
        with self.writing() as connection:
            if not self._has_tables(connection):  # another process may have created them meanwhile
                TABLES.create_all(connection)
                connection.execute(insert(STORE).values(schema=SCHEMA))

    def _has_tables(self, connection: Connection) -> bool:
        """Whether the database has a store of the current schema; raise if it has a store of another one."""
        if not inspect(connection).has_table(STORE.name):
            return False
        schema = connection.execute(select(STORE.c.schema)).scalar_one_or_none()
        if schema is None:
            raise self.error("is damaged: its schema number is missing")
        if schema != SCHEMA:
            next_step = (
                "upgrade kl-conformance, or name another store with --store"
                if schema > SCHEMA
                else "create a new store from the run files: kl-conformance db ingest RUN… --store NEW"
            )
            raise self.error(f"has schema {schema}; known: {SCHEMA}; {next_step}")
        return True


def _set_up(connection: Any, record: Any) -> None:
    """Let SQLAlchemy begin transactions; SQLite's driver begins them late and deferred."""
    del record
    connection.isolation_level = None
    # The cache must hold the index of texts, which is read in random order; that of a million texts is as large.
    connection.execute(f"PRAGMA cache_size = -{_CACHE}")


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _message(error: BaseException) -> str:
    message = _first_line(error)
    return next((ours for theirs, ours in _MESSAGES.items() if theirs in message.lower()), message)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
