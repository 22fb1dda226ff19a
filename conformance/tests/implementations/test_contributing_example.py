"""Adding an implementation takes a file of at most twenty lines, as the documentation shows it."""

import re
import sys
from collections.abc import Generator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.implementations import builtin, registry
from kl_conformance.requirements import catalogue
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_reports.runfile.records import Result, Verdict

ROOT = next(folder for folder in Path(__file__).parents if (folder / "tox.ini").is_file())
PAGE = ROOT / "docs" / "how-to" / "add-an-implementation.md"
MYLAB = """\
import numpy as np
def kl(log_q, p):
    with np.errstate(all="ignore"):
        return np.where(p > 0, p * (np.log(p) - log_q), 0 * p{fault}).sum(-1)
"""


def example() -> str:
    """Return the file that the page shows."""
    found = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """Return an empty folder of packages, with the page's file among the other implementations."""
    declared, installed = tmp_path / "declared", tmp_path / "installed"
    for each in (declared, installed):
        each.mkdir()
    (declared / "mylab_of_the_page.py").write_text(example(), encoding="utf-8")
    monkeypatch.setattr(builtin, "__path__", [*builtin.__path__, str(declared)])
    # The package changes within the resolution of file times.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(installed))
    yield installed
    for name in ("mylab", "mylab.losses", f"{builtin.__name__}.mylab_of_the_page"):
        sys.modules.pop(name, None)


def evaluated() -> Result:
    """Return the verdict of one cell of the page's implementation."""
    (implementation,) = (each for each in registry.declared() if each.package == "mylab")
    cell = PlannedCell(catalogue.requirement("signs/gibbs"), implementation, columns_of(implementation)[0])
    return Session(Selection(profile=TestProfile.QUICK)).evaluate(cell)


def test_the_example_is_a_complete_file_of_twenty_lines() -> None:
    """The example is complete, and no longer than the page says."""
    lines = example().splitlines()
    assert len(lines) <= 20
    assert lines[0].startswith('"""')
    assert "at most 20 lines" in PAGE.read_text(encoding="utf-8")


def test_nothing_but_the_file_has_to_be_added(folder: Path) -> None:
    """The registry finds the file; the cell is MISSING without the package, else judged, and a fault is found."""
    known = [each.name for each in registry.declared()]
    assert [each for each in known if each not in registry.IMPLEMENTATIONS] == ["mylab.losses.kl"]
    absent = evaluated()
    assert absent.verdict is Verdict.MISSING
    assert absent.detail.endswith("install it with pip install mylab")
    (folder / "mylab").mkdir()
    invalidate_caches()
    (folder / "mylab" / "__init__.py").write_text("from mylab import losses\n", encoding="utf-8")
    for fault, verdict in (("", Verdict.PASS), (" - p", Verdict.PASS), (" - 1", Verdict.FAIL)):
        (folder / "mylab" / "losses.py").write_text(MYLAB.format(fault=fault), encoding="utf-8")
        for name in ("mylab", "mylab.losses"):
            sys.modules.pop(name, None)
        assert evaluated().verdict is verdict
