"""A store of any day opens, and what is no store is left as it is."""

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

# What the first version of a store held of one cell: nothing of its fixed problems.
FIRST = Path(__file__).with_name("store-1.sql").read_text(encoding="utf-8")


def first(path: Path) -> str:
    """Make a store of schema 1."""
    connection = sqlite3.connect(path)
    connection.executescript(FIRST)
    connection.close()
    return str(path)


def tables(place: str) -> dict[str, set[tuple[str, str, bool]]]:
    """Return the columns of every table of a database, with their types, and whether they may be empty."""
    engine = create_engine(address(place))
    found = MetaData()
    found.reflect(engine)
    engine.dispose()
    return {
        name: {(column.name, str(column.type), bool(column.nullable)) for column in table.columns}
        for name, table in found.tables.items()
    }


def test_a_store_of_an_earlier_schema_is_migrated(tmp_path: Path, run: Run) -> None:
    """What the store held is there, what it had no room for is absent, and it is like a store made today."""
    place = first(tmp_path / "first.db")
    with Store(place) as store:
        (entry,) = store.runs()
        (result,) = store.run(entry.record).results
        assert (result.verdict, result.detail, result.fixed) == (Verdict.FAIL, "gives NaN", None)
        assert result.headroom != result.headroom  # NaN
        assert result.witness == {"got": ["f64:7ff8000000000000"]}
        write(tmp_path / "run.jsonl.gz", run)
        record, _ = store.add(tmp_path / "run.jsonl.gz")
        assert store.run(record) == run
    Store(str(tmp_path / "today.db"), make=True).close()
    assert tables(place) == tables(str(tmp_path / "today.db"))
    Store(place).close()  # of today's schema by now


def test_a_postgresql_store_of_an_earlier_schema_is_migrated(
    request: pytest.FixtureRequest, tmp_path: Path, run: Run
) -> None:
    """The same steps lead to today's schema in PostgreSQL."""
    place = request.getfixturevalue("postgresql").database()
    Store(place, make=True).close()
    today = tables(place)
    engine = create_engine(address(place))
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE kl_run DROP COLUMN cut_off")
        for name in (
            *("fixed_problems", "fixed_headroom", "fixed_bits"),
            *("kind", "explanation", "happened", "last_call"),
        ):
            connection.exec_driver_sql(f"ALTER TABLE kl_result DROP COLUMN {name}")
        connection.exec_driver_sql("UPDATE kl_store SET schema = 1")
    engine.dispose()
    write(tmp_path / "run.jsonl.gz", run)
    with Store(place) as store:
        record, _ = store.add(tmp_path / "run.jsonl.gz")
        assert isinstance(store.run(record).results[0].fixed, Fixed)
    assert tables(place) == today


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that could not be migrated is of its old schema still, and opens when it can."""
    place = first(tmp_path / "first.db")
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
    """Make a store as a later version might."""
    Store(str(path), make=True).close()
    connection = sqlite3.connect(path)
    connection.execute("UPDATE kl_store SET schema = 99")
    connection.commit()
    connection.close()


def foreign(path: Path) -> None:
    """Make another program's database."""
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE bookmark (address TEXT)")
    connection.close()


def text(path: Path) -> None:
    """Make a file that is no database."""
    path.write_text("no database at all\n" * 500, encoding="utf-8")


def damaged(path: Path) -> None:
    """Overwrite the middle of a store."""
    first(path)
    data = bytearray(path.read_bytes())
    data[100:-100] = b"\xff" * (len(data) - 200)
    path.write_bytes(data)


def speechless(path: Path) -> None:
    """Make a store that does not say of which schema it is."""
    Store(str(path), make=True).close()
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM kl_store")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (newer, f"is of schema 99, and only {schema.SCHEMA} and older ones are known here"),
        (foreign, "is another program's database (it has a table 'bookmark')"),
        (text, "is not a store: no SQLite database"),
        (damaged, "is damaged; the run files are the record"),
        (speechless, "is damaged: it does not say of which schema it is"),
        (Path.mkdir, "cannot be opened"),
    ],
)
def test_what_cannot_be_used_is_refused_and_left_alone(
    tmp_path: Path, make: Callable[[Path], None], words: str
) -> None:
    """One message says what is wrong with a file, and its bytes stay as they were."""
    path = tmp_path / "some.db"
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(StoreError) as raised:
        Store(str(path), make=True)
    assert str(raised.value).startswith(f"{path}: ")
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
    assert before is None or path.read_bytes() == before


def test_a_store_is_made_only_where_something_is_put_into_it(tmp_path: Path) -> None:
    """Whoever asks a store that is not there is told how to make one, and none is made."""
    with pytest.raises(StoreError, match="there is no store yet; make it by kl-conformance db ingest"):
        Store(str(tmp_path / "store.db"))
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="holds no store yet"):
        Store(str(tmp_path / "empty.db"))
    with pytest.raises(StoreError, match="cannot be opened: see that its folder exists"):
        Store(str(tmp_path / "nowhere" / "store.db"), make=True)


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mysql://someone@somewhere/kl", "mysql is not a kind of store known here; known: a file name"),
        ("://", "is no URL of a database; known: a file name"),
    ],
)
def test_a_database_of_another_kind_is_refused(place: str, words: str) -> None:
    """The message names the kinds there are."""
    with pytest.raises(StoreError, match=words):
        Store(place)


def test_a_password_is_never_shown(request: pytest.FixtureRequest) -> None:
    """A server that cannot be reached is named in one line, without the secret of its URL."""
    request.getfixturevalue("postgresql")
    with pytest.raises(StoreError) as raised:
        Store("postgresql://someone:secret@127.0.0.1:1/kl")
    assert "postgresql+psycopg://someone:***@127.0.0.1:1/kl: " in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)
