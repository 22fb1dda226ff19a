"""Pytest plugin that writes every verdict to the run file as soon as it is known."""

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
_CRASHED = "???"  # the phase of an item whose process crashed, in the reports of pytest-xdist


class Recorder:
    """Writes the run file of a session, if there is one, and sets exit code 3 after an error of the suite itself.

    With pytest-xdist it runs in the controller, which collects nothing itself: items are identified by their ids,
    and results arrive in the reports.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._plan = plan_of(config)
        named = self._plan.selection.frameworks or self._plan.selection.implementations
        self._required = bool(named) and not config.getoption("--if-installed")
        file = config.getoption("--run-file")
        self._path = None if file is None else Path(file)
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
        """Report a selected framework that cannot be imported as an error of usage, before anything else starts."""
        if not self._required or session.config.option.collectonly:
            return
        for name in dict.fromkeys(each.framework for each in self._plan.implementations):
            modules = load_framework(name)
            if isinstance(modules, Absent):
                raise pytest.UsageError(modules.reason)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Begin the run file when the cells are known."""
        if not session.config.option.collectonly:
            self._begin(item.nodeid for item in session.items)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Begin the run file when the first process of pytest-xdist has collected; each collects all items."""
        del node
        if not self._cells:
            self._begin(ids)

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Write which cell is evaluated next, so that a crash can be attributed to it."""
        if nodeid in self._cells:
            self._write(lambda writer: writer.started(self._cells[nodeid].key))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a verdict, a crash of the process, or a failure of the harness itself."""
        if report.nodeid not in self._cells or report.nodeid in self._recorded:
            return
        data: Any = dict(report.user_properties).get(PROPERTY)
        if data is not None:
            self._record(report.nodeid, decode(Result, data))
        elif report.failed:
            last = (report.longreprtext.strip().splitlines() or [""])[-1]
            if str(report.when) == _CRASHED:
                result = self._not_evaluated(report.nodeid, Verdict.CRASHED, last, Kind.CRASHED)
            else:
                self._harness_failed = True
                detail = f"The harness failed, not the implementation: {last}"
                result = self._not_evaluated(report.nodeid, Verdict.UNDECIDED, detail, Kind.HARNESS)
            self._record(report.nodeid, result)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the run file, with a footer only if every planned cell was evaluated."""
        if self._harness_failed and exitstatus == pytest.ExitCode.TESTS_FAILED:
            session.exitstatus = pytest.ExitCode.INTERNAL_ERROR
        interrupted = exitstatus == pytest.ExitCode.INTERRUPTED
        event = "interrupted" if interrupted else "the session ended"

        def close(writer: Writer) -> None:
            left = [nodeid for nodeid in self._cells if nodeid not in self._recorded]
            for nodeid in left:
                detail = f"{event} before it was evaluated"
                writer.result(self._not_evaluated(nodeid, Verdict.MISSING, detail))
            writer.end(None) if left else writer.footer()
            writer.close()

        self._write(close)

    def _begin(self, nodeids: Iterable[str]) -> None:
        """Write the header; an error of usage has ended the session before, and an earlier run file is intact."""
        cells = {_escaped(each.key): each for each in self._plan.cells}
        for nodeid in nodeids:
            cell = cells.get(nodeid.partition("::")[2].partition("[")[2].removesuffix("]"))
            if cell is not None:
                self._cells[nodeid] = cell
        keys = {each.key for each in self._cells.values()}
        if self._cells and self._path is not None:
            selected = [each for each in self._plan.cells if each.key in keys]  # in the plan's order
            try:
                self._writer = Writer(self._path)
            except RunFileError as error:
                raise pytest.UsageError(str(error)) from None
            self._write(lambda writer: writer.header(header.header(self._plan.selection, selected)))

    def _not_evaluated(self, nodeid: str, verdict: Verdict, detail: str, kind: Kind | None = None) -> Result:
        cell, requirement = self._cells[nodeid], self._cells[nodeid].requirement
        return Result(requirement.id, requirement.revision, cell.column.key, verdict, detail, kind=kind)

    def _record(self, nodeid: str, result: Result) -> None:
        self._recorded.add(nodeid)
        self._write(lambda writer: writer.result(result))

    def _write(self, step: Callable[[Writer], None]) -> None:
        """Write to the run file, if there is one; end the session if it can no longer be written."""
        if self._writer is None:
            return
        try:
            step(self._writer)
        except RunFileError as error:
            self._writer = None
            pytest.exit(f"ERROR: {error}; earlier results are kept", pytest.ExitCode.INTERNAL_ERROR)


def _escaped(key: str) -> str:
    """Return a cell's key as in an item's id: escaped to ASCII."""
    return key.encode("unicode_escape").decode("ascii")
