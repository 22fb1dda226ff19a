"""The findings are the recorded deviations and their observed examples."""

import ast
from pathlib import Path

import pytest

from kl_conformance.cli.expect.findings import document, evidence
from kl_conformance.diagnosis.confirmation import ScriptResult, execute
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_conformance.implementations import registry

DOCUMENT = Path(__file__).parents[2] / "FINDINGS.md"
ENTRIES = [entry for framework in registry.FRAMEWORKS for entry in recorded(framework)]


def test_the_document_is_what_the_command_writes() -> None:
    """``kl-conformance expect findings -o conformance/FINDINGS.md`` changes nothing."""
    assert DOCUMENT.read_text(encoding="utf-8") == document()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_deviation_is_described_with_an_example(entry: Expectation) -> None:
    """Each has its reason, region, link and an example; its script is complete and short."""
    text = document()
    for part in (f"### {entry.id}\n", entry.reason, entry.region.text, entry.link):
        assert part in text
    seen = evidence()[entry.id]
    assert seen["implementation"] in entry.implementations
    assert seen["requirement"] in entry.requirements
    assert not entry.dtypes or seen["dtype"] in entry.dtypes
    assert seen["case"]
    if seen["script"]:
        ast.parse(seen["script"])
        assert "kl_conformance" not in seen["script"]
        assert len(seen["script"].splitlines()) <= 15


@pytest.mark.parametrize("entry", recorded("scipy"), ids=lambda entry: entry.id)
def test_a_reproducer_shows_its_finding(entry: Expectation) -> None:
    """In its own process the script fails with the deviation, under a SciPy version it is recorded for."""
    installed = registry.installed_version("scipy")
    if not entry.versions.contains(installed):
        pytest.skip(f"recorded for SciPy {entry.versions}, {installed} is installed")
    assert execute(evidence()[entry.id]["script"]) is ScriptResult.FAILURE


def test_only_recorded_deviations_have_examples() -> None:
    """The example of a removed entry is removed with it."""
    assert evidence().keys() == {entry.id for entry in ENTRIES}


def test_reported_findings_come_first() -> None:
    """The reported findings of an implementation precede the unreported ones."""
    text = document()
    reported, unreported = "torch-log-target-zero-nan", "torch-masked-class-nan"
    assert text.index(f"### {reported}\n") < text.index(f"### {unreported}\n")
