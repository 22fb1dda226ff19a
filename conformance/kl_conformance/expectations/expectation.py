"""Expectation: a recorded deviation, its versions and its region; loads the TOML files."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from kl_cases.corpus import case_pair, find_case
from kl_cases.pair import Pair
from kl_conformance.expectations.predicate import Predicate
from kl_conformance.expectations.vocabulary import INSTEAD_NAMES, REGION_NAMES, instead_values, region_values
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.judging.judgement import Judgement, Mask
from kl_reports.runfile.records import Column
from kl_reports.versions import meets

FOLDER = Path(__file__).parent
_REQUIRED = {"id", "requirements", "implementations", "versions", "region", "instead", "witness", "reason"}
_KNOWN = _REQUIRED | {"link", "since", "review_by", "devices", "dtypes", "modes"}


class ExpectationError(ValueError):
    """A recorded deviation cannot be read; the message names file, entry and field."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """One recorded deviation.

    Parameters
    ----------
    id
        A unique name, such as ``torch-masked-class-nan``.
    requirements, implementations
        The requirements that fail, and the implementations that fail them.
    versions
        Versions it is recorded for (PEP 440).
    devices, dtypes, modes
        Columns it applies to; empty for every column.
    region
        Where the requirement fails: a predicate of each element's ``p``, ``q``, ``log_p``, ``log_q``.
    instead
        What is returned there: a predicate of ``got``, ``right``, ``no_error``, ``unhelpful_error`` (the expected
        error, without the names it should list), and of alternative definitions for which the answer would be correct:
        ``clipped`` (inputs clipped to the Convention's limits), ``clipped_in_single`` (the same in float32, with limits
        in that format), ``divided_by_batch`` (divided by the result's first axis once more), ``divided_by_model``
        (a mean divided by the model's first axis instead of the result's).
    witnesses
        Ids of the corpus cases that show it; each cell it applies to must be shown by one.
    reason, link
        Why the implementation is wrong; the upstream issue or ``"none found"``.
    since, review_by
        ISO dates.
    """

    id: str
    requirements: tuple[str, ...]
    implementations: tuple[str, ...]
    versions: SpecifierSet
    region: Predicate
    instead: Predicate
    witnesses: tuple[str, ...]
    reason: str
    link: str = "none found"
    since: str = ""
    review_by: str = ""
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()

    def applies_to(self, requirement: str, column: Column) -> bool:
        """Whether this entry applies to that cell."""
        return meets(column.version, self.versions, as_release=True) and self.applies_to_some_version(
            requirement, column
        )

    def applies_to_some_version(self, requirement: str, column: Column) -> bool:
        """Whether this entry applies to that cell in some version."""
        return (
            requirement in self.requirements
            and column.implementation in self.implementations
            and (not self.devices or column.device in self.devices)
            and (not self.dtypes or column.dtype in self.dtypes)
            and (not self.modes or column.mode in self.modes)
        )

    def explains(self, judgement: Judgement, subject: Subject) -> Mask:
        """Return where a failed judgement is in the region and shows the recorded result.

        An exception is no result, and the elements of a wrong shape cannot be compared, unless there are none.
        """
        shapes = judgement.shape_mismatch
        if judgement.raised or (shapes is not None and math.prod(shapes.returned)):
            return np.zeros(judgement.failed.shape, dtype=bool)
        region = _reduced(self.region(region_values(judgement.problem, self.region)), judgement)
        if not region.any():
            return region
        shown = self.instead(instead_values(judgement, subject, self.instead))
        explained: Mask = region & np.broadcast_to(shown, region.shape)
        return explained

    def witness_pairs(self) -> Iterator[tuple[str, Pair]]:
        """Yield the witnesses as pairs, each with the id of its corpus case."""
        for name in self.witnesses:
            yield name, case_pair(find_case(name))


def _reduced(region: Mask, judgement: Judgement) -> Mask:
    """Return, for each element of the answer, whether any of its inputs is in the region."""
    shape = judgement.failed.shape
    if region.shape == shape:
        return region
    if region.ndim == len(shape) + 1 and region.any(judgement.problem.axis).shape == shape:
        return np.asarray(region.any(judgement.problem.axis))
    return np.full(shape, bool(region.any()))


def load(text: str, source: str) -> tuple[Expectation, ...]:
    """Read recorded deviations from TOML.

    Raises
    ------
    ExpectationError
        The text is not TOML, an entry lacks a field or has an unknown one, or a field cannot be read.
    """
    try:
        whole = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ExpectationError(f"{source}: not TOML: {error}") from None
    entries = whole.get("deviation", [])
    if (
        set(whole) - {"deviation"}
        or not isinstance(entries, list)
        or not all(isinstance(entry, dict) for entry in entries)
    ):
        raise ExpectationError(f"{source}: contains something other than [[deviation]] entries")
    return tuple(_entry(entry, f"{source}, entry {place}") for place, entry in enumerate(entries, start=1))


def _entry(entry: Mapping[str, Any], place: str) -> Expectation:
    place = f"{place} ({entry.get('id', 'without id')})"
    if missing := sorted(_REQUIRED - set(entry)):
        raise ExpectationError(f"{place}: missing {', '.join(missing)}")
    if unknown := sorted(set(entry) - _KNOWN):
        raise ExpectationError(f"{place}: unknown field {unknown[0]!r}; known: {', '.join(sorted(_KNOWN))}")
    if not str(entry["reason"]).strip():
        raise ExpectationError(f"{place}: the reason is empty")
    try:
        witness = entry["witness"]
        made = Expectation(
            id=str(entry["id"]),
            requirements=_names(entry, "requirements"),
            implementations=_names(entry, "implementations"),
            versions=SpecifierSet(entry["versions"]),
            region=Predicate(entry["region"], REGION_NAMES),
            instead=Predicate(entry["instead"], INSTEAD_NAMES),
            witnesses=(witness,) if isinstance(witness, str) else tuple(witness),
            reason=str(entry["reason"]),
            link=str(entry.get("link", "none found")),
            since=str(entry.get("since", "")),
            review_by=str(entry.get("review_by", "")),
            devices=_names(entry, "devices"),
            dtypes=_names(entry, "dtypes"),
            modes=_names(entry, "modes"),
        )
        for name in made.witnesses:
            find_case(name)
    except (InvalidSpecifier, TypeError, ValueError) as error:
        raise ExpectationError(f"{place}: {error}") from None
    return made


def _names(entry: Mapping[str, Any], field: str) -> tuple[str, ...]:
    names = entry.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"{field} is {names!r}, not a list of names")
    return tuple(names)


@cache
def recorded(framework: str) -> tuple[Expectation, ...]:
    """Return the deviations recorded for a framework: those of its own file and of its packages' files."""
    packages = (each.package for each in registry.IMPLEMENTATIONS.values() if each.framework == framework)
    paths = [FOLDER / f"{name}.toml" for name in dict.fromkeys((framework, *packages))]
    read = (load(path.read_text(encoding="utf-8"), path.name) for path in paths if path.is_file())
    return tuple(entry for entries in read for entry in entries)


def expected_deviations(requirement: str, subject: Subject) -> tuple[Expectation, ...]:
    """Return the recorded deviations that apply to one cell."""
    entries = recorded(subject.framework.name)
    return tuple(entry for entry in entries if entry.applies_to(requirement, subject.column))


def permitted_deviations(requirement: str, subject: Subject) -> tuple[Expectation, ...]:
    """Return the deviations a kernel may have because they are recorded for the implementation it follows.

    They apply in every version, device and mode: a kernel follows the documentation, not a release.
    """
    like = subject.implementation.like
    if not like:
        return ()
    return tuple(
        entry
        for entry in recorded(loading.implementation(like).framework)
        if requirement in entry.requirements
        and like in entry.implementations
        and (not entry.dtypes or subject.column.dtype in entry.dtypes)
    )
