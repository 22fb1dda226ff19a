"""Every script on a page shows its failure in a clean process."""

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
TIMEOUT = 300  # seconds to import a framework and to replay its deviations
OURS = ("kl_conformance", "kl_reference", "kl_cases", "kl_reports")


def scripts(page: Path) -> list[str]:
    """Return the text of the scripts on a page."""
    return [unescape(found) for found in SCRIPT.findall(page.read_text(encoding="utf-8"))]


def without_failure(found: list[str]) -> str:
    """Execute scripts in clean processes, and return those that do not show their failure."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        seen = list(pool.map(execute, found))
    both = zip(found, seen, strict=True)
    return "\n\n".join(script for script, one in both if one is not ScriptResult.FAILURE)


def recorded() -> dict[str, dict[str, str]]:
    """Return for each installed framework and each chapter a known deviation that has a script."""
    found: dict[str, dict[str, str]] = {}
    for name, seen in evidence().items():
        implementation = loading.implementation(seen["implementation"])
        installed = all(importlib.util.find_spec(each) for each in (implementation.framework, *implementation.requires))
        if installed and seen["script"] and seen["device"] == "cpu":
            chapter = seen["requirement"].partition("/")[0]
            found.setdefault(implementation.framework, {}).setdefault(chapter, name)
    return found


def sample() -> dict[str, dict[str, str]]:
    """Return a few of them, at least one of each framework and each chapter."""
    chosen: dict[str, dict[str, str]] = {}
    covered = set[str]()
    for framework, own in sorted(recorded().items(), key=lambda entry: len(entry[1])):
        fresh = {chapter: name for chapter, name in own.items() if chapter not in covered}
        chosen[framework] = fresh or dict(list(own.items())[:1])
        covered.update(own)
    return chosen


def replayed(framework: str, own: Mapping[str, str]) -> list[str]:
    """Replay known deviations on the installed version, and return a script for each chapter."""
    found = processes.request("kl_conformance.cli.expect.check", [framework, list(own.values())], seconds=TIMEOUT)
    seen = [each["evidence"] for each in found if each["evidence"]]
    with_scripts = {each["requirement"].partition("/")[0]: each["script"] for each in seen if each["script"]}
    assert with_scripts.keys() >= own.keys()
    return [with_scripts[chapter] for chapter in own]


def test_every_script_on_a_page_of_a_whole_run_shows_its_failure(tmp_path: Path) -> None:
    """The known deviations of SciPy are reproduced by their scripts, which do not import this suite."""
    selection = ("--framework", "scipy", "--dtype", "float32", "--dtype", "float64", "--seed", "1")
    command.run_cli("run", *selection, "--profile", "quick", "-o", "run.jsonl.gz", at=tmp_path)
    command.run_cli("report", "run.jsonl.gz", "-o", "page.html", at=tmp_path)
    found = scripts(tmp_path / "page.html")
    assert len(found) >= 4
    for script in found:
        assert len(script.splitlines()) <= LINES
        assert not any(name in script for name in OURS)
    assert not without_failure(found)


def test_every_framework_and_every_chapter_has_a_script_that_shows_its_failure() -> None:
    """For all installed frameworks; ``conformance/studies/reproducers/study.py`` executes every script of a run."""
    chosen = sample()
    assert chosen
    found = [script for framework, own in chosen.items() for script in replayed(framework, own)]
    assert not without_failure(found)
