"""What a run was made on: the entries of its environment, of one run or of several merged ones by their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

Environment = Mapping[str, Mapping[str, str]]


def shared(environment: Environment) -> dict[str, str]:
    """Return the entries on which all merged runs agree."""
    return {name: next(iter(values.values())) for name, values in _entries(environment) if _same(values)}


def differing(environment: Environment) -> dict[str, dict[str, str]]:
    """Return the entries in which merged runs differ, each by the label of the run."""
    return {name: values for name, values in _entries(environment) if not _same(values)}


def described(environment: Environment) -> dict[str, str]:
    """Return all entries as one list for people; those that differ are named ``python [jax]``."""
    return {
        name if _same(values) else f"{name} [{label}]": value
        for name, values in _entries(environment)
        for label, value in values.items()
    }


def _entries(environment: Environment) -> Iterator[tuple[str, dict[str, str]]]:
    for name in dict.fromkeys(name for own in environment.values() for name in own):
        yield name, {label: own[name] for label, own in environment.items() if name in own}


def _same(values: Mapping[str, str]) -> bool:
    return len({*values.values()}) == 1
