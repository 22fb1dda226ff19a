"""A store of another schema and a file that is not a store are refused and not changed."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from kl_reports.store.database import StoreError
from kl_reports.store.schema import SCHEMA
from kl_reports.store.store import Store


def changed(statement: str) -> Callable[[Path], None]:
    """Return a function that creates a store and executes one statement on it."""

    def make(path: Path) -> None:
        Store(str(path), make=True).close()
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(statement)

    return make


def foreign(path: Path) -> None:
    """Create the database of another program."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE bookmark (address TEXT)")


def text(path: Path) -> None:
    """Create a file that is not a database."""
    path.write_text("no database at all\n" * 500, encoding="utf-8")


def damaged(path: Path) -> None:
    """Overwrite the middle of a store."""
    Store(str(path), make=True).close()
    data = bytearray(path.read_bytes())
    data[100:-100] = b"\xff" * (len(data) - 200)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (changed("UPDATE kl_store SET schema = 99"), f"has schema 99; known: {SCHEMA}; upgrade kl-conformance"),
        (
            changed("UPDATE kl_store SET schema = 2"),
            f"has schema 2; known: {SCHEMA}; create a new store from the run files: "
            "kl-conformance db ingest RUN… --store NEW",
        ),
        (foreign, "is the database of another program (it has a table 'bookmark')"),
        (text, "is not a store: not an SQLite database"),
        (damaged, "is damaged; move it away and rebuild it from the run files"),
        (changed("DELETE FROM kl_store"), "is damaged: its schema number is missing"),
        (Path.mkdir, "cannot be opened"),
    ],
)
def test_an_unusable_file_is_refused_and_not_changed(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    """One message describes what is wrong with a file, and its bytes do not change."""
    path = tmp_path / "some.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as raised:
        Store(str(path), make=True)
    assert str(raised.value).startswith(f"{path}: ")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert before is None or path.read_bytes() == before


def test_only_ingestion_creates_a_store(tmp_path: Path) -> None:
    """Reading a missing store creates no file, and the message has the command that creates a store."""
    with pytest.raises(StoreError, match="no such store; create it with kl-conformance db ingest"):
        Store(str(tmp_path / "store.db"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="contains no store"):
        Store(str(tmp_path / "empty.db"))
    with pytest.raises(StoreError, match="cannot be opened: check that its folder exists"):
        Store(str(tmp_path / "nowhere" / "store.db"), make=True)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("mysql://someone@somewhere/kl", "unknown kind of store 'mysql'; known: a file name"),
        ("://", "is not the URL of a database; known: a file name"),
    ],
)
def test_a_database_of_another_kind_is_refused(place: str, message: str) -> None:
    """The message has the known kinds."""
    with pytest.raises(StoreError, match=message):
        Store(place)


def test_a_password_is_never_shown(request: pytest.FixtureRequest) -> None:
    """The message about an unreachable server is one line without the password of the URL."""
    request.getfixturevalue("postgresql")
    with pytest.raises(StoreError) as raised:
        Store("postgresql://someone:secret@127.0.0.1:1/kl")
    assert "postgresql+psycopg://someone:***@127.0.0.1:1/kl: " in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
