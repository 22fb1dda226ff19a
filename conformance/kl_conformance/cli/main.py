"""The command line: every verb, its options, and nothing heavier than click until one is called."""

from __future__ import annotations

import os
import sys

import click

from kl_conformance._version import __version__
from kl_conformance.cli.bisect import bisect
from kl_conformance.cli.compare import compare
from kl_conformance.cli.db import db
from kl_conformance.cli.expect.group import expect
from kl_conformance.cli.options import Verbs
from kl_conformance.cli.output import CANNOT
from kl_conformance.cli.replay import replay

SEED = "KL_CONFORMANCE_SEED"  # environment variable: the seed where --seed is not given


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="kl-conformance")
def cli() -> None:
    """Tell, with evidence, whether an implementation of the Kullback-Leibler divergence is right."""


for verb in (compare, replay, bisect, db, expect):
    cli.add_command(verb)


def main() -> None:
    """Run the command line; bad usage is one clear message and the right exit code."""
    try:
        code = _ended()
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads has seen enough: `kl-conformance list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = CANNOT
    sys.exit(code)


def _ended() -> int | str | None:
    """Run the verb asked for and return its exit code."""
    try:
        cli(standalone_mode=False)
    except SystemExit as done:
        return done.code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        error.show()
        # pytest's code for bad usage where the verb is `run`
        return 4 if error.ctx is not None and error.ctx.info_name == "run" else CANNOT
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return CANNOT
    return 0
