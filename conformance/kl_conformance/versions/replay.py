"""Runs a witness against the installed library in a child process."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance import processes
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of, skipped_mode
from kl_conformance.errors import AbsentError
from kl_conformance.harness.opening import Absent, open_subject
from kl_conformance.implementations import loading
from kl_conformance.judging.judgement import Judgement
from kl_conformance.judging.witness import witness
from kl_conformance.requirements import catalogue
from kl_conformance.runs.selection import columns_of
from kl_conformance.versions import witness_file
from kl_conformance.versions.witness_file import WitnessFile
from kl_reports.comparison.change import Observation
from kl_reports.runfile.codec import plain
from kl_reports.runfile.records import Column

REPETITIONS = 3  # if they differ, the result is unstable
SECONDS = 300  # a framework's import, a compilation, and a few calls


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One witness to run.

    Parameters
    ----------
    witness
        The witness.
    implementation
        The implementation under test: a built-in name or a user kernel (``file.py:NAME``); the witness's if empty.
    like
        Built-in implementation that a user kernel follows.
    """

    witness: WitnessFile
    implementation: str = ""
    like: str = ""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """The result of running a witness.

    Parameters
    ----------
    observation
        Passed, failed, unstable, or not tested.
    message
        What was observed, or why the witness could not be run.
    column
        The column under test, with the installed version; None if there is none.
    witness
        The judgement, as run files store it; empty if nothing was run.
    """

    observation: Observation
    message: str
    column: Column | None = None
    witness: Mapping[str, Any] = field(default_factory=dict[str, Any])


def replay(request: ReplayRequest) -> ReplayResult:
    """Run a witness a few times in this process; known deviations of the implementation do not excuse failures.

    Raises
    ------
    ValueError
        A name is unknown, or a user kernel cannot be loaded.
    """
    recorded = request.witness
    requirement = catalogue.requirement(recorded.requirement)
    name = request.implementation or recorded.column.implementation
    implementation = loading.implementation(name, request.like)
    wanted = replace(
        recorded.column, implementation=implementation.name, framework=implementation.framework, version=""
    )
    columns = (each for each in columns_of(implementation) if replace(each, version="") == wanted)
    column = next(columns, None)
    if column is None:
        return _not_tested(f"{implementation.name} has no column {wanted.device} {wanted.dtype} {wanted.mode}")
    subject = open_subject(implementation, column)
    if isinstance(subject, Absent):
        return _not_tested(subject.reason)
    if reason := skipped_mode(requirement.chapter, column.mode):
        return _not_tested(reason)
    if reason := requirement.applies(subject):
        return _not_tested(reason, column)
    cell = Cell(requirement, subject, effort_of(requirement, subject, TestProfile.QUICK))
    try:
        return _repeated(cell, recorded, column)
    except AbsentError as missing:
        return _not_tested(str(missing), column)


def _not_tested(reason: str, column: Column | None = None) -> ReplayResult:
    return ReplayResult(Observation.NOT_TESTED, reason, column)


def _repeated(cell: Cell, recorded: WitnessFile, column: Column) -> ReplayResult:
    """Run a witness a few times; the result is unstable unless all repetitions pass or all fail."""
    outcomes, last = set[bool](), None
    for _ in range(REPETITIONS):
        cell.subject.clear_cache()
        judgements = list(cell.judgements(recorded.pair))
        if not judgements:
            return _not_tested(f"the witness does not exercise {recorded.requirement} here", column)
        # Of another implementation no call has the same text.
        same = [each for each in judgements if each.call.text == recorded.call] or judgements
        failed = next((each for each in same if each.is_failure), None)
        outcomes.add(failed is not None)
        last = failed or last or same[0]
    assert last is not None
    if len(outcomes) > 1:
        observation = Observation.UNSTABLE
    else:
        observation = Observation.FAILED if True in outcomes else Observation.PASSED
    return ReplayResult(observation, _message(observation, last), column, plain(witness(last, recorded.pair)))


def _message(observation: Observation, judgement: Judgement) -> str:
    if observation is not Observation.PASSED:
        return judgement.sentence
    used = judgement.headroom
    return "Passed." if used is None else f"Passed, with {100 * used:.2g} % of the allowed error."


def replay_all(
    requests: Sequence[ReplayRequest], interpreter: str = sys.executable, variables: Mapping[str, str] | None = None
) -> list[ReplayResult]:
    """Run witnesses in a child process; a crash is the implementation's failure.

    Parameters
    ----------
    requests
        The witnesses, in the order of the results; all of one framework, which the caller ensures.
    interpreter, variables
        The interpreter whose installed versions are tested, and its environment variables; by default this
        process's.
    """
    results = list[ReplayResult]()
    while len(results) < len(requests):
        remaining = [_encode(each) for each in requests[len(results) :]]
        found, end = processes.requests(
            "kl_conformance.versions.replay", remaining, seconds=SECONDS, interpreter=interpreter, variables=variables
        )
        results += [_decode(each) for each in found]
        if len(found) < len(remaining):  # the process exited during the request after the last result
            results.append(_crashed(end))
    return results


def _crashed(end: processes.Exit) -> ReplayResult:
    """Return the result of a request whose process exited: failed after a signal, not tested after another exit."""
    if end.code is None:
        return _not_tested(f"no result within {SECONDS} s")
    if end.code < 0:
        return ReplayResult(Observation.FAILED, f"The process {processes.describe_exit(end.code)} during the call.")
    return _not_tested(end.message)


def _encode(request: ReplayRequest) -> dict[str, Any]:
    named = {"implementation": request.implementation, "like": request.like}
    return {"witness": witness_file.dumps(request.witness), **named}


def _decode(data: Mapping[str, Any]) -> ReplayResult:
    column = None if data["column"] is None else Column(**data["column"])
    return ReplayResult(Observation[data["observation"]], data["message"], column, data["witness"])


def _respond(data: Mapping[str, Any]) -> dict[str, Any]:
    recorded = witness_file.loads(data["witness"], "the witness")
    try:
        result = replay(ReplayRequest(recorded, data["implementation"], data["like"]))
    except ValueError as error:
        result = _not_tested(str(error))
    return asdict(result) | {"observation": result.observation.name}


if __name__ == "__main__":
    processes.respond(_respond)
