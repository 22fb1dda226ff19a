"""What is asked of a store's tables."""

from __future__ import annotations

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
from kl_reports.store.schema import ASKED, COLUMNS, REQUIREMENTS, RESULTS, RUNS, TEXTS
from kl_reports.versions import ABSENT, ordered

COLUMN = tuple(COLUMNS.c[each.name] for each in fields(Column))


class ConfirmedDeviation(NamedTuple):
    """A version that a column of a run bears: its package's, and its framework's where that is another."""

    run: int
    column: int
    package: str
    version: str


def confirmed_deviations(connection: Connection, run: int | None = None) -> Iterator[ConfirmedDeviation]:
    """Give every version that columns bear, of all runs or of one."""
    asked_of = select(ASKED.c.run, COLUMNS, TEXTS.c.content).select_from(
        ASKED.join(COLUMNS, ASKED.c.column == COLUMNS.c.id)
        .join(RUNS, ASKED.c.run == RUNS.c.id)
        .join(TEXTS, RUNS.c.environment == TEXTS.c.id)
    )
    environments: dict[str, Mapping[str, str]] = {}
    for row in connection.execute(asked_of if run is None else asked_of.where(ASKED.c.run == run)):
        versions = {row.package: row.version}
        if row.content not in environments:
            environments[row.content] = shared(json.loads(row.content))
        if row.framework in environments[row.content]:
            versions.setdefault(row.framework, environments[row.content][row.framework])
        for package, version in versions.items():
            if version != ABSENT:
                yield ConfirmedDeviation(row.run, row.id, package, version)


def entries(connection: Connection) -> list[StoredRun]:
    """Return every run, as they were ingested."""
    versions: dict[int, dict[str, set[str]]] = {}
    for each in confirmed_deviations(connection):
        versions.setdefault(each.run, {}).setdefault(each.package, set()).add(each.version)
    found = connection.execute(
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
            {
                package: tuple(ordered(confirmed_deviations))
                for package, confirmed_deviations in versions.get(row.id, {}).items()
            },
        )
        for row in found
    ]


def judgements(connection: Connection, mine: ColumnElement[bool]) -> Iterator[StoredVerdict]:
    """Give the cells for which a condition holds, in the order of ingestion."""
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
        .where(mine)
        .order_by(RESULTS.c.run, RESULTS.c.position)
    )
    for row in found:
        yield StoredVerdict(
            row.name,
            row.revision,
            row.problem_set,
            Column(*(getattr(row, each.name) for each in COLUMN)),
            Verdict[row.verdict],
            None if row.headroom is None else bits.real(row.headroom),
            row.problems,
            json.loads(row.detail or '""'),
            json.loads(row.deviation or "null"),
            rows.fixed(row.fixed_problems, row.fixed_headroom, row.fixed_bits),
            row.record[:12],
            row.run,
            row.started,
        )
