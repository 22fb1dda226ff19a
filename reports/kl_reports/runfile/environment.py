"""Environments of runs: versions and platform of one run, or of several merged runs by label."""

from collections.abc import Iterator, Mapping

Environment = Mapping[str, Mapping[str, str]]


def shared(environment: Environment) -> dict[str, str]:
    """Return the entries on which all merged runs agree."""
    return {name: next(iter(values.values())) for name, values in _entries(environment) if _agree(values)}


def differing(environment: Environment) -> dict[str, dict[str, str]]:
    """Return the entries in which merged runs differ, each by the label of the run."""
    return {name: values for name, values in _entries(environment) if not _agree(values)}


def described(environment: Environment) -> dict[str, str]:
    """Return all entries as one list; those that differ are named ``python [jax]``."""
    return {
        name if _agree(values) else f"{name} [{label}]": value
        for name, values in _entries(environment)
        for label, value in values.items()
    }


def _entries(environment: Environment) -> Iterator[tuple[str, dict[str, str]]]:
    for name in dict.fromkeys(name for entries in environment.values() for name in entries):
        yield name, {label: entries[name] for label, entries in environment.items() if name in entries}


def _agree(values: Mapping[str, str]) -> bool:
    return len({*values.values()}) == 1
