"""Every script on a page shows, in a clean process, the failure it claims."""

from __future__ import annotations

import importlib.util
import os
import re
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path

import pytest

from kl_conformance.execution import Seen, execute
from kl_conformance.reproducer import LINES
from kl_trials import command

SCRIPT = re.compile(r'<pre id="script-\d+" tabindex="0"><code>(.*?)</code></pre>', re.DOTALL)
OURS = ("kl_conformance", "kl_reference", "kl_cases", "kl_reports")


def scripts(page: Path) -> list[str]:
    """Return the scripts of a page, as a person copies them."""
    return [unescape(found) for found in SCRIPT.findall(page.read_text(encoding="utf-8"))]


@pytest.mark.parametrize(
    ("framework", "options", "fewest"),
    [("scipy", (), 4), ("torch", ("--dtype", "float32", "-k", "zero-over-zero or zero-target"), 3)],
)
def test_every_script_on_a_page_shows_its_failure(
    framework: str, options: tuple[str, ...], fewest: int, tmp_path: Path
) -> None:
    """What is recorded to be broken is seen by whoever pastes the script, without this suite."""
    if importlib.util.find_spec(framework) is None:
        pytest.skip(f"{framework} is not installed")
    asked = ["--framework", framework, "--profile", "quick", "--seed", "1", *options]
    command.ask("run", *asked, "-o", "run.jsonl.gz", at=tmp_path)
    command.ask("report", "run.jsonl.gz", "-o", "page.html", at=tmp_path)
    found = scripts(tmp_path / "page.html")
    assert len(found) >= fewest
    for script in found:
        assert len(script.splitlines()) <= LINES
        assert not any(name in script for name in OURS)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        seen = list(pool.map(execute, found))
    wrong = [script for script, one in zip(found, seen, strict=True) if one is not Seen.FAILURE]
    assert not wrong, "\n\n".join(wrong)
