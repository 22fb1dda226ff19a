"""A store of any schema is opened, and a file that is not a store is not changed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import MetaData, create_engine

from kl_reports.runfile.file import write
from kl_reports.runfile.records import Fixed, Run, Verdict
from kl_reports.store import schema
from kl_reports.store.database import StoreError, address
from kl_reports.store.store import Store

# A store of the first schema, which has no outputs on fixed problems.
SCHEMA_1 = Path(__file__).with_name("store-1.sql").read_text(encoding="utf-8")


def old_store(path: Path) -> str:
    """Create a store of schema 1 and return its path."""
    connection = sqlite3.connect(path)
    connection.executescript(SCHEMA_1)
    connection.close()
    return str(path)


def tables(place: str) -> dict[str, set[tuple[str, str, bool]]]:
    """Return the columns of every table of a database, with type and nullability."""
    engine = create_engine(address(place))
    found = MetaData()
    found.reflect(engine)
    engine.dispose()
    return {
        name: {(column.name, str(column.type), bool(column.nullable)) for column in table.columns}
        for name, table in found.tables.items()
    }


def test_a_store_of_an_earlier_schema_is_migrated(tmp_path: Path, run: Run) -> None:
    """The stored run is complete, fields without a column are absent, and the tables are those of a new store."""
    place = old_store(tmp_path / "first.db")
    with Store(place) as store:
        (entry,) = store.runs()
        (result,) = store.run(entry.record).results
        assert (result.verdict, result.detail, result.fixed) == (Verdict.FAIL, "gives NaN", None)
        assert result.headroom != result.headroom  # NaN
        assert result.witness == {"got": ["f64:7ff8000000000000"]}
        write(tmp_path / "run.jsonl.gz", run)
        record, _ = store.add(tmp_path / "run.jsonl.gz")
        assert store.run(record) == run
    Store(str(tmp_path / "new.db"), make=True).close()
    assert tables(place) == tables(str(tmp_path / "new.db"))
    Store(place).close()  # has the current schema now


def test_a_postgresql_store_of_an_earlier_schema_is_migrated(
    request: pytest.FixtureRequest, tmp_path: Path, run: Run
) -> None:
    """The same steps lead to the current schema in PostgreSQL."""
    place = request.getfixturevalue("postgresql").database()
    Store(place, make=True).close()
    current = tables(place)
    engine = create_engine(address(place))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE kl_run DROP COLUMN cut_off")
        for name in (
            *("fixed_problems", "fixed_headroom", "fixed_bits"),
            *("kind", "explanation", "happened", "last_call", "absence"),
        ):
            connection.exec_driver_sql(f"ALTER TABLE kl_result DROP COLUMN {name}")
        connection.exec_driver_sql("UPDATE kl_store SET schema = 1")
    engine.dispose()
    write(tmp_path / "run.jsonl.gz", run)
    with Store(place) as store:
        record, _ = store.add(tmp_path / "run.jsonl.gz")
        assert isinstance(store.run(record).results[0].fixed, Fixed)
    assert tables(place) == current


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that could not be migrated keeps its old schema, and can be migrated later."""
    place = old_store(tmp_path / "first.db")
    before = tables(place)

    def fail(_: object) -> None:
        raise StoreError("no")

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, fail))
        with pytest.raises(StoreError, match="no"):
            Store(place)
    assert tables(place) == before
    Store(place).close()


def newer(path: Path) -> None:
    """Create a store of a later schema."""
    Store(str(path), make=True).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE kl_store SET schema = 99")
    connection.commit()
    connection.close()


def foreign(path: Path) -> None:
    """Create the database of another program."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmark (address TEXT)")
    connection.close()


def text(path: Path) -> None:
    """Create a file that is not a database."""
    path.write_text("no database at all\n" * 500, encoding="utf-8")


def damaged(path: Path) -> None:
    """Overwrite the middle of a store."""
    old_store(path)
    data = bytearray(path.read_bytes())
    data[100:-100] = b"\xff" * (len(data) - 200)
    path.write_bytes(data)


def without_schema(path: Path) -> None:
    """Create a store without a schema number."""
    Store(str(path), make=True).close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM kl_store")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (newer, f"has schema 99; known: up to {schema.SCHEMA}; upgrade kl-conformance"),
        (foreign, "is the database of another program (it has a table 'bookmark')"),
        (text, "is not a store: not an SQLite database"),
        (damaged, "is damaged; move it away and rebuild it from the run files"),
        (without_schema, "is damaged: its schema number is missing"),
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
