"""`replay`: one witness put to what is installed here, and the answer as an exit code."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

import click

from kl_conformance.cli.output import cannot
from kl_conformance.diagnosis.reproducer import reproducer
from kl_conformance.errors import check_known
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.versions import witness_file
from kl_conformance.versions.replay import ReplayRequest, ReplayResult, replay_all
from kl_conformance.versions.witness_file import WitnessError, WitnessFile
from kl_reports.analysis.witness import described, show
from kl_reports.analysis.wording import column_text, one_line
from kl_reports.comparison.change import Observation
from kl_reports.files import RunFileError, check_writable, put

HELD, BROKEN, UNASKED = 0, 1, 125  # what `git bisect run` understands
LIBRARIES = ("torch", "tensorflow", "jax", "numpy")


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What was asked on the command line."""

    witness: str
    on: str = ""
    like: str = ""
    emit: str = ""
    keep: Path | None = None


def execute(asked: ReplayOptions) -> int:
    """Ask, say what came of it, and return 0 held, 1 broken, 125 could not be asked, 2 for bad usage."""
    try:
        witness = witness_file.load(asked.witness)
        requirement = catalogue.requirement(witness.requirement)
        on = asked.on or _speaking(asked.emit, witness)
        if not loading.is_user_kernel(on or witness.column.implementation):
            loading.implementation(on or witness.column.implementation)
        if asked.keep is not None:
            check_writable(asked.keep)
            put(asked.keep, witness_file.dumps(witness))
    except (ValueError, WitnessError, RunFileError) as error:
        return cannot("replay", error)
    (answer,) = replay_all([ReplayRequest(witness, on, asked.like)])
    if asked.emit:
        return _emit(witness, answer)
    print(f"{witness.requirement}: {one_line(requirement.sentence)}")
    if witness.revision != requirement.revision:
        print(
            f"  the witness is of revision {witness.revision}; this suite asks revision {requirement.revision}"
        )
    print(f"  found on {one_line(column_text(witness.column))} by kl-conformance {one_line(witness.suite)}")
    who = column_text(answer.column) if answer.column else on or witness.column.implementation
    print(f"  asked of {one_line(who)}")
    for line in _seen(answer):
        print(f"  {line}")
    if asked.keep is not None:
        print(
            f"Witness: {asked.keep}. Next: kl-conformance bisect {asked.keep} --package {witness.package} "
            "--good VERSION --bad VERSION"
        )
    return _code(answer)


def _seen(answer: ReplayResult) -> list[str]:
    """Return what came of it, with the numbers where there are any."""
    lines = [f"{answer.observation.value.upper()}: {one_line(answer.message, 600)}"]
    if answer.witness and answer.observation is not Observation.PASSED:
        lines += described(show(answer.witness))
    return lines


def _code(answer: ReplayResult) -> int:
    match answer.observation:
        case Observation.PASSED:
            return HELD
        case Observation.FAILED | Observation.UNSTABLE:
            return BROKEN
        case Observation.NOT_TESTED:
            return UNASKED
        case _:
            assert_never(answer.observation)


def _speaking(library: str, witness: WitnessFile) -> str:
    """Return an implementation in whose library a script is asked for; empty where it is the witness's own."""
    if not library or witness.column.framework == library:
        return ""
    check_known("library", [library], LIBRARIES)
    frameworks = ("scipy", "numpy") if library == "numpy" else (library,)
    if witness.column.framework in frameworks:
        return ""
    formula = witness.witness.get("formula")
    own = [each for each in registry.IMPLEMENTATIONS.values() if each.framework in frameworks]
    found = [each for each in own if each.convention.formula.value == formula] or own
    return found[0].name


def _emit(witness: WitnessFile, answer: ReplayResult) -> int:
    """Print the script alone; what is to be said beside it goes to standard error."""
    column, data = witness.column, witness.witness
    if answer.witness and answer.column is not None:
        column, data = answer.column, answer.witness
    script = reproducer(witness.requirement, column, data)
    if not script:
        why = (
            answer.message
            if answer.observation is not Observation.FAILED
            else "no short one shows this kind of finding"
        )
        print(f"kl-conformance replay: no script: {one_line(why, 600)}", file=sys.stderr)
        return UNASKED
    print(script, end="" if script.endswith("\n") else "\n")
    return _code(answer)


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
    sys.exit(execute(ReplayOptions(witness, on, like, emit, keep)))
