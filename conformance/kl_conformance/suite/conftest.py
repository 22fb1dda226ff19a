"""Turns cells into pytest items, and verdicts into outcomes."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import assert_never

import pytest

from kl_conformance import processes
from kl_conformance.harness import heartbeat
from kl_conformance.runs.plan import PlannedCell, evaluation_order
from kl_conformance.runs.session import Session
from kl_conformance.suite.options import plan_of
from kl_conformance.suite.recorder import PROPERTY
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Result, Verdict

SESSION = pytest.StashKey[Session]()
GC_THRESHOLD = 100_000  # objects; with Python's default of 700, collecting takes 5 % of a worker's time


def pytest_configure(config: pytest.Config) -> None:
    """Create the session; a worker's process opens its heartbeat file and ends with its parent."""
    file = str(config.getoption("--kl-heartbeat", default=""))
    if file:
        processes.end_with_parent()
        heartbeat.open_for_writing(Path(file))
    config.stash[SESSION] = Session(plan_of(config).selection)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Let a worker's process collect garbage rarely, and not among the imported modules, which stay until its end."""
    if session.config.getoption("--kl-heartbeat", default=""):
        gc.freeze()
        gc.set_threshold(GC_THRESHOLD)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Create an item for every cell of the function's chapter."""
    if "cell" in metafunc.fixturenames:
        chapter = metafunc.function.__name__.removeprefix("test_")
        cells = plan_of(metafunc.config).chapter(chapter)
        metafunc.parametrize("cell", cells, ids=[cell.key for cell in cells])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort the items into the order of evaluation, which keeps caches useful, and remove those already evaluated."""
    file = str(config.getoption("--kl-done"))
    done = set(Path(file).read_text(encoding="utf-8").splitlines()) if file else set[str]()
    items[:] = [item for item in items if (cell := _cell(item)) is None or cell.key not in done]
    order = {cell.key: place for place, cell in enumerate(evaluation_order(plan_of(config).cells))}
    items.sort(key=lambda item: -1 if (cell := _cell(item)) is None else order[cell.key])
    for item in items:
        if _cell(item) is not None:
            # The caller's warning filters do not apply to the implementation's warnings.
            item.add_marker(pytest.mark.filterwarnings("default"))


def _cell(item: pytest.Item) -> PlannedCell | None:
    """Return the cell of an item; None for items of other test suites."""
    callspec = getattr(item, "callspec", None)
    cell = None if callspec is None else callspec.params.get("cell")
    return cell if isinstance(cell, PlannedCell) else None


@pytest.fixture
def evaluate(request: pytest.FixtureRequest) -> Callable[[PlannedCell], None]:
    """Return a function that evaluates a cell, records its result and ends the item with the matching outcome."""
    session = request.config.stash[SESSION]

    def evaluate_cell(cell: PlannedCell) -> None:
        # Pytest sets it, to another value for each item; it is no part of the state that a call must not change.
        os.environ.pop("PYTEST_CURRENT_TEST", None)
        result = session.evaluate(cell)
        request.node.user_properties.append((PROPERTY, encode(result)))
        _end(cell, result)

    return evaluate_cell


def _end(cell: PlannedCell, result: Result) -> None:
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
