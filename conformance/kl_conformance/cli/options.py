"""What all verbs of the command line have in common."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click


class Commands(click.Group):
    """A group that loads a command when it is invoked and lists the known commands when one is unknown.

    Parameters
    ----------
    commands_at
        A package, and for each command its ``module:attribute`` in there and its line in the help; commands
        added by decorators need no entry.
    """

    def __init__(
        self,
        *arguments: Any,
        commands_at: tuple[str, Mapping[str, tuple[str, str]]] = ("", {}),
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._package, self._places = commands_at

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [*self._places, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, imported now; None where the name is unknown."""
        if cmd_name not in self._places:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self._places[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"{self._package}.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, from their help lines alone where they are not loaded."""
        rows = [(name, help_line) for name, (_, help_line) in self._places.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown name is answered with the known ones."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            ctx.fail(f"unknown command {args[0]!r}; known: {', '.join(sorted(known))}")
        return super().resolve_command(ctx, args)


SEED = "KL_CONFORMANCE_SEED"  # environment variable: the seed where --seed is not given


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
