"""Progress is shown by worker, or by chapter once the plan of every worker is known."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from kl_conformance.runs.header import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.progress import LineDisplay, ProgressRow, by_chapter, by_worker
from kl_conformance.runs.selection import Selection
from kl_conformance.runs.shards import Shard
from kl_conformance.runs.worker import Worker
from kl_reports.runfile.records import Verdict

SELECTION = Selection(implementations=("scipy.special.rel_entr",))
SHARD = Shard("scipy", SELECTION, header(SELECTION, resolve(SELECTION).cells))


def worker(verdicts: dict[str, Verdict], *planned: str) -> Worker:
    """Return a worker with these verdicts and planned cells."""
    process: Any = SimpleNamespace(planned=planned, verdicts=verdicts)
    return Worker(SHARD, "", False, Path(), 1, processes=[process])


def test_a_chapter_has_the_cells_of_every_worker() -> None:
    """It is finished when each cell has a verdict, and shown when every worker has its plan."""
    first = worker({"values/sum@a": Verdict.PASS}, "values/sum@a", "signs/self@a")
    second = worker({"values/sum@b": Verdict.FAIL})
    assert by_chapter([first, second]) == []
    second.processes[0].planned = ("values/sum@b",)
    assert by_chapter([first, second]) == [
        ProgressRow("values", 2, [Verdict.PASS, Verdict.FAIL], finished=True),
        ProgressRow("signs", 1, [], finished=False),
    ]
    first.finished = second.finished = True
    assert [each.finished for each in by_chapter([first, second])] == [True, True]
    assert by_worker([first])[0] == ProgressRow("scipy", 2, [Verdict.PASS], finished=True)


def test_a_row_counts_cells_not_run_and_unexpected_verdicts() -> None:
    """A cell that did not run is not counted as evaluated."""
    assert str(ProgressRow("values", 3, [Verdict.PASS], finished=False)) == "values: 1 of 3 cells evaluated"
    text = str(ProgressRow("values", 3, [Verdict.MISSING, Verdict.FAIL], finished=False))
    assert text == "values: 1 of 3 cells evaluated, 1 not run, 1 unexpected"


def test_without_a_terminal_a_finished_row_is_printed_once_and_the_others_at_intervals() -> None:
    """An unfinished row is printed if nothing was printed for the interval."""
    output = io.StringIO()
    show = LineDisplay(Console(file=output))
    done, slow = (
        ProgressRow("values", 1, [Verdict.PASS], finished=True),
        ProgressRow("signs", 2, [Verdict.PASS], finished=False),
    )
    show([done, slow])
    show([done, slow])
    assert output.getvalue() == "  values: 1 of 1 cells evaluated\n"
    LineDisplay(Console(file=output), interval=-1.0)([slow])
    assert output.getvalue().endswith("\n  signs: 1 of 2 cells evaluated so far\n")
