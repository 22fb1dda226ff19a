"""Queries on the tables of the store."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, select

from kl_reports.runfile import bits
from kl_reports.runfile.environment import described, shared
from kl_reports.runfile.records import Column, Verdict
from kl_reports.store import rows
from kl_reports.store.history import StoredRun, StoredVerdict
from kl_reports.store.schema import COLUMNS, REQUIREMENTS, RESULTS, RUN_COLUMNS, RUNS, TEXTS
from kl_reports.versions import ABSENT, sorted_versions

COLUMN = tuple(COLUMNS.c[each.name] for each in fields(Column))


class ColumnVersion(NamedTuple):
    """A version of a column of a run: that of its package, or that of its framework if that is another package."""

    run: int
    column: int
    package: str
    version: str


def column_versions(connection: Connection, run: int | None = None) -> Iterator[ColumnVersion]:
    """Yield the versions of all columns, of one run or of all."""
    query = select(RUN_COLUMNS.c.run, COLUMNS, TEXTS.c.content).select_from(
        RUN_COLUMNS.join(COLUMNS, RUN_COLUMNS.c.column == COLUMNS.c.id)
        .join(RUNS, RUN_COLUMNS.c.run == RUNS.c.id)
        .join(TEXTS, RUNS.c.environment == TEXTS.c.id)
    )
    environments: dict[str, Mapping[str, str]] = {}
    for row in connection.execute(query if run is None else query.where(RUN_COLUMNS.c.run == run)):
        versions = {row.package: row.version}
        if row.content not in environments:
            environments[row.content] = shared(json.loads(row.content))
        if row.framework in environments[row.content]:
            versions.setdefault(row.framework, environments[row.content][row.framework])
        for package, version in versions.items():
            if version != ABSENT:
                yield ColumnVersion(row.run, row.id, package, version)


def stored_runs(connection: Connection) -> list[StoredRun]:
    """Return all runs in order of ingestion."""
    versions: dict[int, dict[str, set[str]]] = {}
    for each in column_versions(connection):
        versions.setdefault(each.run, {}).setdefault(each.package, set()).add(each.version)
    rows = connection.execute(
        select(RUNS, TEXTS.c.content).join(TEXTS, RUNS.c.environment == TEXTS.c.id).order_by(RUNS.c.id)
    )
    return [
        StoredRun(
            row.id,
            row.record,
            row.path,
            row.started,
            row.finished,
            row.suite,
            row.profile,
            int(row.seed),
            row.planned,
            row.cells,
            described(json.loads(row.content)),
            {package: tuple(sorted_versions(found)) for package, found in versions.get(row.id, {}).items()},
        )
        for row in rows
    ]


def stored_verdicts(connection: Connection, condition: ColumnElement[bool]) -> Iterator[StoredVerdict]:
    """Yield the cells that meet a condition, in order of ingestion."""
    detail, deviation = TEXTS.alias(), TEXTS.alias()
    found = connection.execute(
        select(
            *(REQUIREMENTS.c.name, REQUIREMENTS.c.revision, REQUIREMENTS.c.problems.label("problem_set")),
            *COLUMN,
            *(RESULTS.c.verdict, RESULTS.c.headroom, RESULTS.c.problems, RESULTS.c.run),
            *(RESULTS.c.fixed_problems, RESULTS.c.fixed_headroom, RESULTS.c.fixed_bits),
            *(detail.c.content.label("detail"), deviation.c.content.label("deviation")),
            *(RUNS.c.record, RUNS.c.started),
        )
        .select_from(
            RESULTS.join(REQUIREMENTS, RESULTS.c.requirement == REQUIREMENTS.c.id)
            .join(COLUMNS, RESULTS.c.column == COLUMNS.c.id)
            .join(RUNS, RESULTS.c.run == RUNS.c.id)
            .outerjoin(detail, RESULTS.c.detail == detail.c.id)
            .outerjoin(deviation, RESULTS.c.deviation == deviation.c.id)
        )
        .where(condition)
        .order_by(RESULTS.c.run, RESULTS.c.position)
    )
    for row in found:
        yield StoredVerdict(
            row.name,
            row.revision,
            row.problem_set,
            Column(*(getattr(row, each.name) for each in COLUMN)),
            Verdict[row.verdict],
            None if row.headroom is None else bits.to_float(row.headroom),
            row.problems,
            json.loads(row.detail or '""'),
            json.loads(row.deviation or "null"),
            rows.fixed(row.fixed_problems, row.fixed_headroom, row.fixed_bits),
            row.record[:12],
            row.run,
            row.started,
        )
