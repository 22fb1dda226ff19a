"""`db`: run files put into a store, and what the store tells of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kl_conformance.cli.options import Commands, form, store
from kl_conformance.cli.output import FINE, cannot, table
from kl_reports.analysis.wording import LOOKS, count, listed, moment, one_line, used
from kl_reports.files import RunFileError
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.codec import plain
from kl_reports.runfile.file import run_files
from kl_reports.store.database import StoreError
from kl_reports.store.history import History, StoredRun, StoredVerdict
from kl_reports.store.store import Store


def ingest_files(place: str, places: Sequence[Path]) -> int:
    """Put run files into a store, each of them whole; 0, or 2 when the store or one of the files cannot be used."""
    code = FINE
    try:
        files = run_files(places)
        with Store(place, make=True) as store:
            for file in files:
                try:
                    record, fresh = store.add(file)
                except RunFileError as error:  # the others may be fine
                    code = cannot("db ingest", error)
                    continue
                print(f"{file}: run {record[:12]}{'' if fresh else ', which the store has already'}")
    except (RunFileError, StoreError) as error:
        return cannot("db ingest", error)
    return code


def list_runs(place: str, name: str, form: str) -> int:
    """Print the runs of a store, or the cells of one run or version; 0, or 2 when there is no such thing."""
    return _asked("list", place, lambda store: _listed(store, name, form))


def print_history(place: str, cell: str, form: str) -> int:
    """Print what became of a cell or a requirement over versions; 0, or 2 when it is not known."""
    return _asked("history", place, lambda store: _told(store, cell, form))


def collect_garbage(place: str, keep: int | None) -> int:
    """Give back the room of what no run needs, and forget older runs before where ``keep`` says so; 0, or 2."""

    def tidy(store: Store) -> Iterator[str]:
        if keep is not None:
            gone = store.keep(keep)
            yield from (f"run {each.id} is forgotten; its file: {one_line(each.path)}" for each in gone)
        yield f"given back: {count(store.sweep(), 'row')} that no run needed any more"

    return _asked("gc", place, tidy)


def _asked(verb: str, place: str, tell: Callable[[Store], Iterable[str]]) -> int:
    try:
        with Store(place) as store:
            lines = list(tell(store))
    except StoreError as error:
        return cannot(f"db {verb}", error)
    print("\n".join(lines))
    return FINE


def _listed(store: Store, name: str, form: str) -> Iterator[str]:
    if name:
        cells = store.cells(name)
        rows = [(*_verdict(each), one_line(each.cell)) for each in cells]
        yield _json(map(_judgement, cells)) if form == "json" else table(rows)
        return
    entries = store.entries()
    if form == "json":
        yield _json(map(asdict, entries))
    elif entries:
        yield table([_row(each) for each in entries])
        yield "Next: kl-conformance db list RUN, or kl-conformance db history REQUIREMENT"
    else:
        yield "the store is empty: kl-conformance db ingest RUN…"


def _told(store: Store, cell: str, form: str) -> Iterator[str]:
    own = CellId.parse(cell)
    only: dict[str, str] = {}
    if own.column:
        column = store.column(own.column)
        only = {name: getattr(column, name) for name in ("implementation", "device", "dtype", "mode")}
    found = store.history(own.requirement, **only)
    if form == "json":
        yield _json(map(_history, found))
        return
    for each in found:
        yield f"{_heading(each)}: {each.sentence}"
        yield table(
            [
                (
                    f"  {one_line(one.column.version)}",
                    *_verdict(one),
                    f"run {one.run}",
                    moment(one_line(one.started)),
                )
                for one in each.judgements
            ]
        )


def _heading(history: History) -> str:
    newest = history.judgements[-1]
    column = newest.column
    place = " ".join((column.implementation, column.device, column.dtype, column.mode))
    problems = f", problems {newest.problem_set[:8]}" if newest.problem_set else ""
    return one_line(f"{newest.requirement} (revision {newest.revision}{problems}) on {place}")


def _verdict(judgement: StoredVerdict) -> tuple[str, str]:
    look = LOOKS[judgement.verdict]
    return look.glyph, ", ".join(filter(None, (look.word, used(judgement.headroom))))


def _row(entry: StoredRun) -> tuple[str, ...]:
    versions = listed([f"{name} {' '.join(borne)}" for name, borne in entry.versions.items()])
    cells = count(entry.cells, "cell") + ("" if entry.finished else ", cut off")
    told = (entry.id, moment(entry.started), entry.profile, cells, versions, entry.path)
    return tuple(map(one_line, told))


def _judgement(judgement: StoredVerdict) -> dict[str, Any]:
    return {"cell": judgement.cell, **asdict(judgement), "verdict": judgement.verdict.name}


def _history(history: History) -> dict[str, Any]:
    return {
        "sentence": history.sentence,
        "first_bad": history.first_bad.column.version if history.first_bad else None,
        "turns": [[old.column.version, new.column.version] for old, new in history.turns],
        "judgements": list(map(_judgement, history.judgements)),
    }


def _json(found: Iterable[dict[str, Any]]) -> str:
    return json.dumps(plain(list(found)), indent=1)


@click.group(cls=Commands)
def db() -> None:
    """The store, an index of run files: ingest some, list them, ask for a cell's history, tidy up."""


@db.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@store
def ingest(runs: tuple[Path, ...], place: str) -> None:
    """Ingest run files, or all of a folder; one that is in the store already changes nothing."""
    sys.exit(ingest_files(place, runs))


@db.command("list")
@click.argument("name", default="")
@store
@form
def list_(name: str, place: str, form: str) -> None:
    """List the runs of the store; with NAME, the id of a run or a version such as torch==2.12, its cells."""
    sys.exit(list_runs(place, name, form))


@db.command()
@click.argument("cell", metavar="REQUIREMENT[@COLUMN]")
@store
@form
def history(cell: str, place: str, form: str) -> None:
    """Say what became of a cell, or of a requirement in every column, over versions and since when it is broken."""
    sys.exit(print_history(place, cell, form))


@db.command()
@click.option(
    "--keep", type=click.IntRange(1), default=None, help="Forget all but so many of the newest runs alike."
)
@store
def gc(keep: int | None, place: str) -> None:
    """Give back the room of what no run needs; with --keep, forget older runs first. Run files stay."""
    sys.exit(collect_garbage(place, keep))
