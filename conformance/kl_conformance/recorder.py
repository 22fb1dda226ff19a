"""Writes what the suite finds into a run file, line by line, so that nothing recorded is ever lost."""

from __future__ import annotations

from pathlib import Path

import pytest

from kl_conformance.plan import Planned, header
from kl_conformance.session import selection_of
from kl_reports.exchange import RunFileError, Writer
from kl_reports.line import decode_result
from kl_reports.result import Result, Verdict

PROPERTY = "kl_conformance"


class Recorder:
    """Listens to a pytest session and keeps the run file.

    With pytest-xdist it runs in the controller; results reach it inside the reports.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._cells: dict[str, Planned] = {}
        self._recorded: set[str] = set()
        path = Path(config.getoption("--run-file"))
        try:
            self._writer = Writer(path)
        except RunFileError as error:
            raise pytest.UsageError(str(error)) from None

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Write down what was asked of whom, once it is known."""
        for item in session.items:
            callspec = getattr(item, "callspec", None)
            cell = None if callspec is None else callspec.params.get("cell")
            if isinstance(cell, Planned):
                self._cells[item.nodeid] = cell
        if self._cells:
            self._writer.header(header(selection_of(self._config), list(self._cells.values())))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Say which cell is about to be asked: should the process die, it is known at whose door."""
        if nodeid in self._cells:
            self._writer.started(self._cells[nodeid].key)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Write a verdict, or that the harness itself failed."""
        if report.nodeid not in self._cells or report.nodeid in self._recorded:
            return
        data = dict(report.user_properties).get(PROPERTY)
        if data is not None:
            self._record(report.nodeid, decode_result(data))  # type: ignore[arg-type]
        elif report.failed:
            cell = self._cells[report.nodeid]
            last = report.longreprtext.strip().splitlines()[-1:] or [""]
            detail = f"The harness failed, not the implementation: {last[0]}"
            key = cell.column.key
            self._record(
                report.nodeid,
                Result(cell.requirement.id, cell.requirement.revision, key, Verdict.UNDECIDED, detail),
            )

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Close the file; only a session that came to its own end gets a footer."""
        del session
        ended = exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        if ended and len(self._recorded) == len(self._cells):
            self._writer.footer()
        self._writer.close()

    def _record(self, nodeid: str, result: Result) -> None:
        self._recorded.add(nodeid)
        self._writer.result(result)
