"""The recorded files are consistent: deviations, requirements, implementations, cases."""

from collections import Counter
from datetime import date
from importlib.resources import files

import pytest

from kl_cases.corpus import CHAPTERS, cases, find_case
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_conformance.frameworks.framework import Modules
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.runs.selection import columns_of
from kl_conformance.suite import test_requirements

ENTRIES = [(framework, entry) for framework in registry.FRAMEWORKS for entry in recorded(framework)]
each_entry = pytest.mark.parametrize(("framework", "entry"), ENTRIES, ids=[entry.id for _, entry in ENTRIES])


def test_every_file_belongs_to_a_framework_or_package() -> None:
    """A file of deviations has the name of a framework or of a built-in package; others would not be read."""
    folder = files("kl_conformance") / "expectations"
    names = {path.name.removesuffix(".toml") for path in folder.iterdir() if path.name.endswith(".toml")}
    tested = {each.package for each in registry.IMPLEMENTATIONS.values()}
    assert names <= registry.FRAMEWORKS.keys() | tested
    assert ENTRIES


def test_no_two_entries_share_an_id() -> None:
    """A deviation's id in a cell identifies one entry."""
    counts = Counter(entry.id for _, entry in ENTRIES)
    assert not [name for name, count in counts.items() if count > 1]


@each_entry
def test_an_entry_names_what_exists(framework: str, entry: Expectation) -> None:
    """Requirements, implementations (of that framework), devices, dtypes, modes and cases are all known."""
    every = registry.IMPLEMENTATIONS.values()
    implementations = {each.name: each for each in every if each.framework == framework}
    assert set(entry.requirements) <= catalogue.REQUIREMENTS.keys()
    assert set(entry.implementations) <= implementations.keys()
    tested = [column for name in entry.implementations for column in columns_of(implementations[name])]
    assert set(entry.devices) <= {column.device for column in tested}
    assert set(entry.dtypes) <= {column.dtype for column in tested}
    assert set(entry.modes) <= {column.mode for column in tested}
    for name in entry.witnesses:
        assert find_case(name).sentence


@each_entry
def test_an_entry_applies_to_cells_that_are_evaluated(framework: str, entry: Expectation) -> None:
    """Each requirement of an entry is applicable to each of its implementations."""
    for name in entry.implementations:
        implementation = loading.implementation(name)
        columns = [
            column
            for column in columns_of(implementation)
            if (not entry.dtypes or column.dtype in entry.dtypes)
            and (not entry.devices or column.device in entry.devices)
        ]
        assert columns
        for requirement in entry.requirements:
            reasons = [
                catalogue.requirement(requirement).applies(
                    Subject(implementation, registry.framework(framework), Modules(), column)
                )
                for column in columns
            ]
            assert None in reasons, f"{requirement} does not apply to {name}: {reasons[0]}"


@each_entry
def test_an_entry_has_a_reason_and_dates(framework: str, entry: Expectation) -> None:
    """An entry has a reason, a link or "none found", the date it was recorded, and the date of its review."""
    del framework
    assert entry.reason.strip().endswith((".", '"'))
    assert entry.link == "none found" or entry.link.startswith("https://")
    assert date.fromisoformat(entry.since) < date.fromisoformat(entry.review_by)
    assert entry.region.text != "True"
    assert entry.instead.text != "True"


def test_every_case_serves_a_requirement() -> None:
    """A case names requirements of the catalogue."""
    named = {name for each in cases() for name in each.requirements}
    assert named <= catalogue.REQUIREMENTS.keys()


def test_the_chapters_agree() -> None:
    """Requirements, suite and corpus are divided into the same chapters."""
    assert set(CHAPTERS) <= catalogue.CHAPTERS.keys()
    for chapter, requirements in catalogue.CHAPTERS.items():
        assert hasattr(test_requirements, f"test_{chapter}")
        assert {each.chapter for each in requirements} == {chapter}
