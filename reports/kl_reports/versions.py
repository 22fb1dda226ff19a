"""Versions of packages: in their order, and asked for as in ``torch==2.12``."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
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


@cache
def meets(version: str, versions: SpecifierSet, *, as_release: bool = False) -> bool:
    """Whether a version is among these; False for text that is no PEP 440 version.

    A pre-release is, where its number is in the range. With ``as_release`` a build before the release counts as the
    release: nightly builds, and Debian's torch 1.13, whose version is 1.13.0a0.
    """
    try:
        found = Version(version)
    except InvalidVersion:
        return False
    return versions.contains(found.base_version if as_release else found, prereleases=True)
