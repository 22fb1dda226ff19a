"""`expect check`: replays the witnesses of recorded deviations."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click

from kl_cases.recipes import TestProfile
from kl_conformance import processes
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.cli.expect.findings import EVIDENCE, better, describe, evidence
from kl_conformance.cli.options import names
from kl_conformance.cli.output import FINDINGS, FINE, cannot, table
from kl_conformance.errors import AbsentError, UnknownNameError, check_known
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_conformance.harness.modes import EAGER
from kl_conformance.harness.opening import Absent, load_framework, open_subject
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements import catalogue
from kl_conformance.runs.selection import columns_of
from kl_reports.runfile.records import Column

Replay = Callable[[str, Sequence[str]], list[dict[str, Any]]]  # arguments and result of :func:`replay`
SECONDS = 900  # a framework that compiles per shape takes minutes for all of its deviations
SEEN, GONE, NOT_TESTED = "seen", "gone", "not tested"


@click.command()
@names("--framework", "frameworks", "Only the deviations of this framework.")
@names("--id", "ids", "Only this deviation.")
@click.option("--keep", is_flag=True, help="Store the observed examples for `expect findings`.")
def check(frameworks: tuple[str, ...], ids: tuple[str, ...], keep: bool) -> int:
    """Replay the witnesses of known deviations on the installed versions, one process for each framework.

    Exit codes: 0 all tested deviations are still seen, 1 at least one is not, 2 a name is unknown or a process
    ended without a result.
    """
    return check_deviations(frameworks, ids, keep=keep)


def replay_in_child_process(framework: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return the results of :func:`replay` in a child process, since frameworks never share one.

    Raises
    ------
    NoAnswerError
        The process ended without a result.
    """
    results: list[dict[str, Any]] = processes.request(
        "kl_conformance.cli.expect.check", [framework, list(ids)], seconds=SECONDS
    )
    return results


def check_deviations(
    frameworks: Sequence[str], ids: Sequence[str], *, keep: bool = False, replay: Replay = replay_in_child_process
) -> int:
    """Print for each deviation in how many cells it is seen; return the exit code."""
    known = [name for name in registry.frameworks_with_builtins() if recorded(name)]
    entries = {entry.id: name for name in known for entry in recorded(name)}
    try:
        check_known("framework", frameworks, known)
        check_known("deviation", ids, entries)
    except UnknownNameError as error:
        return cannot("expect check", error)
    code, examples = FINE, dict[str, dict[str, str]]()
    for name in frameworks or known:
        if ids and name not in map(entries.get, ids):
            continue
        try:
            results = replay(name, ids)
        except processes.NoAnswerError as error:
            code = max(code, cannot("expect check", f"{name}: {error}"))
            continue
        print(table(list(_rows(results))) if results else f"{name}: no deviation applies")
        code = max(code, FINDINGS if any(each["state"] == GONE for each in results) else FINE)
        for each in results:
            if each["evidence"] and better(each["evidence"], examples.get(each["entry"])):
                examples[each["entry"]] = each["evidence"]
    if keep:
        current = {name: each for name, each in {**evidence(), **examples}.items() if name in entries}
        text = json.dumps(current, indent=1, sort_keys=True, ensure_ascii=False)
        EVIDENCE.write_text(f"{text}\n", encoding="utf-8")
        evidence.cache_clear()
        print(f"{len(examples)} observed examples stored. Next: kl-conformance expect findings")
    return code


def replay(framework: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield, for each cell that a deviation of a framework applies to, whether a witness still shows it."""
    modules = load_framework(framework)
    entries = [entry for entry in recorded(framework) if not ids or entry.id in ids]
    implementations = [each for each in registry.IMPLEMENTATIONS.values() if each.framework == framework]
    for implementation in implementations:
        for column in columns_of(implementation):
            subject = open_subject(implementation, column, modules)
            for entry in entries:
                for requirement in entry.requirements:
                    if column.mode not in (entry.modes or (EAGER,)):
                        continue
                    if entry.applies_to(requirement, column) or (
                        isinstance(subject, Absent) and _may_apply(entry, implementation, requirement, column)
                    ):
                        yield _result(entry, requirement, column, subject)


def _may_apply(entry: Expectation, implementation: Implementation, requirement: str, column: Column) -> bool:
    """Whether an entry would apply in some version of a package that is not installed."""
    named = implementation.name in entry.implementations and requirement in entry.requirements
    return named and (not entry.dtypes or column.dtype in entry.dtypes) and column.version == "absent"


def _result(entry: Expectation, requirement: str, column: Column, subject: Subject | Absent) -> dict[str, Any]:
    state, witness, reason = NOT_TESTED, None, None
    if isinstance(subject, Absent):
        reason = subject.reason
    else:
        found = catalogue.requirement(requirement)
        cell = Cell(found, subject, effort_of(found, subject, TestProfile.QUICK))
        try:
            reason = cell.requirement.applies(subject)
            rerun = None if reason else cell.rerun(entry)
            state = NOT_TESTED if reason else GONE if rerun is None else SEEN
            witness = None if rerun is None else cell.known_deviation(rerun).witness
        except AbsentError as missing:
            reason = str(missing)
    return {
        "entry": entry.id,
        "cell": f"{requirement}@{column.key}",
        "state": state,
        "reason": reason or "",
        "evidence": None if witness is None else describe(requirement, column, witness),
    }


def _rows(results: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each deviation: in how many cells it is seen, and in which it is not."""
    for name in dict.fromkeys(each["entry"] for each in results):
        cells = [each for each in results if each["entry"] == name]
        tested = [each for each in cells if each["state"] != NOT_TESTED]
        gone = [each["cell"] for each in tested if each["state"] == GONE]
        remark = f"no witness shows it any more in {', '.join(gone)}" if gone else ""
        if not tested:
            remark = f"not tested: {cells[0]['reason']}"
        yield name, f"seen in {len(tested) - len(gone)} of {len(tested)} cells", remark


if __name__ == "__main__":
    processes.respond(lambda request: list(replay(*request)))
