"""Converts a run to rows of the store's tables and back."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, fields
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Select, Table, delete, insert, select, union

from kl_reports.runfile import bits
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.codec import decode, encode, plain
from kl_reports.runfile.distribution import ErrorDistribution
from kl_reports.runfile.records import Absence, Column, CutOff, Fixed, Header, Kind, Result, Run, Verdict
from kl_reports.store.interning import Texts, bulk_insert, max_id, row_ids
from kl_reports.store.schema import COLUMNS, REQUIREMENTS, RESULTS, RUN_COLUMNS, RUNS, TEXTS, escaped

T = TypeVar("T")

_HEADER_TEXTS = tuple(
    RUNS.c[name] for name in ("environment", "requirements", "implementations", "guide", "remarks", "cut_off")
)
_RESULT_TEXTS = tuple(
    RESULTS.c[name]
    for name in (*("detail", "budget", "deviation", "witness", "spread"), *("explanation", "happened", "last_call"))
)
_FIRST_TEXTS = 5  # detail to spread precede the columns fixed_problems to kind, the other texts follow them


def put(connection: Connection, record: str, path: str, run: Run) -> int:
    """Insert a run and return its number; the connection must be the only one that writes."""
    header = run.header
    texts = Texts()
    header_texts = {
        "environment": texts.add(plain(header.environment)),
        "requirements": texts.add(plain(header.requirements)),
        "implementations": texts.add(plain(header.implementations)),
        "guide": texts.add(plain(header.guide)),
        "remarks": texts.add(run.remarks),
        "cut_off": texts.add(_encoded_items(run.cut_off)) if run.cut_off else None,
    }
    result_texts = [_result_texts(texts, result) for result in run.results]
    text_ids = texts.store(connection)
    columns = _column_ids(connection, run)
    requirements = _requirement_ids(connection, run)
    number = max_id(connection, RUNS) + 1
    connection.execute(
        insert(RUNS).values(
            id=number,
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
            **{name: text_ids[content] for name, content in header_texts.items()},
        )
    )
    bulk_insert(
        connection, RUN_COLUMNS, ((number, position, columns[key]) for position, key in enumerate(header.columns))
    )
    bulk_insert(
        connection,
        RESULTS,
        (
            (
                number,
                position,
                requirements[result.requirement, result.revision],
                columns[result.column],
                result.verdict.name,
                bits.encode(result.seconds),
                _encoded(result.headroom),
                result.problems,
                *(text_ids[content] for content in contents[:_FIRST_TEXTS]),
                *_fixed_values(result.fixed),
                None if result.kind is None else result.kind.name,
                *(text_ids[content] for content in contents[_FIRST_TEXTS:]),
                None if result.absence is None else result.absence.name,
            )
            for position, (result, contents) in enumerate(zip(run.results, result_texts, strict=True))
        ),
    )
    return number


def get(connection: Connection, number: int) -> Run:
    """Return a run by its number, equal to the run read from its file."""
    row = connection.execute(select(RUNS).where(RUNS.c.id == number)).one()
    texts = _texts(connection, select(TEXTS).where(TEXTS.c.id.in_([getattr(row, each.name) for each in _HEADER_TEXTS])))
    environment, requirements, implementations, guide, remarks, cut_off = (
        texts.get(getattr(row, each.name), ()) for each in _HEADER_TEXTS
    )
    results = tuple(_results(connection, number))
    columns = connection.execute(
        select(COLUMNS)
        .join(RUN_COLUMNS, RUN_COLUMNS.c.column == COLUMNS.c.id)
        .where(RUN_COLUMNS.c.run == number)
        .order_by(RUN_COLUMNS.c.position)
    )
    header = Header(
        started=row.started,
        suite=row.suite,
        profile=row.profile,
        seed=int(row.seed),
        environment=environment,
        requirements=requirements,
        implementations=implementations,
        columns={row.key: Column(*(getattr(row, each.name) for each in fields(Column))) for row in columns},
        planned=tuple(result.cell for result in results[: row.planned]),
        guide=guide,
        format=row.format,
    )
    return Run(header, results, row.finished, tuple(remarks), tuple(decode(CutOff, each) for each in cut_off))


def delete_unused(connection: Connection) -> Iterator[int]:
    """Delete the columns, requirements and texts that no run uses; yield the number of rows of each."""
    references = {
        COLUMNS: [RESULTS.c.column, RUN_COLUMNS.c.column],
        REQUIREMENTS: [RESULTS.c.requirement],
        TEXTS: [*_HEADER_TEXTS, *_RESULT_TEXTS],
    }
    for table, places in references.items():
        used = union(*(select(each).where(each.is_not(None)) for each in places))
        yield connection.execute(delete(table).where(table.c.id.not_in(used))).rowcount


def _result_texts(texts: Texts, result: Result) -> tuple[str | None, ...]:
    return (
        texts.add_repeated(result.detail) if result.detail else None,
        _budget_text(texts, result.budget) if result.budget else None,
        None if result.deviation is None else texts.add_repeated(result.deviation),
        None if result.witness is None else texts.add(result.witness),
        None if result.spread is None else texts.add(encode(result.spread)),
        *(
            texts.add_repeated(each) if each else None
            for each in (result.explanation, result.happened, result.last_call)
        ),
    )


def _budget_text(texts: Texts, budget: tuple[BudgetItem, ...]) -> str:
    if all(item.amount for item in budget):
        return texts.add_repeated(budget, _encoded_items)
    return texts.add(_encoded_items(budget))  # 0.0 and -0.0 are equal as keys


def _encoded_items(items: Iterable[BudgetItem | CutOff]) -> list[dict[str, Any]]:
    return [encode(each) for each in items]


def _results(connection: Connection, number: int) -> Iterator[Result]:
    of_run = RESULTS.c.run == number
    rows = connection.execute(select(RESULTS).where(of_run).order_by(RESULTS.c.position)).all()
    requirements = _referenced(connection, REQUIREMENTS, RESULTS.c.requirement, of_run)
    columns = _referenced(connection, COLUMNS, RESULTS.c.column, of_run)
    used = union(*(select(each).where(of_run) for each in _RESULT_TEXTS))
    texts = _texts(connection, select(TEXTS).where(TEXTS.c.id.in_(used)))
    text: _Decoded[str] = _Decoded(texts, str)
    budgets: _Decoded[tuple[BudgetItem, ...]] = _Decoded(texts, _budget)
    witnesses: _Decoded[dict[str, Any]] = _Decoded(texts, dict)
    spreads: _Decoded[ErrorDistribution] = _Decoded(texts, partial(decode, ErrorDistribution))
    for row in rows:
        _, _, requirement, column, verdict, seconds, headroom, problems, *rest = row
        detail, budget, deviation, witness, spread, *rest = rest
        fixed_problems, fixed_headroom, fixed_bits, kind, explanation, happened, last_call, absence = rest
        name, revision = requirements[requirement]
        yield Result(
            name,
            revision,
            columns[column][0],
            Verdict[verdict],
            text[detail] or "",
            None if headroom is None else bits.to_float(headroom),
            budgets[budget] or (),
            problems,
            witnesses[witness],
            text[deviation],
            bits.to_float(seconds),
            spreads[spread],
            fixed(fixed_problems, fixed_headroom, fixed_bits),
            kind=None if kind is None else Kind[kind],
            explanation=text[explanation] or "",
            happened=text[happened] or "",
            last_call=text[last_call] or "",
            absence=None if absence is None else Absence[absence],
        )


def _encoded(value: float | None) -> str | None:
    return None if value is None else bits.encode(value)


def _fixed_values(fixed: Fixed | None) -> tuple[int | None, str | None, str | None]:
    if fixed is None:
        return None, None, None
    return fixed.problems, _encoded(fixed.headroom), escaped(fixed.bits)


def fixed(problems: int | None, headroom: str | None, digest: str | None) -> Fixed | None:
    """Return the outputs on the fixed problems from their three columns."""
    if problems is None or digest is None:
        return None
    return Fixed(problems, None if headroom is None else bits.to_float(headroom), digest)


class _Decoded(dict[int | None, T | None]):
    """Decoded texts by id, each decoded once; None for None."""

    def __init__(self, texts: Mapping[int, Any], decode: Callable[[Any], T]) -> None:
        super().__init__({None: None})
        self._texts = texts
        self._decode = decode

    def __missing__(self, number: int | None) -> T | None:
        assert number is not None
        self[number] = value = self._decode(self._texts[number])
        return value


def _referenced(
    connection: Connection, table: Table, reference: ColumnElement[Any], of_run: ColumnElement[bool]
) -> dict[int, tuple[Any, ...]]:
    """Return the first two columns of the rows that results of a run refer to, by id."""
    ids = select(reference).where(of_run).distinct()
    return {row[0]: tuple(row[1:3]) for row in connection.execute(select(table).where(table.c.id.in_(ids)))}


def _texts(connection: Connection, query: Select[Any]) -> dict[int, Any]:
    rows = connection.execute(query).all()
    values = json.loads(f"[{','.join(row.content for row in rows)}]")  # faster than one by one
    return dict(zip((row.id for row in rows), values, strict=True))


def _budget(items: list[Any]) -> tuple[BudgetItem, ...]:
    return tuple(decode(BudgetItem, each) for each in items)


def _column_ids(connection: Connection, run: Run) -> dict[str, int]:
    """Return the id of every column of a run by its key, including columns that the header lacks."""
    rows = {result.column: (result.column, *[""] * 7) for result in run.results}
    for key, column in run.header.columns.items():
        implementation = run.header.implementations.get(column.implementation, {})
        package = implementation.get("package", column.framework)
        name, framework, *others = astuple(column)
        rows[key] = (key, name, framework, package, *others)
    ids = row_ids(connection, COLUMNS, set(rows.values()))
    return {key: ids[row] for key, row in rows.items()}


def _requirement_ids(connection: Connection, run: Run) -> dict[tuple[str, int], int]:
    rows = dict[tuple[str, int], tuple[str, int, str]]()
    for result in run.results:
        key = result.requirement, result.revision
        if key not in rows:
            problems = run.header.requirements.get(result.requirement, {}).get("problems", "")
            rows[key] = (*key, problems if isinstance(problems, str) else "")
    ids = row_ids(connection, REQUIREMENTS, set(rows.values()))
    return {key: ids[row] for key, row in rows.items()}
