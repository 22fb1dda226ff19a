"""Command group: the commands by name, loaded when one is invoked; version option and exit codes."""

from __future__ import annotations

import os
import sys

import click

from kl_conformance._version import __version__
from kl_conformance.cli.options import Commands
from kl_conformance.cli.output import CANNOT

COMMANDS = {
    "run": ("run:run", "Evaluate implementations and write a run file."),
    "verify": ("verify:verify", "Verify a kernel of your own."),
    "report": ("report:report", "Show run files as one HTML page."),
    "merge": ("report:merge", "Merge run files cell by cell."),
    "compare": ("compare:compare", "Compare two runs."),
    "replay": ("replay:replay", "Rerun one witness against the installed library."),
    "bisect": ("bisect:bisect", "Find the release in which a witness changed."),
    "list": ("describe:list_", "List requirements, implementations, families, cases or flags."),
    "explain": ("describe:explain", "Explain a requirement."),
    "expect": ("expect.group:expect", "Check, add and remove known deviations."),
    "db": ("db:db", "Store run files in a database and query it."),
    "doctor": ("doctor:doctor", "Check which frameworks can be tested here and measure their arithmetic."),
}


@click.group(
    cls=Commands,
    commands_at=("kl_conformance.cli", COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="kl-conformance")
def cli() -> None:
    """Test, with evidence, whether an implementation of the Kullback-Leibler divergence is correct."""


def main() -> None:
    """Run the command line; bad usage is one clear message and the right exit code."""
    try:
        code = _run()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has closed its end: `kl-conformance list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CANNOT
    sys.exit(code)


def _run() -> int | str | None:
    """Run the selected command and return its exit code."""
    try:
        cli(standalone_mode=False)
    except SystemExit as exit_:
        return exit_.code
    except click.exceptions.Exit as exit_:
        return exit_.exit_code
    except click.UsageError as error:
        error.show()
        # `run` passes on pytest's exit codes: 4 is bad usage
        return 4 if error.ctx is not None and error.ctx.info_name == "run" else CANNOT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return CANNOT
    return 0
