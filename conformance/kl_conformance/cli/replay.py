"""`replay`: reruns one witness; the result is an exit code."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import click

from kl_conformance.cli.options import path_option
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
from kl_reports.files import RunFileError, check_writable, write_text

PASSED, FAILED, NOT_TESTABLE = 0, 1, 125  # as `git bisect run` expects
LIBRARIES = ("torch", "tensorflow", "jax", "numpy")


@click.command()
@click.argument("witness")
@click.option("--on", default="", metavar="IMPLEMENTATION", help="Evaluate it on another implementation.")
@click.option("--like", default="", help="The built-in implementation that a user kernel follows.")
@click.option("--emit", default="", help="Print it as a script for torch, tensorflow, jax or numpy instead.")
@path_option("--keep", "Write the witness to a witness file.")
def replay(witness: str, on: str, like: str, emit: str, keep: Path | None) -> int:
    """Rerun one witness against the installed library.

    WITNESS is a witness file, or RUN#REQUIREMENT@COLUMN of a run file. Exit codes: 0 passed, 1 failed, 125 not
    testable (as `git bisect run` expects), 2 bad usage.
    """
    try:
        recorded = witness_file.load(witness)
        requirement = catalogue.requirement(recorded.requirement)
        name = on or _implementation_in(emit, recorded) or recorded.column.implementation
        if not loading.is_user_kernel(name):
            loading.implementation(name)
        if keep is not None:
            check_writable(keep)
            write_text(keep, witness_file.dumps(recorded))
    except (ValueError, WitnessError, RunFileError) as error:
        return cannot("replay", error)
    (result,) = replay_all([ReplayRequest(recorded, name, like)])
    if emit:
        return _emit(recorded, result)
    print(f"{recorded.requirement}: {one_line(requirement.sentence)}")
    if recorded.revision != requirement.revision:
        print(
            f"  the witness is of revision {recorded.revision} of the requirement; revision "
            f"{requirement.revision} is evaluated"
        )
    print(f"  found on {one_line(column_text(recorded.column))} by kl-conformance {one_line(recorded.suite)}")
    print(f"  evaluated on {one_line(column_text(result.column) if result.column else name)}")
    print(f"  {result.observation.value.upper()}: {one_line(result.message, 600)}")
    if result.witness and result.observation is not Observation.PASSED:
        for line in described(show(result.witness)):
            print(f"  {line}")
    if keep is not None:
        print(
            f"Witness: {keep}. Next: kl-conformance bisect {keep} --package {recorded.package} "
            "--good VERSION --bad VERSION"
        )
    return _exit_code(result)


def _exit_code(result: ReplayResult) -> int:
    match result.observation:
        case Observation.PASSED:
            return PASSED
        case Observation.FAILED | Observation.UNSTABLE:
            return FAILED
        case Observation.NOT_TESTED:
            return NOT_TESTABLE
        case _:
            assert_never(result.observation)


def _implementation_in(library: str, witness: WitnessFile) -> str:
    """Return a built-in implementation of a script's library; empty if the witness's own is of it.

    Raises
    ------
    UnknownNameError
        The library is unknown.
    """
    if not library or witness.column.framework == library:
        return ""
    check_known("library", [library], LIBRARIES)
    frameworks = ("scipy", "numpy") if library == "numpy" else (library,)
    if witness.column.framework in frameworks:
        return ""
    formula = witness.witness.get("formula")
    candidates = [each for each in registry.IMPLEMENTATIONS.values() if each.framework in frameworks]
    same_formula = [each for each in candidates if each.convention.formula.value == formula]
    return (same_formula or candidates)[0].name


def _emit(witness: WitnessFile, result: ReplayResult) -> int:
    """Print the script alone on stdout, or why there is none on stderr."""
    if result.witness and result.column is not None:
        witness = replace(witness, column=result.column, witness=result.witness)
    script = reproducer(witness.requirement, witness.column, witness.witness)
    if not script:
        failed = result.observation is Observation.FAILED
        reason = "this kind of failure has no short script" if failed else result.message
        print(f"kl-conformance replay: no script: {one_line(reason, 600)}", file=sys.stderr)
        return NOT_TESTABLE
    print(script, end="" if script.endswith("\n") else "\n")
    return _exit_code(result)
