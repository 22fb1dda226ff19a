"""Versions of packages: in their order, and asked for as in ``torch==2.12``."""

from __future__ import annotations

from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ABSENT = "absent"  # the version of a package that is not installed

Place = tuple[int, Version, str]


def order(version: str) -> Place:
    """Return what versions are sorted by: PEP 440, and after all of those whatever is no such version."""
    try:
        return 0, Version(version), version
    except InvalidVersion:
        return 1, Version("0"), version


def ordered(versions: Iterable[str]) -> list[str]:
    """Return each version once, the oldest first."""
    return sorted(set(versions), key=order)


def asked(text: str) -> Requirement:
    """Return what a text such as ``torch==2.12`` or ``jax>=0.4,<0.5`` asks for.

    Raises
    ------
    ValueError
        It is no requirement of a version.
    """
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"{text!r} asks for no version; one is asked for as in torch==2.12") from None
    return requirement


def same(name: str, other: str) -> bool:
    """Whether two names are one package's, however they are spelled."""
    return canonicalize_name(name) == canonicalize_name(other)


def meets(version: str, requirement: Requirement) -> bool:
    """Whether a version is one of those asked for; a pre-release is, where its number lies in the range."""
    try:
        return requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        return False
