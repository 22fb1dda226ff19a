"""Options and arguments shared by commands."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

SEED = "KL_CONFORMANCE_SEED"  # environment variable: the default of --seed
STORE = "KL_CONFORMANCE_STORE"  # environment variable: the default of --store

PATH = click.Path(path_type=Path)
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

runs = click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
profile = click.option(
    "--profile", default="standard", show_default=True, help="Test effort: quick, standard or thorough."
)
seed = click.option(
    "--seed",
    type=int,
    default=None,
    envvar=SEED,
    show_envvar=True,
    help="Seed of the search; by default a new one, which is printed.",
)
store = click.option(
    "--store",
    default="kl-conformance.db",
    envvar=STORE,
    show_default=True,
    show_envvar=True,
    metavar="URL",
    help="An SQLite file, or postgresql+psycopg://USER@HOST/DATABASE.",
)


def names(option: str, parameter: str, help_text: str, *, metavar: str | None = None) -> Decorator:
    """Return an option that takes names one by one or separated by commas, as in float16,bfloat16."""
    return click.option(option, parameter, multiple=True, callback=_split, metavar=metavar, help=help_text)


def _split(context: click.Context, option: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    del context, option
    return tuple(name for value in values for name in value.split(",") if name)


def output(default: str, help_text: str) -> Decorator:
    """Return the option of the file to write."""
    default_path = Path(default)
    return click.option("-o", "--output", type=PATH, default=default_path, show_default=True, help=help_text)


def path_option(option: str, help_text: str) -> Decorator:
    """Return the option of a further file or folder to write."""
    return click.option(option, type=PATH, help=help_text)


def output_format(*formats: str, help_text: str = "Format of the output.") -> Decorator:
    """Return the option of what is printed; the first format is the default."""
    return click.option(
        "--format", "output_format", type=click.Choice(formats), default=formats[0], show_default=True, help=help_text
    )
