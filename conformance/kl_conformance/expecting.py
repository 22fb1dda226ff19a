"""`expect`: recorded deviations asked again, added from a finding, and removed when they are gone."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance import catalogue, expectation, host, registry
from kl_conformance.cell import Cell
from kl_conformance.ending import FINDINGS, FINE, cannot
from kl_conformance.errors import AbsentError, UnknownNameError, check_known
from kl_conformance.expectation import Expectation, ExpectationError, load, recorded
from kl_conformance.findings import SEEN, better, evidence, findings, told
from kl_conformance.harness.opening import Absent, load_framework, open_subject
from kl_conformance.implementation import Implementation
from kl_conformance.mode import EAGER
from kl_conformance.output import check_writable
from kl_conformance.runs.selection import columns_of
from kl_conformance.subject import Subject
from kl_conformance.telling import table
from kl_reports.exchange import RunFileError, put, read
from kl_reports.result import Column, Result, Run, Verdict

Look = Callable[[str, Sequence[str]], list[dict[str, Any]]]  # as :func:`look`, of a framework and ids
SECONDS = 900  # a framework that compiles for every shape takes minutes for all of its deviations
HALF_A_YEAR = 182  # days after which an entry is to be looked at again


@dataclass(frozen=True, slots=True)
class Finding:
    """What is to be recorded: a cell of a run file, and what a person says about it."""

    run: Path
    cell: str
    id: str
    region: str
    instead: str
    reason: str
    link: str = "none found"
    witness: str = ""


def look_apart(framework: str, ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return what :func:`look` finds in a child process, since frameworks never share one.

    Raises
    ------
    NoAnswerError
        The process ended without an answer.
    """
    found: list[dict[str, Any]] = host.request(
        "kl_conformance.expecting", [framework, list(ids)], seconds=SECONDS
    )
    return found


def check(
    frameworks: Sequence[str], ids: Sequence[str], *, keep: bool = False, look: Look = look_apart
) -> int:
    """Replay the witnesses of recorded deviations on the installed versions, a process for each framework.

    ``keep`` writes what was seen to the file that the findings are made of. Returns 0 when all that could be
    asked are still seen, 1 when one is not, 2 when a name is unknown or a process could not tell.
    """
    known = [name for name in registry.asked_frameworks() if recorded(name)]
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
        except host.NoAnswerError as error:
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
        cell = Cell(catalogue.requirement(requirement), subject, TestProfile.QUICK)
        try:
            why = cell.requirement.applies(subject)
            replayed = None if why else cell.replay(entry)
            state = "not asked" if why else "gone" if replayed is None else "seen"
            shown = None if replayed is None else cell.deviates(replayed).witness
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


def add(finding: Finding, *, look: Look = look_apart) -> int:
    """Write an entry for a broken cell of a run file, and keep it if its witness shows it here.

    Returns 0, or 2 where the finding cannot be recorded so: without a reason, or in words that do not explain it.
    """
    if not finding.reason.strip():
        return cannot(
            "expect add", "say by --reason why it is the implementation that is wrong, and not the suite"
        )
    try:
        run = read(finding.run)
        text, column = _written(run, finding)
        load(text, "the new entry")
    except (RunFileError, ExpectationError, ValueError) as error:
        return cannot("expect add", str(error))
    if any(entry.id == finding.id for name in registry.FRAMEWORKS for entry in recorded(name)):
        return cannot("expect add", f"a deviation named {finding.id!r} is recorded already")
    path = _file(column)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    path.write_text(f"{before.rstrip()}\n\n{text}" if before else text, encoding="utf-8")
    recorded.cache_clear()
    why = "its witness does not show, in that region, what is given instead"
    try:
        if any(each["state"] == "seen" for each in look(column.framework, [finding.id])):
            print(f"{finding.id} is recorded in {path}")
            return FINE
    except host.NoAnswerError as error:
        why = f"{column.framework}: {error}"
    if before is None:
        path.unlink()
    else:
        path.write_text(before, encoding="utf-8")
    recorded.cache_clear()
    return cannot("expect add", f"{finding.id} is not recorded: {why}")


def _written(run: Run, finding: Finding) -> tuple[str, Column]:
    """Return the new entry as TOML, and the column it is about.

    Raises
    ------
    ValueError
        The run has no such cell, it is not broken, or its witness is no case of the corpus.
    """
    result = next((each for each in run.results if each.cell == finding.cell), None)
    broken = [each.cell for each in run.results if each.verdict is Verdict.FAIL]
    if result is None or result.verdict is not Verdict.FAIL:
        raise ValueError(
            f"{finding.cell!r} is no broken cell of {finding.run}; broken: {', '.join(broken) or 'none'}"
        )
    column = run.header.columns[result.column]
    case = finding.witness or (result.witness or {}).get("case")
    if not case:
        raise ValueError("its witness is no case of the corpus: add one, and name it by --witness chapter/id")
    today = datetime.now(UTC).date()
    fields = {
        "id": finding.id,
        "requirements": [result.requirement],
        "implementations": [column.implementation],
        "versions": f">={column.version.partition('+')[0]}",
        "dtypes": [column.dtype],
        "region": finding.region,
        "instead": finding.instead,
        "witness": case,
        "reason": finding.reason,
        "link": finding.link,
        "since": today.isoformat(),
        "review_by": date.fromordinal(today.toordinal() + HALF_A_YEAR).isoformat(),
    }
    # A JSON string, and a list of them, are TOML too.
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in fields.items()]
    return "\n".join(["[[deviation]]", *lines, ""]), column


def _file(column: Column) -> Path:
    """Return the file of a column's package, where it has one of its own, or else of its framework."""
    own = expectation.FOLDER / f"{registry.implementation(column.implementation).package}.toml"
    return own if own.is_file() else expectation.FOLDER / f"{column.framework}.toml"


def prune(runs: Sequence[Path]) -> int:
    """Remove the recorded deviations that these runs show to be gone from every cell they asked.

    Returns 0, 1 where one is gone from some cells only and has to be narrowed by hand, 2 where a file cannot be read.
    """
    try:
        results = [result for path in runs for result in read(path).results]
    except RunFileError as error:
        return cannot("expect prune", str(error))
    fixed = _by_deviation(results, Verdict.FIXED)
    still = _by_deviation(results, Verdict.EXPECTED)
    for path in sorted(expectation.FOLDER.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        for name in [each for each in fixed if each not in still]:
            shorter = without(text, name)
            if shorter != text:
                path.write_text(shorter, encoding="utf-8")
                print(f"{name} is gone from {path}: fixed in {', '.join(fixed[name])}")
            text = shorter
    recorded.cache_clear()
    partly = [name for name in fixed if name in still]
    for name in partly:
        print(
            f"{name} is fixed in {', '.join(fixed[name])}, and still seen in {', '.join(still[name])}: narrow it"
        )
    if not fixed:
        print("no cell of these runs is FIXED: nothing to remove")
    return FINDINGS if partly else FINE


def without(text: str, name: str) -> str:
    """Return a file of recorded deviations without the one of that name; every other letter stays."""
    head, *entries = re.split(r"(?m)^(?=\[\[deviation\]\])", text)
    left = [entry for entry in entries if not re.search(rf'(?m)^id = "{re.escape(name)}"$', entry)]
    return (head + "".join(left)).rstrip() + "\n"


def _by_deviation(results: Sequence[Result], verdict: Verdict) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for result in results:
        if result.verdict is verdict:
            for name in filter(None, (result.deviation or "").split(", ")):
                found.setdefault(name, []).append(result.cell)
    return found


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
    host.respond(lambda asked: list(look(*asked)))
