"""The verbs of recorded deviations: `expect check`, `add`, `prune` and `findings`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kl_conformance.cli.options import Commands, several


@click.group(cls=Commands)
def expect() -> None:
    """Recorded deviations: ask them again, add one, remove what is gone, write them up."""


@expect.command()
@click.option("--framework", "frameworks", multiple=True, callback=several, help="Only of this framework.")
@click.option("--id", "ids", multiple=True, callback=several, help="Only this deviation.")
@click.option("--keep", is_flag=True, help="Keep what is seen, for `expect findings`.")
def check(frameworks: tuple[str, ...], ids: tuple[str, ...], keep: bool) -> None:
    """See that every recorded deviation is still there; exit 1 where a witness shows one no longer."""
    from kl_conformance.cli.expect.check import check as start

    sys.exit(start(frameworks, ids, keep=keep))


@expect.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("cell", metavar="REQUIREMENT@COLUMN")
@click.option("--id", "name", required=True, help="A name of its own.")
@click.option("--region", required=True, help="Where it is broken, as in 'p == 0 and log_q == -inf'.")
@click.option("--instead", required=True, help="What is given there, as in 'isnan(got)'.")
@click.option("--reason", default="", help="Why it is the implementation that is wrong, and not the suite.")
@click.option("--link", default="none found", show_default=True, help="The upstream issue.")
@click.option("--witness", default="", help="A corpus case, chapter/id, where the finding's is none.")
def add(
    run: Path, cell: str, name: str, region: str, instead: str, reason: str, link: str, witness: str
) -> None:
    """Record a broken cell of a run file, if its witness shows it on the installed version."""
    from kl_conformance.cli.expect.record import NewDeviation
    from kl_conformance.cli.expect.record import add as start

    sys.exit(start(NewDeviation(run, cell, name, region, instead, reason, link, witness)))


@expect.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def prune(runs: tuple[Path, ...]) -> None:
    """Remove the deviations that run files show to be FIXED wherever they were asked."""
    from kl_conformance.cli.expect.record import prune as start

    sys.exit(start(runs))


@expect.command()
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), default=Path("FINDINGS.md"), show_default=True
)
def findings(output: Path) -> None:
    """Write all recorded deviations up, with what was last seen of each and a reproducer."""
    from kl_conformance.cli.expect.check import write_findings

    sys.exit(write_findings(output))


@expect.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
def versions(runs: tuple[Path, ...]) -> None:
    """Hold the versions recorded against run files of many releases; exit 1 where a range is not borne out."""
    from kl_conformance.cli.expect.ranges import versions as start

    sys.exit(start(runs))
