"""Every script on a page shows, in a clean process, the failure it claims."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

from kl_conformance import processes
from kl_conformance.cli.expect.findings import evidence
from kl_conformance.diagnosis.confirmation import ScriptResult, execute
from kl_conformance.diagnosis.reproducer import LINES
from kl_conformance.implementations import loading
from kl_conformance_testkit import command

SCRIPT = re.compile(r'<pre id="script-\d+" tabindex="0"><code>(.*?)</code></pre>', re.DOTALL)
PATIENCE = 300  # seconds for a framework to be imported and asked
OURS = ("kl_conformance", "kl_reference", "kl_cases", "kl_reports")


def scripts(page: Path) -> list[str]:
    """Return the scripts of a page, as a person copies them."""
    return [unescape(found) for found in SCRIPT.findall(page.read_text(encoding="utf-8"))]


def unshown(found: list[str]) -> str:
    """Execute scripts in clean processes, and return those that do not show their failure."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        seen = list(pool.map(execute, found))
    return "\n\n".join(
        script for script, one in zip(found, seen, strict=True) if one is not ScriptResult.FAILURE
    )


def recorded() -> dict[str, dict[str, str]]:
    """Return for each framework that is here, and each chapter, a recorded deviation that has a script."""
    found: dict[str, dict[str, str]] = {}
    for name, seen in evidence().items():
        own = loading.implementation(seen["implementation"])
        here = all(importlib.util.find_spec(each) for each in (own.framework, *own.requires))
        if here and seen["script"] and seen["device"] == "cpu":
            found.setdefault(own.framework, {}).setdefault(seen["requirement"].partition("/")[0], name)
    return found


def sample() -> dict[str, dict[str, str]]:
    """Return few of them: every framework has one, and so has every chapter."""
    chosen: dict[str, dict[str, str]] = {}
    covered = set[str]()
    for framework, own in sorted(recorded().items(), key=lambda entry: len(entry[1])):
        fresh = {chapter: name for chapter, name in own.items() if chapter not in covered}
        chosen[framework] = fresh or dict(list(own.items())[:1])
        covered.update(own)
    return chosen


def asked_again(framework: str, own: Mapping[str, str]) -> list[str]:
    """Replay recorded deviations on the version installed, and return a script for each chapter."""
    found = processes.request(
        "kl_conformance.cli.expect.check", [framework, list(own.values())], seconds=PATIENCE
    )
    said = [each["evidence"] for each in found if each["evidence"]]
    with_scripts = {each["requirement"].partition("/")[0]: each["script"] for each in said if each["script"]}
    assert with_scripts.keys() >= own.keys()
    return [with_scripts[chapter] for chapter in own]


def test_every_script_on_a_page_of_a_whole_run_shows_its_failure(tmp_path: Path) -> None:
    """What SciPy is recorded to do wrong is seen by whoever pastes the script, without this suite."""
    asked = (
        "--framework",
        "scipy",
        "--dtype",
        "float32",
        "--dtype",
        "float64",
        "--profile",
        "quick",
        "--seed",
        "1",
    )
    command.run_cli("run", *asked, "-o", "run.jsonl.gz", at=tmp_path)
    command.run_cli("report", "run.jsonl.gz", "-o", "page.html", at=tmp_path)
    found = scripts(tmp_path / "page.html")
    assert len(found) >= 4
    for script in found:
        assert len(script.splitlines()) <= LINES
        assert not any(name in script for name in OURS)
    assert not unshown(found)


def test_every_framework_and_every_chapter_has_a_script_that_shows_its_failure() -> None:
    """Of all installed frameworks; ``conformance/studies/reproducers/study.py`` does it with every script of a run."""
    chosen = sample()
    assert chosen
    found = [script for framework, own in chosen.items() for script in asked_again(framework, own)]
    assert not unshown(found)
