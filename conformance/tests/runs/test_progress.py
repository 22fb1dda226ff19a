"""How far a run is, is said worker by worker, or chapter by chapter once all of it is known."""

from __future__ import annotations

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
SHARE = Shard("scipy", SELECTION, header(SELECTION, resolve(SELECTION).cells))


def worker(verdicts: dict[str, Verdict], *planned: str) -> Worker:
    """Return a worker that has found so much of what it planned."""
    life: Any = SimpleNamespace(planned=planned, verdicts=verdicts)
    return Worker(SHARE, "", False, Path(), 1, lives=[life])


def test_a_chapter_is_all_its_cells_of_every_worker() -> None:
    """It is over when each of them has a verdict, and not before every worker has said what it plans."""
    first = worker({"values/sum@a": Verdict.PASS}, "values/sum@a", "signs/self@a")
    second = worker({"values/sum@b": Verdict.FAIL})
    assert by_chapter([first, second]) == []
    second.lives[0].planned = ("values/sum@b",)
    assert by_chapter([first, second]) == [
        ProgressRow("values", 2, [Verdict.PASS, Verdict.FAIL], over=True),
        ProgressRow("signs", 1, [], over=False),
    ]
    first.over = second.over = True
    assert [each.over for each in by_chapter([first, second])] == [True, True]
    assert by_worker([first])[0] == ProgressRow("scipy", 2, [Verdict.PASS], over=True)


def test_a_group_says_what_is_missing_and_what_is_news() -> None:
    """What never ran is not judged."""
    assert str(ProgressRow("values", 3, [Verdict.PASS], over=False)) == "values: 1 of 3 cells judged"
    said = str(ProgressRow("values", 3, [Verdict.MISSING, Verdict.FAIL], over=False))
    assert said == "values: 1 of 3 cells judged, 1 missing, 1 with news"


def test_without_a_terminal_each_group_is_said_once_and_the_slow_ones_now_and_then() -> None:
    """A line when a group is over; of the others one after a silence."""
    written = io.StringIO()
    say = LineDisplay(Console(file=written))
    done, slow = (
        ProgressRow("values", 1, [Verdict.PASS], over=True),
        ProgressRow("signs", 2, [Verdict.PASS], over=False),
    )
    say([done, slow])
    say([done, slow])
    assert written.getvalue() == "  values: 1 of 1 cells judged\n"
    LineDisplay(Console(file=written), silence=-1.0)([slow])
    assert written.getvalue().endswith("\n  signs: 1 of 2 cells judged so far\n")
