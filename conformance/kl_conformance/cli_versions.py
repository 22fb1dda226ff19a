"""The verbs that look at several versions: `compare`, `replay` and `bisect`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from kl_conformance.cli_db import store
from kl_conformance.verbs import several


@click.command()
@click.argument("old")
@click.argument("new")
@click.option(
    "--fail-on",
    multiple=True,
    callback=several,
    help="Buckets that end in exit code 1, or none; regressed,newly-observed,missing if not said.",
)
@click.option(
    "--replay",
    "again",
    is_flag=True,
    help="Ask each changed cell again on both versions, in fresh environments where they are not installed.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="An HTML page of the comparison.")
@click.option("--markdown", type=click.Path(path_type=Path), help="A summary for a CI job, as well.")
@store
@click.option(
    "--format",
    "form",
    type=click.Choice(("text", "json", "markdown", "github")),
    default="text",
    show_default=True,
    help="How the comparison is printed.",
)
def compare(
    old: str,
    new: str,
    fail_on: tuple[str, ...],
    again: bool,
    output: Path | None,
    markdown: Path | None,
    place: str,
    form: str,
) -> None:
    """Compare two runs: what regressed, what is fixed, and what moved inside what is allowed.

    OLD and NEW are run files, folders of them, or runs of the store by their ids or by a version, as in
    torch==2.12. Only cells that asked the same problems are compared. Exit codes: 0 nothing in a bucket that fails,
    1 something is, 2 the two cannot be compared.
    """
    from kl_conformance.comparing import Asked, start

    sys.exit(start(Asked(old, new, fail_on, form, markdown, again, output, place)))


@click.command()
@click.argument("witness")
@click.option("--on", default="", metavar="IMPLEMENTATION", help="Whom to ask; who broke it when not given.")
@click.option("--like", default="", help="The known implementation that a kernel of yours follows.")
@click.option("--emit", default="", help="Print a script in torch, tensorflow, jax or numpy instead.")
@click.option("--keep", type=click.Path(path_type=Path), help="Write the witness to a file of its own.")
def replay(witness: str, on: str, like: str, emit: str, keep: Path | None) -> None:
    """Ask one witness again of what is installed here.

    WITNESS is a witness file, or RUN#REQUIREMENT@COLUMN of a run file. Exit codes: 0 held, 1 broken, 125 it could
    not be asked (as `git bisect run` understands them), 2 bad usage.
    """
    from kl_conformance.replaying import Asked, start

    sys.exit(start(Asked(witness, on, like, emit, keep)))


@click.command()
@click.argument("witness")
@click.option("--package", required=True, help="Whose releases to ask, such as jax.")
@click.option("--good", required=True, metavar="VERSION", help="A release where the witness holds.")
@click.option("--bad", required=True, metavar="VERSION", help="A release where it is broken; older or newer.")
@click.option(
    "--with", "beside", multiple=True, callback=several, help="Install this as well, as in 'numpy<2'."
)
@click.option("--every", is_flag=True, help="Ask every release between: no turn can be missed.")
@click.option("--pre", "early", is_flag=True, help="Ask alphas, betas and release candidates, too.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    default=Path("kl-bisect.json"),
    show_default=True,
    help="Where each probe is kept, so that the same command goes on after an interruption.",
)
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write the result to a file as well.")
def bisect(
    witness: str,
    package: str,
    good: str,
    bad: str,
    beside: tuple[str, ...],
    every: bool,
    early: bool,
    state: Path,
    output: Path | None,
) -> None:
    """Find the release in which a witness turned from good to bad.

    Each release is installed in a fresh environment (by uv where it is installed, else venv and pip) and asked
    three times: good, bad, or skipped where it has no wheel or cannot be asked. WITNESS is what `replay` takes.
    Exit codes: 0 found, 2 it could not be.
    """
    from kl_conformance.bisecting import Asked, start

    sys.exit(start(Asked(witness, package, good, bad, beside, every, early, state, output)))
