"""Repeats changed cells of a comparison under both versions."""

import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from packaging.version import Version

from kl_conformance.implementations import registry
from kl_conformance.versions import witness_file
from kl_conformance.versions.environments import InstallError, distribution, environment, suite_copy
from kl_conformance.versions.replay import ReplayRequest, ReplayResult, replay_all
from kl_conformance.versions.witness_file import WitnessError
from kl_reports.analysis.wording import count
from kl_reports.comparison.change import Change, Observation, Replayed, reclassified
from kl_reports.comparison.compare import Comparison
from kl_reports.runfile.records import Result, Run

Pins = tuple[str, ...]


def recheck(comparison: Comparison, log: Callable[[str], None]) -> Comparison:
    """Replay the witness of every cell whose verdict changed on both versions, and return the comparison with that.

    Versions that are not installed here are installed in fresh environments, one for each side and framework. If a
    version cannot be installed, its changes stay as recorded, with the reason.
    """
    groups = dict[tuple[Pins, Pins], list[Change]]()
    for change in comparison.changes:
        if change.replayable and registry.is_builtin(change.column.implementation):
            pins = _pins(comparison.old, change.old), _pins(comparison.new, change.new)
            groups.setdefault(pins, []).append(change)
    rechecked = dict[str, Change]()
    with suite_copy() as suite:
        for pins, changes in groups.items():
            log(f"Repeating {count(len(changes), 'cell')} on {' and '.join(' '.join(each) for each in pins)}")
            requests = [_request(comparison, change) for change in changes]
            old, new = (_replay(each, requests, suite) for each in pins)
            for change, before, after in zip(changes, old, new, strict=True):
                rechecked[change.name] = reclassified(change, _joined(before, after))
    return replace(comparison, changes=tuple(rechecked.get(each.name, each) for each in comparison.changes))


def _request(comparison: Comparison, change: Change) -> ReplayRequest | str:
    """Return the request to replay the witness of a change, or the reason why it cannot be replayed."""
    result = change.witnessed
    assert result is not None  # every replayable change has a witness
    try:
        run = comparison.new if result is change.new else comparison.old
        return ReplayRequest(witness_file.from_result(run, result))
    except WitnessError as error:
        return str(error)


def _replay(pins: Pins, requests: Sequence[ReplayRequest | str], suite: Path) -> list[ReplayResult]:
    """Replay witnesses on the versions installed here, or in a fresh environment."""
    possible = [each for each in requests if isinstance(each, ReplayRequest)]
    try:
        with _installed(pins, suite) as (interpreter, variables):
            results = iter(replay_all(possible, interpreter, variables))
    except InstallError as error:
        reason = f"{' '.join(pins)} could not be installed ({error})"
        results = iter([ReplayResult(Observation.NOT_TESTED, reason)] * len(possible))
    return [
        next(results) if isinstance(each, ReplayRequest) else ReplayResult(Observation.NOT_TESTED, each)
        for each in requests
    ]


@contextmanager
def _installed(pins: Pins, suite: Path) -> Generator[tuple[str, Mapping[str, str] | None]]:
    """Yield an interpreter with these versions installed, and the environment variables to start it with."""
    if all(_is_installed(pin) for pin in pins):
        yield sys.executable, None
        return
    with environment(pins, suite) as fresh:
        yield str(fresh.python), fresh.variables


def _is_installed(pin: str) -> bool:
    name, _, version = pin.partition("==")
    installed = registry.installed_version(name)
    return installed != "absent" and Version(installed).public == version


def _pins(run: Run, result: Result | None) -> Pins:
    """Return the versions with which a cell was tested: of its package, and of its framework."""
    assert result is not None  # every replayable change has a result on both sides
    column = run.header.columns[result.column]
    package = run.header.implementations.get(column.implementation, {}).get("package") or column.framework
    versions = {package: column.version, column.framework: run.header.shared.get(column.framework, "")}
    return tuple(
        f"{distribution(name)}=={Version(version).public}"
        for name, version in versions.items()
        if version and name != "numpy"
    )


def _joined(old: ReplayResult, new: ReplayResult) -> Replayed:
    reasons = [each.message for each in (old, new) if each.observation is Observation.NOT_TESTED]
    return Replayed(old.observation, new.observation, "; ".join(reasons))
