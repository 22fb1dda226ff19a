"""`expect add` and `expect prune`: edit the expectation files."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import click
import tomlkit
from tomlkit.items import AoT

from kl_conformance import processes
from kl_conformance.cli.expect.check import SEEN, Replay, replay_in_child_process
from kl_conformance.cli.options import runs
from kl_conformance.cli.output import FINDINGS, FINE, cannot
from kl_conformance.expectations import expectation
from kl_conformance.expectations.expectation import ExpectationError, load, recorded
from kl_conformance.implementations import loading, registry
from kl_reports.files import RunFileError
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Column, Result, Run, Verdict

REVIEW = timedelta(days=182)  # from the day an entry is recorded to its next review


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("cell", metavar="REQUIREMENT@COLUMN")
@click.option("--id", "name", required=True, help="A unique name.")
@click.option("--region", required=True, help="Where it fails, as in 'p == 0 and log_q == -inf'.")
@click.option("--instead", required=True, help="What is returned there, as in 'isnan(got)'.")
@click.option("--reason", default="", help="Why the implementation is wrong, and not the suite.")
@click.option("--link", default="none found", show_default=True, help="The upstream issue.")
@click.option("--witness", default="", help="A corpus case, CHAPTER/ID; by default that of the cell.")
def add(run: Path, cell: str, name: str, **description: Any) -> int:
    """Record a failed cell of a run file as a known deviation.

    The entry is kept if its witness shows the deviation on the installed version. Exit codes: 0 recorded, 2 not.
    """
    return add_deviation(run, cell, name, **description)


def add_deviation(
    run: Path,
    cell: str,
    name: str,
    *,
    region: str,
    instead: str,
    reason: str,
    link: str = "none found",
    witness: str = "",
    replay: Replay = replay_in_child_process,
) -> int:
    """Write an entry, and remove it again if its witness does not show it; return the exit code."""
    if not reason.strip():
        return cannot("expect add", "--reason is empty: state why the implementation is wrong, and not the suite")
    try:
        result, column = _failed_cell(read(run), run, cell)
        witness = witness or (result.witness or {}).get("case", "")
        if not witness:
            raise ValueError("its witness is not in the corpus: add a case, and name it by --witness CHAPTER/ID")
        today = datetime.now(UTC).date()
        entry = {
            "id": name,
            "requirements": [result.requirement],
            "implementations": [column.implementation],
            "versions": f">={column.version.partition('+')[0]}",
            "dtypes": [column.dtype],
            "region": region,
            "instead": instead,
            "witness": witness,
            "reason": reason,
            "link": link,
            "since": today.isoformat(),
            "review_by": (today + REVIEW).isoformat(),
        }
        load(with_entry("", entry), "the new entry")
    except (RunFileError, ExpectationError, ValueError) as error:
        return cannot("expect add", error)
    if any(each.id == name for framework in registry.FRAMEWORKS for each in recorded(framework)):
        return cannot("expect add", f"a deviation named {name!r} is recorded already")
    path = _file(column)
    before = path.read_text(encoding="utf-8") if path.is_file() else None
    path.write_text(with_entry(before or "", entry), encoding="utf-8")
    recorded.cache_clear()
    failure = "its witness does not show, in that region, what is returned instead"
    try:
        if any(each["state"] == SEEN for each in replay(column.framework, [name])):
            print(f"{name} is recorded in {path}. Next: kl-conformance expect check --id {name} --keep")
            return FINE
    except processes.NoAnswerError as error:
        failure = f"{column.framework}: {error}"
    if before is None:
        path.unlink()
    else:
        path.write_text(before, encoding="utf-8")
    recorded.cache_clear()
    return cannot("expect add", f"{name} is not recorded: {failure}")


def _failed_cell(run: Run, path: Path, cell: str) -> tuple[Result, Column]:
    """Return the result and column of a failed cell.

    Raises
    ------
    ValueError
        The run has no such failed cell; the message names the failed ones.
    """
    failed = {each.cell: each for each in run.results if each.verdict is Verdict.FAIL}
    if cell not in failed:
        known = ", ".join(failed) or "none"
        raise ValueError(f"{cell!r} is not a failed cell of {path}; failed: {known}")
    return failed[cell], run.header.columns[failed[cell].column]


def _file(column: Column) -> Path:
    """Return the expectation file of a column's package if there is one, otherwise that of its framework."""
    package = expectation.FOLDER / f"{loading.implementation(column.implementation).package}.toml"
    return package if package.is_file() else expectation.FOLDER / f"{column.framework}.toml"


@click.command()
@runs
def prune(runs: tuple[Path, ...]) -> int:
    """Remove the known deviations that run files show to be FIXED in every cell tested.

    Exit codes: 0 done, 1 a deviation is FIXED in some cells only, 2 a file cannot be read.
    """
    try:
        results = [result for path in runs for result in read(path).results]
    except RunFileError as error:
        return cannot("expect prune", error)
    fixed = _cells_by_deviation(results, Verdict.FIXED)
    still_seen = _cells_by_deviation(results, Verdict.EXPECTED)
    for path in sorted(expectation.FOLDER.glob("*.toml")):
        text = path.read_text(encoding="utf-8")
        for name in (each for each in fixed if each not in still_seen):
            shorter = without_entry(text, name)
            if shorter != text:
                path.write_text(shorter, encoding="utf-8")
                print(f"{name} is removed from {path}: fixed in {', '.join(fixed[name])}")
            text = shorter
    recorded.cache_clear()
    partly = [name for name in fixed if name in still_seen]
    for name in partly:
        cells = f"fixed in {', '.join(fixed[name])}, and still seen in {', '.join(still_seen[name])}"
        print(f"{name} is {cells}: narrow it")
    if not fixed:
        print("no cell of these runs is FIXED: nothing to remove")
    return FINDINGS if partly else FINE


def with_entry(text: str, entry: dict[str, Any]) -> str:
    """Return the text of an expectation file with one more entry at its end."""
    added = tomlkit.dumps({"deviation": [entry]})
    return f"{text.rstrip()}\n\n{added}" if text else added


def without_entry(text: str, name: str) -> str:
    """Return the text of an expectation file without the entry of that id; all other text is unchanged."""
    document = tomlkit.parse(text)
    entries = cast("AoT", document["deviation"])
    for index in [index for index, each in enumerate(entries) if each["id"] == name]:
        del entries[index]
    return tomlkit.dumps(document).rstrip() + "\n"


def _cells_by_deviation(results: Sequence[Result], verdict: Verdict) -> dict[str, list[str]]:
    found = dict[str, list[str]]()
    for result in results:
        if result.verdict is verdict:
            for name in result.deviations:
                found.setdefault(name, []).append(result.cell)
    return found
