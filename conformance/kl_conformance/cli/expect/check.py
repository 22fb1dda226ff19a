"""`expect`: recorded deviations asked again, added from a finding, and removed when they are gone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance import processes
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.cli.expect.findings import SEEN, better, evidence, findings, told
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
from kl_reports.files import RunFileError, check_writable, put
from kl_reports.runfile.records import Column

Look = Callable[[str, Sequence[str]], list[dict[str, Any]]]  # as :func:`look`, of a framework and ids
SECONDS = 900  # a framework that compiles for every shape takes minutes for all of its deviations


def look_apart(framework: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return what :func:`look` finds in a child process, since frameworks never share one.

    Raises
    ------
    NoAnswerError
        The process ended without an answer.
    """
    found: list[dict[str, Any]] = processes.request(
        "kl_conformance.cli.expect.check", [framework, list(ids)], seconds=SECONDS
    )
    return found


def check(
    frameworks: Sequence[str], ids: Sequence[str], *, keep: bool = False, look: Look = look_apart
) -> int:
    """Replay the witnesses of recorded deviations on the installed versions, a process for each framework.

    ``keep`` writes what was seen to the file that the findings are made of. Returns 0 when all that could be
    asked are still seen, 1 when one is not, 2 when a name is unknown or a process could not tell.
    """
    known = [name for name in registry.frameworks_with_builtins() if recorded(name)]
    try:
        check_known("framework", frameworks, known)
        every = [entry.id for name in known for entry in recorded(name)]
        check_known("deviation", ids, every)
    except UnknownNameError as error:
        return cannot("expect check", str(error))
    code, seen = FINE, dict[str, dict[str, str]]()
    for name in frameworks or known:
        if ids and not any(entry.id in ids for entry in recorded(name)):
            continue
        try:
            said = look(name, ids)
        except processes.NoAnswerError as error:
            code = max(code, cannot("expect check", f"{name}: {error}"))
            continue
        print(table(list(_rows(said))) if said else f"{name}: nothing is recorded for it")
        code = max(code, FINDINGS if any(each["state"] == "gone" for each in said) else FINE)
        for each in said:
            if each["evidence"] and better(each["evidence"], seen.get(each["entry"])):
                seen[each["entry"]] = each["evidence"]
    if keep:
        names = {entry.id for name in known for entry in recorded(name)}
        kept = {name: each for name, each in {**evidence(), **seen}.items() if name in names}
        text = json.dumps(kept, indent=1, sort_keys=True, ensure_ascii=False)
        SEEN.write_text(f"{text}\n", encoding="utf-8")
        evidence.cache_clear()
        print(f"{len(seen)} deviations seen and kept. Next: kl-conformance expect findings")
    return code


def look(framework: str, ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield, for each cell that a recorded deviation speaks of here, whether a witness still shows it."""
    modules = load_framework(framework)
    own = [each for each in registry.IMPLEMENTATIONS.values() if each.framework == framework]
    entries = [entry for entry in recorded(framework) if not ids or entry.id in ids]
    for implementation in own:
        for column in columns_of(implementation):
            subject = open_subject(implementation, column, modules)
            for entry in entries:
                for requirement in entry.requirements:
                    if column.mode not in (entry.modes or (EAGER,)):
                        continue
                    if entry.applies_to(requirement, column) or (
                        isinstance(subject, Absent) and _names(entry, implementation, requirement, column)
                    ):
                        yield _seen(entry, requirement, column, subject)


def _names(entry: Expectation, implementation: Implementation, requirement: str, column: Column) -> bool:
    """Whether an entry would speak of a column if its version were known."""
    mine = implementation.name in entry.implementations and requirement in entry.requirements
    return mine and (not entry.dtypes or column.dtype in entry.dtypes) and column.version == "absent"


def _seen(entry: Expectation, requirement: str, column: Column, subject: Subject | Absent) -> dict[str, Any]:
    state, shown, why = "not asked", None, None
    if isinstance(subject, Absent):
        why = subject.reason
    else:
        found = catalogue.requirement(requirement)
        cell = Cell(found, subject, effort_of(found, subject, TestProfile.QUICK))
        try:
            why = cell.requirement.applies(subject)
            replayed = None if why else cell.rerun(entry)
            state = "not asked" if why else "gone" if replayed is None else "seen"
            shown = None if replayed is None else cell.known_deviation(replayed).witness
        except AbsentError as missing:
            why = str(missing)
    return {
        "entry": entry.id,
        "cell": f"{requirement}@{column.key}",
        "state": state,
        "why": why or "",
        "evidence": None if shown is None else told(requirement, column, shown),
    }


def _rows(said: Sequence[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """Yield a line for each deviation: in how many cells it was seen, and which say otherwise."""
    for name in dict.fromkeys(each["entry"] for each in said):
        mine = [each for each in said if each["entry"] == name]
        asked = [each for each in mine if each["state"] != "not asked"]
        gone = [each["cell"] for each in asked if each["state"] == "gone"]
        told = f"no witness shows it any more in {', '.join(gone)}" if gone else ""
        if not asked:
            told = f"not asked: {mine[0]['why']}"
        yield name, f"seen in {len(asked) - len(gone)} of {len(asked)} cells", told


def write_findings(output: Path) -> int:
    """Write the document of all recorded deviations; 0, or 2 when it cannot be written."""
    try:
        check_writable(output)
        put(output, findings())
    except RunFileError as error:
        return cannot("expect findings", str(error))
    print(f"Findings: {output.resolve()}")
    return FINE


if __name__ == "__main__":
    processes.respond(lambda asked: list(look(*asked)))
