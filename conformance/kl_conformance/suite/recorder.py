"""Listens to a pytest session and writes what is found into a run file, so that nothing recorded is ever lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from kl_conformance.harness.opening import Absent, load_framework
from kl_conformance.runs import header
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.suite.options import plan_of
from kl_reports.files import RunFileError, check_writable
from kl_reports.runfile.codec import decode
from kl_reports.runfile.file import Writer
from kl_reports.runfile.records import Kind, Result, Verdict

PROPERTY = "kl_conformance"
_DIED = "???"  # what pytest-xdist calls the phase of an item whose process died


class Recorder:
    """Keeps the run file of a session, where one is asked for, and its exit code honest.

    With pytest-xdist it runs in the controller, which collects nothing itself: items are known by their ids,
    and results reach it inside the reports.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._plan = plan_of(config)
        by_name = self._plan.selection.frameworks or self._plan.selection.implementations
        self._demanded = bool(by_name) and not config.getoption("--if-installed")
        asked = config.getoption("--run-file")
        self._path = None if asked is None else Path(asked)
        self._writer: Writer | None = None
        self._cells: dict[str, PlannedCell] = {}
        self._recorded: set[str] = set()
        self._harness_failed = False
        try:
            if self._path is not None:
                check_writable(self._path)
        except RunFileError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Refuse a framework that was asked by name and is not there, before anything else is started."""
        if not self._demanded or session.config.option.collectonly:
            return
        for name in dict.fromkeys(each.framework for each in self._plan.implementations):
            modules = load_framework(name)
            if isinstance(modules, Absent):
                raise pytest.UsageError(modules.reason)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin the file, once it is known which cells are asked."""
        if not session.config.option.collectonly:
            self._begin(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Do so where other processes collect, each of which collects all."""
        del node
        if not self._cells:
            self._begin(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which cell is about to be asked: should the process die, it is known at whose door."""
        if nodeid in self._cells:
            self._write(lambda writer: writer.started(self._cells[nodeid].key))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a verdict, or that the process died, or that the harness itself failed."""
        if report.nodeid not in self._cells or report.nodeid in self._recorded:
            return
        data: Any = dict(report.user_properties).get(PROPERTY)
        if data is not None:
            self._record(report.nodeid, decode(Result, data))
        elif report.failed:
            last = (report.longreprtext.strip().splitlines() or [""])[-1]
            died = str(report.when) == _DIED
            self._harness_failed |= not died
            if died:
                result = self._without_answer(report.nodeid, Verdict.CRASHED, last, Kind.CRASHED)
            else:
                why = f"The harness failed, not the implementation: {last}"
                result = self._without_answer(report.nodeid, Verdict.UNDECIDED, why, Kind.HARNESS)
            self._record(report.nodeid, result)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the file; only a session that judged everything it set out to judge gets a footer."""
        if self._harness_failed and exitstatus == pytest.ExitCode.TESTS_FAILED:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        why = "interrupted before it was judged" if interrupted else "the session ended before it was judged"

        def close(writer: Writer) -> None:
            left = [nodeid for nodeid in self._cells if nodeid not in self._recorded]
            for nodeid in left:
                writer.result(self._without_answer(nodeid, Verdict.MISSING, why))
            writer.end(None) if left else writer.footer()
            writer.close()

        self._write(close)

    def _begin(self, nodeids: Iterable[str]) -> None:
        """Write what is asked of whom: not before it is known, lest a mistake cost an earlier run its file."""
        by_key = {_as_pytest_writes(each.key): each for each in self._plan.cells}
        for nodeid in nodeids:
            cell = by_key.get(nodeid.partition("::")[2].partition("[")[2].removesuffix("]"))
            if cell is not None:
                self._cells[nodeid] = cell
        keys = {each.key for each in self._cells.values()}
        if self._cells and self._path is not None:
            cells = [each for each in self._plan.cells if each.key in keys]  # as shown, not as asked
            try:
                self._writer = Writer(self._path)
            except RunFileError as error:
                raise pytest.UsageError(str(error)) from None
            self._write(lambda writer: writer.header(header.header(self._plan.selection, cells)))

    def _without_answer(self, nodeid: str, verdict: Verdict, why: str, kind: Kind | None = None) -> Result:
        cell, required = self._cells[nodeid], self._cells[nodeid].requirement
        return Result(required.id, required.revision, cell.column.key, verdict, why, kind=kind)

    def _record(self, nodeid: str, result: Result) -> None:
        self._recorded.add(nodeid)
        self._write(lambda writer: writer.result(result))

    def _write(self, step: Callable[[Writer], None]) -> None:
        """Write where there is a file; one that can no longer be written ends the session."""
        if self._writer is None:
            return
        try:
            step(self._writer)
        except RunFileError as error:
            self._writer = None
            pytest.exit(f"ERROR: {error}; what was written before is kept", pytest.ExitCode.INTERNAL_ERROR)


def _as_pytest_writes(key: str) -> str:
    """Return a key as pytest writes it into the id of an item: in ASCII."""
    return key.encode("unicode_escape").decode("ascii")
