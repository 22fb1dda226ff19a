"""Adding an implementation takes a file of at most twenty lines, as the README shows it."""

from __future__ import annotations

import re
import sys
from collections.abc import Generator
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

from kl_cases.problems import Profile
from kl_conformance import catalogue, plan, registry
from kl_conformance.plan import Planned, Selection
from kl_conformance.session import Session
from kl_reports.result import Result, Verdict

README = Path(__file__).parents[1] / "README.md"
MYLAB = """\
import numpy as np
def kl(log_q, p):
    with np.errstate(all="ignore"):
        return np.where(p > 0, p * (np.log(p) - log_q), 0 * p{fault}).sum(-1)
"""


def example() -> str:
    """Return the file that the README shows."""
    section = README.read_text(encoding="utf-8").partition("## Adding an implementation")[2]
    found = re.search(r"```python\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return an empty folder of packages, where the README's file lies beside the other implementations."""
    declared, installed = tmp_path / "declared", tmp_path / "installed"
    for each in (declared, installed):
        each.mkdir()
    (declared / "mylab_of_the_readme.py").write_text(example(), encoding="utf-8")
    builtin = import_module(registry.BUILTIN)
    monkeypatch.setattr(builtin, "__path__", [*builtin.__path__, str(declared)])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # the package changes faster than its files' times
    monkeypatch.syspath_prepend(str(installed))
    yield installed
    for name in ("mylab", "mylab.losses", f"{registry.BUILTIN}.mylab_of_the_readme"):
        sys.modules.pop(name, None)


def settled() -> Result:
    """Return the verdict of one cell of the README's implementation."""
    (own,) = (each for each in registry.declared() if each.package == "mylab")
    cell = Planned(catalogue.requirement("signs/gibbs"), own, plan.columns(own)[0])
    return Session(Selection(profile=Profile.QUICK)).settle(cell)


def test_the_example_is_a_whole_file_of_twenty_lines() -> None:
    """What the README shows is complete, and no longer than it says."""
    lines = example().splitlines()
    assert len(lines) <= 20
    assert lines[0].startswith('"""')
    assert "at most 20 lines" in README.read_text(encoding="utf-8")


def test_the_file_is_all_there_is_to_add(folder: Path) -> None:
    """The registry knows it by its file; not installed it is MISSING; installed it is judged, and a fault is found."""
    known = [each.name for each in registry.declared()]
    assert [each for each in known if each not in registry.IMPLEMENTATIONS] == ["mylab.losses.kl"]
    absent = settled()
    assert absent.verdict is Verdict.MISSING
    assert absent.detail.endswith("install it with pip install mylab")
    (folder / "mylab").mkdir()
    invalidate_caches()
    (folder / "mylab" / "__init__.py").write_text("from mylab import losses\n", encoding="utf-8")
    for fault, verdict in (("", Verdict.PASS), (" - p", Verdict.PASS), (" - 1", Verdict.FAIL)):
        (folder / "mylab" / "losses.py").write_text(MYLAB.format(fault=fault), encoding="utf-8")
        for name in ("mylab", "mylab.losses"):
            sys.modules.pop(name, None)
        assert settled().verdict is verdict
