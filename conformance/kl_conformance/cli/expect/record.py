"""`expect add` and `expect prune`: edits the expectation files."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from kl_conformance import processes
from kl_conformance.cli.expect.check import Look, look_apart
from kl_conformance.cli.output import FINDINGS, FINE, cannot
from kl_conformance.expectations import expectation
from kl_conformance.expectations.expectation import ExpectationError, load, recorded
from kl_conformance.implementations import loading, registry
from kl_reports.files import RunFileError
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Column, Result, Run, Verdict

HALF_A_YEAR = 182  # days after which an entry is to be looked at again


@dataclass(frozen=True, slots=True)
class NewDeviation:
    """What is to be recorded: a cell of a run file, and what a person says about it."""

    run: Path
    cell: str
    id: str
    region: str
    instead: str
    reason: str
    link: str = "none found"
    witness: str = ""


def add(finding: NewDeviation, *, look: Look = look_apart) -> int:
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
    except processes.NoAnswerError as error:
        why = f"{column.framework}: {error}"
    if before is None:
        path.unlink()
    else:
        path.write_text(before, encoding="utf-8")
    recorded.cache_clear()
    return cannot("expect add", f"{finding.id} is not recorded: {why}")


def _written(run: Run, finding: NewDeviation) -> tuple[str, Column]:
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
    own = expectation.FOLDER / f"{loading.implementation(column.implementation).package}.toml"
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
