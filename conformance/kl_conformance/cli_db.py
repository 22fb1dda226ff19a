"""The verbs of the store: `db ingest`, `list`, `history` and `gc`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from kl_conformance.verbs import Verbs

STORE = "kl-conformance.db"
VARIABLE = "KL_CONFORMANCE_STORE"

Verb = Callable[..., Any]


def store(verb: Verb) -> Verb:
    """Give a verb the option that says which store is meant."""
    return click.option(
        "--store",
        "place",
        default=STORE,
        envvar=VARIABLE,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="An SQLite file, or postgresql+psycopg://USER@HOST/DATABASE.",
    )(verb)


def form(verb: Verb) -> Verb:
    """Give a verb the option that says how its findings are printed."""
    return click.option(
        "--format",
        "form",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        help="How it is printed.",
    )(verb)


@click.group(cls=Verbs)
def db() -> None:
    """The store, an index of run files: ingest some, list them, ask for a cell's history, tidy up."""


@db.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@store
def ingest(runs: tuple[Path, ...], place: str) -> None:
    """Ingest run files, or all of a folder; one that is in the store already changes nothing."""
    from kl_conformance.storing import ingest as start

    sys.exit(start(place, runs))


@db.command("list")
@click.argument("name", default="")
@store
@form
def list_(name: str, place: str, form: str) -> None:
    """List the runs of the store; with NAME, the id of a run or a version such as torch==2.12, its cells."""
    from kl_conformance.storing import list_runs as start

    sys.exit(start(place, name, form))


@db.command()
@click.argument("cell", metavar="REQUIREMENT[@COLUMN]")
@store
@form
def history(cell: str, place: str, form: str) -> None:
    """Say what became of a cell, or of a requirement in every column, over versions and since when it is broken."""
    from kl_conformance.storing import history as start

    sys.exit(start(place, cell, form))


@db.command()
@click.option(
    "--keep", type=click.IntRange(1), default=None, help="Forget all but so many of the newest runs alike."
)
@store
def gc(keep: int | None, place: str) -> None:
    """Give back the room of what no run needs; with --keep, forget older runs first. Run files stay."""
    from kl_conformance.storing import gc as start

    sys.exit(start(place, keep))
