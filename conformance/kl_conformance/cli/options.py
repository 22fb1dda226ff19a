"""What all verbs of the command line have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click


class Verbs(click.Group):
    """A group that names the verbs it knows when it is given another."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb."""
        if args and not args[0].startswith("-") and args[0] not in self.commands:
            ctx.fail(f"unknown command {args[0]!r}; known: {', '.join(sorted(self.commands))}")
        return super().resolve_command(ctx, args)


def several(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    """Take names one by one or with commas between, as in float16,bfloat16."""
    del context, option
    return tuple(name for each in given for name in each.split(",") if name)


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


PROFILES = ("quick", "standard", "thorough")

FORMS = ("text", "json", "github", "junit")
