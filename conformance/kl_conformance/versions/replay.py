"""A witness asked again: the same question, put to what is installed here, in a process of its own."""

from __future__ import annotations

import json
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

TIMES = 3  # an answer that is not always the same is no answer
SECONDS = 300  # a framework's import, a compilation, and a few calls


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One witness to ask.

    Parameters
    ----------
    witness
        The question.
    on
        Implementation to put it to, known by name or brought (``file.py:NAME``); the witness's own when empty.
    like
        Known implementation that a callable brought follows.
    """

    witness: WitnessFile
    on: str = ""
    like: str = ""


@dataclass(frozen=True, slots=True)
class ReplayResult:
    """What came of it.

    Parameters
    ----------
    seen
        Held, broken, several answers, or not asked.
    words
        What was seen, or why it could not be asked.
    column
        Who was asked, with the version installed; None where nobody was.
    witness
        The judgement, as a run file has it; empty where nothing was asked.
    """

    seen: Observation
    words: str
    column: Column | None = None
    witness: Mapping[str, Any] = field(default_factory=dict[str, Any])


def replay(task: ReplayRequest) -> ReplayResult:
    """Ask here and now, a few times; whatever is recorded about the implementation is set aside.

    Raises
    ------
    ValueError
        A name is unknown, or what is brought cannot be asked.
    """
    asked = task.witness
    requirement = catalogue.requirement(asked.requirement)
    implementation = loading.implementation(task.on or asked.column.implementation, task.like)
    like = replace(asked.column, implementation=implementation.name, framework=implementation.framework)
    column = next((each for each in columns_of(implementation) if _same(each, like)), None)
    if column is None:
        return ReplayResult(
            Observation.UNASKED, f"{implementation.name} has no column {like.device} {like.dtype} {like.mode}"
        )
    subject = open_subject(implementation, column)
    if isinstance(subject, Absent):
        return ReplayResult(Observation.UNASKED, subject.reason)
    why = skipped_mode(requirement.chapter, column.mode)
    if why is not None:
        return ReplayResult(Observation.UNASKED, why)
    why = requirement.applies(subject)
    if why is not None:
        return ReplayResult(Observation.UNASKED, why, column)
    cell = Cell(requirement, subject, effort_of(requirement, subject, TestProfile.QUICK))
    try:
        return _settled(cell, asked, column)
    except AbsentError as missing:
        return ReplayResult(Observation.UNASKED, str(missing), column)


def _settled(cell: Cell, asked: WitnessFile, column: Column) -> ReplayResult:
    """Ask a cell a few times, and say whether it was always held or always broken."""
    broken, last = set[bool](), None
    for _ in range(TIMES):
        cell.subject.clear_cache()
        judgements = list(cell.judgements(asked.pair))
        if not judgements:
            return ReplayResult(
                Observation.UNASKED, f"the question says nothing about {asked.requirement} here", column
            )
        same = [each for each in judgements if each.call.text == asked.call]  # none where another is asked
        worst = next((each for each in same or judgements if each.is_failure), None)
        broken.add(worst is not None)
        last = worst or last or (same or judgements)[0]
    assert last is not None
    seen = (
        Observation.UNSTABLE
        if len(broken) > 1
        else Observation.BROKEN
        if True in broken
        else Observation.HELD
    )
    return ReplayResult(seen, _words(seen, last), column, plain(witness(last, asked.pair)))


def _words(seen: Observation, judgement: Judgement) -> str:
    if seen is Observation.HELD:
        used = judgement.headroom
        return "Held." if used is None else f"Held, with {100 * used:.2g} % of what is allowed."
    return judgement.sentence


def _same(column: Column, other: Column) -> bool:
    """Whether two columns are one but for the version."""
    return replace(column, version="") == replace(other, version="")


def replayed(
    tasks: Sequence[ReplayRequest],
    interpreter: str = sys.executable,
    environment: Mapping[str, str] | None = None,
) -> list[ReplayResult]:
    """Ask in a process of its own, one framework at a time being the caller's care; a crash is the kernel's.

    Parameters
    ----------
    tasks
        What to ask, in this order.
    interpreter, environment
        Whose versions are asked; the caller's when not given.
    """
    answers = list[ReplayResult]()
    while len(answers) < len(tasks):
        left = [_plain(task) for task in tasks[len(answers) :]]
        found, end = processes.requests(
            "kl_conformance.versions.replay",
            left,
            seconds=SECONDS,
            interpreter=interpreter,
            variables=environment,
        )
        answers += [_read(each) for each in found]
        answers += [_crashed(end)] if len(found) < len(left) else []  # during the task after the last answer
    return answers


def _crashed(end: processes.Exit) -> ReplayResult:
    """Return the answer of a process that ended: a signal is the kernel's fault, an error of Python ours to tell."""
    if end.code is None:
        return ReplayResult(Observation.UNASKED, f"no answer within {SECONDS} s")
    if end.code < 0:
        return ReplayResult(
            Observation.BROKEN, f"The process {processes.describe_exit(end.code)} while it was asked."
        )
    return ReplayResult(Observation.UNASKED, end.message)


def _plain(task: ReplayRequest) -> dict[str, Any]:
    return {"witness": json.loads(witness_file.text(task.witness)), "on": task.on, "like": task.like}


def _read(data: Mapping[str, Any]) -> ReplayResult:
    column = None if data["column"] is None else Column(**data["column"])
    return ReplayResult(Observation[data["seen"]], data["words"], column, data["witness"])


def _answer(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the answer to one task as JSON."""
    asked = witness_file.loads(json.dumps(data["witness"]), "the witness")
    try:
        answer = replay(ReplayRequest(asked, data["on"], data["like"]))
    except ValueError as error:
        answer = ReplayResult(Observation.UNASKED, str(error))
    column = None if answer.column is None else asdict(answer.column)
    return {"seen": answer.seen.name, "words": answer.words, "column": column, "witness": answer.witness}


if __name__ == "__main__":
    processes.respond(_answer)
