"""A run as rows of a store's tables, and back."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, insert, select, union

from kl_reports.runfile import bits as bit_patterns
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.codec import decode, encode, plain
from kl_reports.runfile.distribution import ErrorDistribution
from kl_reports.runfile.records import Absence, Column, CutOff, Fixed, Header, Kind, Result, Run, Verdict
from kl_reports.store.interning import Texts, greatest, numbers, pour
from kl_reports.store.schema import ASKED, COLUMNS, REQUIREMENTS, RESULTS, RUNS, TEXTS, escaped

T = TypeVar("T")

_FIRST = 5  # so many texts of a result stand before the other columns, the rest after them

_SAID = tuple(
    RESULTS.c[name]
    for name in (
        *("detail", "budget", "deviation", "witness", "spread"),
        *("explanation", "happened", "last_call"),
    )
)
_HEADS = tuple(
    RUNS.c[name] for name in ("environment", "requirements", "implementations", "guide", "remarks", "cut_off")
)


def put(connection: Connection, record: str, path: str, run: Run) -> int:
    """Insert a run and return its number; the caller holds the store's only right to write."""
    header = run.header
    texts = Texts()
    heads = {
        "environment": texts.add(plain(header.environment)),
        "requirements": texts.add(plain(header.requirements)),
        "implementations": texts.add(plain(header.implementations)),
        "guide": texts.add(plain(header.guide)),
        "remarks": texts.add(run.remarks),
        "cut_off": texts.add([encode(each) for each in run.cut_off]) if run.cut_off else None,
    }
    said = [_said(texts, result) for result in run.results]
    stored = texts.stored(connection)
    columns = _columns(connection, run)
    requirements = _requirements(connection, run)
    this = greatest(connection, RUNS) + 1
    connection.execute(
        insert(RUNS).values(
            id=this,
            record=record,
            path=path,
            started=header.started,
            finished=run.finished,
            suite=header.suite,
            profile=header.profile,
            seed=str(header.seed),
            format=header.format,
            planned=len(header.planned),
            cells=len(run.results),
            **{name: stored[content] for name, content in heads.items()},
        )
    )
    pour(connection, ASKED, ((this, place, columns[key]) for place, key in enumerate(header.columns)))
    pour(
        connection,
        RESULTS,
        (
            (
                this,
                place,
                requirements[result.requirement, result.revision],
                columns[result.column],
                result.verdict.name,
                bit_patterns.encode(result.seconds),
                _bits(result.headroom),
                result.problems,
                *(stored[content] for content in words[:_FIRST]),
                *_fixed(result.fixed),
                None if result.kind is None else result.kind.name,
                *(stored[content] for content in words[_FIRST:]),
                None if result.absence is None else result.absence.name,
            )
            for place, (result, words) in enumerate(zip(run.results, said, strict=True))
        ),
    )
    return this


def get(connection: Connection, this: int) -> Run:
    """Return the run of a number, as it was read from its file."""
    row = connection.execute(select(RUNS).where(RUNS.c.id == this)).one()
    heads = _contents(
        connection, select(TEXTS).where(TEXTS.c.id.in_([getattr(row, each.name) for each in _HEADS]))
    )
    environment, requirements, implementations, guide, remarks, cut_off = (
        heads.get(getattr(row, each.name), ()) for each in _HEADS
    )
    results = tuple(_results(connection, this))
    asked = connection.execute(
        select(COLUMNS)
        .join(ASKED, ASKED.c.column == COLUMNS.c.id)
        .where(ASKED.c.run == this)
        .order_by(ASKED.c.position)
    )
    header = Header(
        started=row.started,
        suite=row.suite,
        profile=row.profile,
        seed=int(row.seed),
        environment=environment,
        requirements=requirements,
        implementations=implementations,
        columns={
            each.key: Column(
                each.implementation, each.framework, each.version, each.device, each.dtype, each.mode
            )
            for each in asked
        },
        planned=tuple(result.cell for result in results[: row.planned]),
        guide=guide,
        format=row.format,
    )
    cut = tuple(decode(CutOff, each) for each in cut_off)
    return Run(header, results, row.finished, tuple(remarks), cut)


def sweep(connection: Connection) -> Iterator[int]:
    """Delete what no run needs any more, and give the number of rows of each kind."""
    needed = {
        COLUMNS: [RESULTS.c.column, ASKED.c.column],
        REQUIREMENTS: [RESULTS.c.requirement],
        TEXTS: [*_HEADS, *_SAID],
    }
    for table, places in needed.items():
        used = union(*(select(each).where(each.is_not(None)) for each in places))
        yield connection.execute(delete(table).where(table.c.id.not_in(used))).rowcount


def _said(texts: Texts, result: Result) -> tuple[str | None, ...]:
    return (
        texts.again(result.detail) if result.detail else None,
        texts.add([encode(item) for item in result.budget]) if result.budget else None,
        None if result.deviation is None else texts.again(result.deviation),
        None if result.witness is None else texts.add(result.witness),
        None if result.spread is None else texts.add(encode(result.spread)),
        *(
            texts.again(each) if each else None
            for each in (result.explanation, result.happened, result.last_call)
        ),
    )


def _results(connection: Connection, this: int) -> Iterator[Result]:
    mine = RESULTS.c.run == this
    rows = connection.execute(select(RESULTS).where(mine).order_by(RESULTS.c.position)).all()
    requirements = _named(connection, REQUIREMENTS, RESULTS.c.requirement, mine)
    columns = _named(connection, COLUMNS, RESULTS.c.column, mine)
    texts = _contents(
        connection, select(TEXTS).where(TEXTS.c.id.in_(union(*(select(each).where(mine) for each in _SAID))))
    )
    detail: _DescribedRun[str] = _DescribedRun(texts, str)
    budget: _DescribedRun[tuple[BudgetItem, ...]] = _DescribedRun(texts, _budget)
    deviation: _DescribedRun[str] = _DescribedRun(texts, str)
    witness: _DescribedRun[dict[str, Any]] = _DescribedRun(texts, dict)
    spread: _DescribedRun[ErrorDistribution] = _DescribedRun(texts, partial(decode, ErrorDistribution))
    for row in rows:
        _, _, requirement, column, verdict, seconds, headroom, problems, *rest = row
        *said, asked, most, bits, kind, explanation, happened, last_call, absence = rest
        name, revision = requirements[requirement]
        yield Result(
            name,
            revision,
            columns[column][0],
            Verdict[verdict],
            detail[said[0]] or "",
            None if headroom is None else bit_patterns.real(headroom),
            budget[said[1]] or (),
            problems,
            witness[said[3]],
            deviation[said[2]],
            bit_patterns.real(seconds),
            spread[said[4]],
            fixed(asked, most, bits),
            kind=None if kind is None else Kind[kind],
            explanation=detail[explanation] or "",
            happened=detail[happened] or "",
            last_call=detail[last_call] or "",
            absence=None if absence is None else Absence[absence],
        )


def _bits(value: float | None) -> str | None:
    return None if value is None else bit_patterns.encode(value)


def _fixed(fixed: Fixed | None) -> tuple[int | None, str | None, str | None]:
    if fixed is None:
        return None, None, None
    return fixed.problems, _bits(fixed.headroom), escaped(fixed.bits)


def fixed(problems: int | None, headroom: str | None, bits: str | None) -> Fixed | None:
    """Return what a cell gave on the fixed problems, from the three columns that keep it."""
    if problems is None or bits is None:
        return None
    return Fixed(problems, None if headroom is None else bit_patterns.real(headroom), bits)


class _DescribedRun(dict[int | None, T | None]):
    """What texts say, by their number: each is read once, and nothing where there is none."""

    def __init__(self, texts: Mapping[int, Any], read: Callable[[Any], T]) -> None:
        super().__init__({None: None})
        self._texts = texts
        self._read = read

    def __missing__(self, place: int | None) -> T | None:
        assert place is not None
        self[place] = told = self._read(self._texts[place])
        return told


def _named(
    connection: Connection, table: Table, place: ColumnElement[Any], mine: ColumnElement[bool]
) -> dict[int, tuple[Any, ...]]:
    found = connection.execute(select(table).where(table.c.id.in_(select(place).where(mine).distinct())))
    return {row[0]: tuple(row[1:3]) for row in found}


def _contents(connection: Connection, texts: Select[Any]) -> dict[int, Any]:
    found = connection.execute(texts).all()
    # One JSON text of them all is read sooner than each by itself.
    values = json.loads(f"[{','.join(row.content for row in found)}]")
    return dict(zip((row.id for row in found), values, strict=True))


def _budget(items: list[Any]) -> tuple[BudgetItem, ...]:
    return tuple(decode(BudgetItem, each) for each in items)


def _columns(connection: Connection, run: Run) -> dict[str, int]:
    """Return the number of every column of a run by its key, those that its header does not describe included."""
    wanted = {result.column: (result.column, *[""] * 7) for result in run.results}
    for key, column in run.header.columns.items():
        told = run.header.implementations.get(column.implementation, {})
        wanted[key] = (
            key,
            column.implementation,
            column.framework,
            told.get("package", column.framework),
            column.version,
            column.device,
            column.dtype,
            column.mode,
        )
    known = numbers(connection, COLUMNS, set(wanted.values()))
    return {key: known[row] for key, row in wanted.items()}


def _requirements(connection: Connection, run: Run) -> dict[tuple[str, int], int]:
    wanted = dict[tuple[str, int], tuple[str, int, str]]()
    for result in run.results:
        asked = result.requirement, result.revision
        if asked not in wanted:
            problems = run.header.requirements.get(result.requirement, {}).get("problems", "")
            wanted[asked] = (*asked, problems if isinstance(problems, str) else "")
    known = numbers(connection, REQUIREMENTS, set(wanted.values()))
    return {asked: known[row] for asked, row in wanted.items()}
