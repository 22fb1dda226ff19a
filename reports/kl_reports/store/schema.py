"""Tables of the store."""

import json
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)

SCHEMA = 3  # to be increased with every change of a table: a store of another schema is not read
TABLES = MetaData()


class Plain(TypeDecorator[str]):
    """ASCII text with JSON escapes, because databases reject NUL and unpaired surrogates."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Return the text as stored."""
        del dialect
        return None if value is None else escaped(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:
        """Return the text as given."""
        del dialect
        return value if value is None or "\\" not in value else str(json.loads(f'"{value}"'))


def escaped(text: str) -> str:
    """Return a text as :class:`Plain` stores it."""
    return json.dumps(text)[1:-1]


def _number(name: str, *more: Any, **options: Any) -> Column[int]:
    return Column(name, Integer, *more, nullable=False, **options)


def _text(name: str) -> Column[str]:
    return Column(name, Plain, nullable=False)


STORE = Table("kl_store", TABLES, _number("schema", primary_key=True, autoincrement=False))

# Each text once, as JSON in ASCII: details, budgets, witnesses, parts of headers.
TEXTS = Table(
    "kl_text",
    TABLES,
    _number("id", primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(16), nullable=False, unique=True),
    Column("content", Text, nullable=False),
)

# The rows of this table and the next are unique: only one process writes at a time, and it reads them first.
REQUIREMENTS = Table(
    "kl_requirement",
    TABLES,
    _number("id", primary_key=True, autoincrement=False),
    _text("name"),
    Column("revision", BigInteger, nullable=False),
    _text("problems"),  # hash of the problem set; empty in older run files
)

COLUMNS = Table(
    "kl_column",
    TABLES,
    _number("id", primary_key=True, autoincrement=False),
    _text("key"),
    _text("implementation"),
    _text("framework"),
    _text("package"),
    _text("version"),
    _text("device"),
    _text("dtype"),
    _text("mode"),
)

RUNS = Table(
    "kl_run",
    TABLES,
    _number("id", primary_key=True, autoincrement=False),  # in order of ingestion
    Column("record", Text, nullable=False, unique=True),  # hash of the run file's lines
    _text("path"),
    _text("started"),
    Column("finished", Plain),
    _text("suite"),
    _text("profile"),
    _text("seed"),
    _text("format"),
    _number("planned"),
    _number("cells"),
    _number("environment"),
    _number("requirements"),
    _number("implementations"),
    _number("guide"),
    _number("remarks"),
    Column("cut_off", Integer),  # NULL if no file was cut off
)

# The columns of a run's header, in order.
RUN_COLUMNS = Table(
    "kl_asked",
    TABLES,
    _number("run", ForeignKey(RUNS.c.id), primary_key=True),
    _number("position", primary_key=True),
    _number("column", ForeignKey(COLUMNS.c.id)),
    sqlite_with_rowid=False,
)

# IEEE values are bit patterns; detail to spread and explanation to last_call are ids of texts.
RESULTS = Table(
    "kl_result",
    TABLES,
    _number("run", ForeignKey(RUNS.c.id), primary_key=True),
    _number("position", primary_key=True),
    _number("requirement", ForeignKey(REQUIREMENTS.c.id)),
    _number("column", ForeignKey(COLUMNS.c.id)),
    Column("verdict", Text, nullable=False),
    Column("seconds", Text, nullable=False),
    Column("headroom", Text),
    Column("problems", BigInteger, nullable=False),
    Column("detail", Integer),
    Column("budget", Integer),
    Column("deviation", Integer),
    Column("witness", Integer),
    Column("spread", Integer),
    Column("fixed_problems", BigInteger),
    Column("fixed_headroom", Text),
    Column("fixed_bits", Plain),
    Column("kind", Text),
    Column("explanation", Integer),
    Column("happened", Integer),
    Column("last_call", Integer),
    Column("absence", Text),
    Index("kl_result_of_cell", "requirement", "column"),
    sqlite_with_rowid=False,
)
