"""The findings are what is recorded and what was seen of it, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from kl_conformance.cli.expect.findings import evidence, findings
from kl_conformance.diagnosis.confirmation import ScriptResult, execute
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_conformance.implementations import registry

DOCUMENT = Path(__file__).parents[1] / "FINDINGS.md"
ENTRIES = [entry for framework in registry.FRAMEWORKS for entry in recorded(framework)]


def test_the_document_is_what_the_command_writes() -> None:
    """``kl-conformance expect findings -o conformance/FINDINGS.md`` changes nothing."""
    assert DOCUMENT.read_text(encoding="utf-8") == findings()


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_every_deviation_is_written_up_with_what_was_seen(entry: Expectation) -> None:
    """Each has its reason, region, link and an example of its own; its script is complete and short."""
    text = findings()
    for said in (f"### {entry.id}\n", entry.reason, entry.region.text, entry.link):
        assert said in text
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
    """In a process of its own the script fails as it says, on a SciPy that it is recorded for."""
    installed = registry.installed_version("scipy")
    if not entry.versions.contains(installed):
        pytest.skip(f"recorded for SciPy {entry.versions}, {installed} is installed")
    assert execute(evidence()[entry.id]["script"]) is ScriptResult.FAILURE


def test_nothing_is_kept_that_is_not_recorded() -> None:
    """What was seen of an entry that has gone goes with it."""
    assert evidence().keys() == {entry.id for entry in ENTRIES}


def test_what_somebody_reported_comes_first() -> None:
    """Of an implementation's findings the reported ones stand before those nobody has reported."""
    text = findings()
    reported, unreported = "torch-log-target-zero-nan", "torch-masked-class-nan"
    assert text.index(f"### {reported}\n") < text.index(f"### {unreported}\n")
