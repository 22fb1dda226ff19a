"""`db`: stores run files, lists them, shows histories, deletes unused data."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from kl_conformance.cli.options import output_format, runs, store
from kl_conformance.cli.output import FINE, cannot, table
from kl_reports.analysis.wording import LOOKS, count, listed, moment, one_line, used
from kl_reports.files import RunFileError
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.codec import plain
from kl_reports.runfile.file import run_files
from kl_reports.store.database import StoreError
from kl_reports.store.history import History, StoredRun, StoredVerdict
from kl_reports.store.store import Store


@click.command()
@runs
@store
def ingest(runs: tuple[Path, ...], store: str) -> int:
    """Store run files, or all run files of a folder; a file that is stored already changes nothing.

    Exit codes: 0 stored, 2 a file or the store could not be used.
    """
    code = FINE
    try:
        files = run_files(runs)
        with Store(store, make=True) as opened:
            for file in files:
                try:
                    record, new = opened.add(file)
                except RunFileError as error:  # the other files may be valid
                    code = cannot("db ingest", error)
                    continue
                print(f"{file}: run {record[:12]}{'' if new else ', stored already'}")
    except (RunFileError, StoreError) as error:
        return cannot("db ingest", error)
    return code


@click.command("list")
@click.argument("name", default="")
@store
@output_format("text", "json")
def list_(name: str, store: str, output_format: str) -> int:
    """List the runs of the store; with NAME, a run id or a version such as torch==2.12, the cells of that run."""
    return _print("list", store, lambda opened: _listed(opened, name, as_json=output_format == "json"))


@click.command()
@click.argument("cell", metavar="REQUIREMENT[@COLUMN]")
@store
@output_format("text", "json")
def history(cell: str, store: str, output_format: str) -> int:
    """Show the verdicts of a cell, or of a requirement in every column, over versions."""
    return _print("history", store, lambda opened: _history(opened, cell, as_json=output_format == "json"))


@click.command()
@click.option("--keep", type=click.IntRange(1), help="Keep only this many of the newest runs of each kind.")
@store
def gc(keep: int | None, store: str) -> int:
    """Delete the data that no stored run needs; with --keep, older runs first. Run files are not deleted."""

    def collect(opened: Store) -> Iterator[str]:
        if keep is not None:
            removed = opened.delete_older(keep)
            yield from (f"removed: run {each.id} of {one_line(each.path)}" for each in removed)
        yield f"deleted: {count(opened.delete_unused(), 'row')} that no stored run needs"

    return _print("gc", store, collect)


def _print(command: str, store: str, query: Callable[[Store], Iterable[str]]) -> int:
    try:
        with Store(store) as opened:
            lines = list(query(opened))
    except StoreError as error:
        return cannot(f"db {command}", error)
    print("\n".join(lines))
    return FINE


def _listed(store: Store, name: str, *, as_json: bool) -> Iterator[str]:
    if name:
        cells = store.cells(name)
        rows = [(*_verdict(each), one_line(each.cell)) for each in cells]
        yield _json(map(_verdict_data, cells)) if as_json else table(rows)
        return
    entries = store.runs()
    if as_json:
        yield _json(map(asdict, entries))
    elif entries:
        yield table([_row(each) for each in entries])
        yield "Next: kl-conformance db list RUN, or kl-conformance db history REQUIREMENT"
    else:
        yield "the store is empty: kl-conformance db ingest RUN…"


def _history(store: Store, cell: str, *, as_json: bool) -> Iterator[str]:
    cell_id = CellId.parse(cell)
    only: dict[str, str] = {}
    if cell_id.column:
        column = store.column(cell_id.column)
        only = {name: getattr(column, name) for name in ("implementation", "device", "dtype", "mode")}
    found = store.history(cell_id.requirement, **only)
    if as_json:
        yield _json(map(_history_data, found))
        return
    for each in found:
        yield f"{_heading(each)}: {each.sentence}"
        yield table(
            [
                (f"  {one_line(x.column.version)}", *_verdict(x), f"run {x.run}", moment(one_line(x.started)))
                for x in each.verdicts
            ]
        )


def _heading(history: History) -> str:
    newest = history.verdicts[-1]
    column = newest.column
    place = " ".join((column.implementation, column.device, column.dtype, column.mode))
    problems = f", problems {newest.problem_set[:8]}" if newest.problem_set else ""
    return one_line(f"{newest.requirement} (revision {newest.revision}{problems}) on {place}")


def _verdict(judgement: StoredVerdict) -> tuple[str, str]:
    look = LOOKS[judgement.verdict]
    return look.glyph, ", ".join(filter(None, (look.word, used(judgement.headroom))))


def _row(entry: StoredRun) -> tuple[str, ...]:
    versions = listed([f"{name} {' '.join(tested)}" for name, tested in entry.versions.items()])
    cells = count(entry.cells, "cell") + ("" if entry.finished else ", cut off")
    row = (entry.id, moment(entry.started), entry.profile, cells, versions, entry.path)
    return tuple(map(one_line, row))


def _verdict_data(judgement: StoredVerdict) -> dict[str, Any]:
    return {"cell": judgement.cell, **asdict(judgement), "verdict": judgement.verdict.name}


def _history_data(history: History) -> dict[str, Any]:
    return {
        "sentence": history.sentence,
        "first_failed": history.first_failed.column.version if history.first_failed else None,
        "transitions": [[old.column.version, new.column.version] for old, new in history.transitions],
        "verdicts": list(map(_verdict_data, history.verdicts)),
    }


def _json(found: Iterable[dict[str, Any]]) -> str:
    return json.dumps(plain(list(found)), indent=1)
