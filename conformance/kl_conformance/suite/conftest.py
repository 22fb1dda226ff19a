"""One pytest item is one cell: how cells become items, and verdicts outcomes."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import pytest

from kl_conformance import processes
from kl_conformance.harness import heartbeat
from kl_conformance.runs.plan import PlannedCell, in_turn
from kl_conformance.runs.session import Session
from kl_conformance.suite.options import plan_of
from kl_conformance.suite.recorder import PROPERTY
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Result, Verdict

SESSION = pytest.StashKey[Session]()
SELDOM = 100_000  # objects made between two looks; Python's 700 take a twentieth of a worker's time


def pytest_configure(config: pytest.Config) -> None:
    """Make room for the subjects asked in this process; a worker keeps a note for the process it works for."""
    page = str(config.getoption("--kl-note", default=""))
    if page:
        processes.die_with_parent()
        heartbeat.open_for_writing(Path(page))
    config.stash[SESSION] = Session(plan_of(config).selection)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Let a worker look for garbage seldom, and not among all that was imported, which lives as long as it does."""
    if session.config.getoption("--kl-note", default=""):
        gc.freeze()
        gc.set_threshold(SELDOM)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Make an item of every cell of the function's chapter."""
    if "cell" in metafunc.fixturenames:
        chapter = metafunc.function.__name__.removeprefix("test_")
        cells = plan_of(metafunc.config).chapter(chapter)
        metafunc.parametrize("cell", cells, ids=[cell.key for cell in cells])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Ask all implementations one requirement, then the next, so that what is asked of all is still remembered.

    What an earlier process of the same worker has settled is not asked again.
    """
    settled = str(config.getoption("--kl-settled"))
    known = set(Path(settled).read_text(encoding="utf-8").splitlines()) if settled else set[str]()
    items[:] = [item for item in items if (cell := _cell(item)) is None or cell.key not in known]
    order = {cell.key: place for place, cell in enumerate(in_turn(plan_of(config).cells))}
    items.sort(key=lambda item: -1 if (cell := _cell(item)) is None else order[cell.key])
    for item in items:
        if _cell(item) is not None:
            # Its warnings are the implementation's, whatever is configured around here.
            item.add_marker(pytest.mark.filterwarnings("default"))


def _cell(item: pytest.Item) -> PlannedCell | None:
    """Return the cell an item settles; None for an item of somebody else's."""
    callspec = getattr(item, "callspec", None)
    cell = None if callspec is None else callspec.params.get("cell")
    return cell if isinstance(cell, PlannedCell) else None


@pytest.fixture
def settle(request: pytest.FixtureRequest) -> Callable[[PlannedCell], None]:
    """Settle a cell, record its result and end the item accordingly."""
    session = request.config.stash[SESSION]

    def ask(cell: PlannedCell) -> None:
        # Pytest's own, and another in every item: no part of the surroundings that a call is to leave as they are.
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        result = session.evaluate(cell)
        request.node.user_properties.append((PROPERTY, encode(result)))
        _end(cell, result)

    return ask


def _end(cell: PlannedCell, result: Result) -> None:
    """Turn a verdict into pytest's outcome."""
    match result.verdict:
        case Verdict.PASS:
            return
        case Verdict.EXPECTED:
            pytest.xfail(f"{result.deviation}: {result.detail}")
        case Verdict.UNSUPPORTED | Verdict.MISSING | Verdict.UNDECIDED:
            pytest.skip(f"{result.verdict.name}: {result.detail}")
        case Verdict.FAIL | Verdict.FIXED | Verdict.NONDETERMINISTIC | Verdict.CRASHED | Verdict.TIMED_OUT:
            sentence = f"{cell.requirement.sentence}\n{result.verdict.name}: {result.detail}"
            pytest.fail(sentence, pytrace=False)
        case _:
            assert_never(result.verdict)
