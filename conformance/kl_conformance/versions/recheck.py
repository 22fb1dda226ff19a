"""Changed cells asked again: the witness of each put to both versions, before anything is said aloud."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from packaging.version import Version

from kl_conformance.implementations import registry
from kl_conformance.versions import witness_file
from kl_conformance.versions.environments import InstallError, carried, distribution, environment
from kl_conformance.versions.replay import ReplayRequest, ReplayResult, replayed
from kl_conformance.versions.witness_file import WitnessError
from kl_reports.analysis.wording import count
from kl_reports.comparison.change import Change, Observation, Replayed, settled
from kl_reports.comparison.compare import Comparison
from kl_reports.runfile.records import Result, Run

Say = Callable[[str], None]
Pins = tuple[str, ...]


def recheck(comparison: Comparison, say: Say) -> Comparison:
    """Return a comparison whose changes of verdict were asked again on both versions.

    Versions that are not the ones installed here are installed in fresh environments, one for each side of each
    framework; what cannot be installed stays as it is recorded, and says so.
    """
    groups = dict[tuple[Pins, Pins], list[Change]]()
    for change in comparison.changes:
        if change.debatable and registry.is_builtin(change.column.implementation):
            pins = _pins(comparison.old, change.old), _pins(comparison.new, change.new)
            groups.setdefault(pins, []).append(change)
    found = dict[str, Change]()
    with carried() as suite:
        for pins, changes in groups.items():
            say(
                f"Asking {count(len(changes), 'cell')} again on {' and '.join(' '.join(each) for each in pins)}"
            )
            tasks = [_task(comparison, change) for change in changes]
            old, new = (_answers(each, tasks, suite) for each in pins)
            for change, before, after in zip(changes, old, new, strict=True):
                found[change.name] = settled(change, _together(before, after))
    return replace(comparison, changes=tuple(found.get(each.name, each) for each in comparison.changes))


def _task(comparison: Comparison, change: Change) -> ReplayRequest | str:
    """Return the witness of a change as something to ask, or why it cannot be asked."""
    broken = change.witnessed
    assert broken is not None  # or the change were not debatable
    try:
        return ReplayRequest(
            witness_file.from_result(comparison.new if broken is change.new else comparison.old, broken)
        )
    except WitnessError as error:
        return str(error)


def _answers(pins: Pins, tasks: Sequence[ReplayRequest | str], suite: Path) -> list[ReplayResult]:
    """Put witnesses to a version: the one installed here, or one in a fresh environment."""
    asked = [task for task in tasks if isinstance(task, ReplayRequest)]
    try:
        with _installed(pins, suite) as place:
            given = iter(replayed(asked, *place))
    except InstallError as error:
        why = f"{' '.join(pins)} could not be installed ({error})"
        given = iter([ReplayResult(Observation.UNASKED, why)] * len(asked))
    return [
        next(given) if isinstance(task, ReplayRequest) else ReplayResult(Observation.UNASKED, task)
        for task in tasks
    ]


@contextmanager
def _installed(pins: Pins, suite: Path) -> Generator[tuple[str, Mapping[str, str] | None]]:
    """Give an interpreter that has these versions, and the variables it is to be started with."""
    if all(_here(pin) for pin in pins):
        yield sys.executable, None
        return
    with environment(pins, suite) as fresh:
        yield str(fresh.python), fresh.variables


def _here(pin: str) -> bool:
    """Whether a version is the one installed beside this very process."""
    name, _, version = pin.partition("==")
    installed = registry.installed_version(name)
    return installed != "absent" and Version(installed).public == version


def _pins(run: Run, result: Result | None) -> Pins:
    """Return the versions a cell was asked with: of its package, and of its framework."""
    assert result is not None  # or the change were not debatable
    column = run.header.columns[result.column]
    package = run.header.implementations.get(column.implementation, {}).get("package") or column.framework
    wanted = {package: column.version, column.framework: run.header.shared.get(column.framework, "")}
    return tuple(
        f"{distribution(name)}=={Version(version).public}"
        for name, version in wanted.items()
        if version and name != "numpy"
    )


def _together(old: ReplayResult, new: ReplayResult) -> Replayed:
    why = "; ".join(each.words for each in (old, new) if each.seen is Observation.UNASKED)
    return Replayed(old.seen, new.seen, why)
