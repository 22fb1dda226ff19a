"""Command groups: the commands by name, imported when one is invoked; version option and exit codes."""

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click

from kl_conformance._version import __version__

USAGE, CANNOT = 4, 2  # exit codes of bad usage: of `run`, as pytest's; of all other commands

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
COMMANDS = {
    "run": ("run:run", "Evaluate implementations in worker processes and write a run file."),
    "verify": ("verify:verify", "Verify a user kernel and print its verdict."),
    "report": ("report:report", "Render run files as one HTML page and print a summary."),
    "merge": ("report:merge", "Merge run files cell by cell."),
    "compare": ("compare:compare", "Compare two runs."),
    "replay": ("replay:replay", "Rerun one witness against the installed library."),
    "bisect": ("bisect:bisect", "Find the release in which a witness changed."),
    "list": ("describe:list_", "List requirements, implementations, families, cases or flags."),
    "explain": ("describe:explain", "Explain a requirement."),
    "expect": ("main:expect", "Check, add and remove known deviations."),
    "db": ("main:db", "Store run files in a database and query it."),
    "doctor": ("doctor:doctor", "Check which frameworks can be tested here and measure their arithmetic."),
}
EXPECT_COMMANDS = {
    "check": ("expect.check:check", "Replay the witnesses of known deviations on the installed versions."),
    "versions": ("expect.ranges:versions", "Compare the recorded version ranges with run files."),
    "add": ("expect.record:add", "Record a failed cell of a run file as a known deviation."),
    "prune": ("expect.record:prune", "Remove the known deviations that run files show to be FIXED."),
    "findings": ("expect.findings:findings", "Write all known deviations as a document."),
}
DB_COMMANDS = {
    "ingest": ("db:ingest", "Store run files."),
    "list": ("db:list_", "List the stored runs, or the cells of one."),
    "history": ("db:history", "Show the verdicts of a cell or requirement over versions."),
    "gc": ("db:gc", "Delete the data that no stored run needs."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported when they are invoked, so that its help is fast.

    Parameters
    ----------
    table
        For each command, ``module:attribute`` in :mod:`kl_conformance.cli` and its line in the help.
    """

    def __init__(self, *arguments: Any, table: Mapping[str, tuple[str, str]], **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.table = table

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return list(self.table)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """Import and return a command; an unknown name is a usage error that lists the known names."""
        if cmd_name not in self.table:
            ctx.fail(f"unknown command {cmd_name!r}; known: {', '.join(sorted(self.table))}")
        module, _, attribute = self.table[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(f"kl_conformance.cli.{module}"), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in self.table.items()])


@click.group(cls=LazyGroup, table=COMMANDS, context_settings=SETTINGS)
@click.version_option(__version__, prog_name="kl-conformance")
def cli() -> None:
    """Test, with evidence, whether an implementation of the Kullback-Leibler divergence is correct."""


@click.group(cls=LazyGroup, table=EXPECT_COMMANDS)
def expect() -> None:
    """Check, add and remove known deviations, and write them as a document."""


@click.group(cls=LazyGroup, table=DB_COMMANDS)
def db() -> None:
    """Store run files in a database, list them, and query the history of a cell."""


def main() -> None:
    """Run the command line; bad usage ends in one message and the command's exit code."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed its end: `kl-conformance list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CANNOT
    sys.exit(code)


def _run() -> int:
    try:
        return int(cli(standalone_mode=False) or 0)
    except click.UsageError as error:
        error.show()
        return USAGE if error.ctx is not None and error.ctx.info_name == "run" else CANNOT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return CANNOT
