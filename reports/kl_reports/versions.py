"""Package versions: parsing, order and comparison with requirements such as ``torch==2.12``."""

from collections.abc import Iterable
from functools import cache

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

ABSENT = "absent"  # the version of a package that is not installed

SortKey = tuple[int, Version, str]


def sort_key(version: str) -> SortKey:
    """Return the sort key of a version: PEP 440; other texts come last."""
    try:
        return 0, Version(version), version
    except InvalidVersion:
        return 1, Version("0"), version


def sorted_versions(versions: Iterable[str]) -> list[str]:
    """Return each version once, the oldest first."""
    return sorted(set(versions), key=sort_key)


def parse_requirement(text: str) -> Requirement:
    """Parse a requirement such as ``torch==2.12`` or ``jax>=0.4,<0.5``.

    Raises
    ------
    ValueError
        The text is not a requirement.
    """
    try:
        return Requirement(text)
    except InvalidRequirement:
        raise ValueError(f"{text!r} is not a version requirement; example: torch==2.12") from None


def same_package(name: str, other: str) -> bool:
    """Whether two spellings name the same package."""
    return canonicalize_name(name) == canonicalize_name(other)


@cache
def meets(version: str, versions: SpecifierSet, *, as_release: bool = False) -> bool:
    """Whether a version is in a range; False for text that is not a PEP 440 version.

    Pre-releases count if their number is in the range. With ``as_release`` a build before a release counts as that
    release: nightly builds, and Debian's torch 1.13, whose version is 1.13.0a0.
    """
    try:
        found = Version(version)
    except InvalidVersion:
        return False
    return versions.contains(found.base_version if as_release else found, prereleases=True)
