"""Verdict of a single implementation, by chapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kl_reports.analysis.reasons import Reason, reasons
from kl_reports.analysis.scores import level_of
from kl_reports.analysis.witness import show
from kl_reports.analysis.wording import count, listed, one_line
from kl_reports.runfile.cell_id import chapter_of
from kl_reports.runfile.records import Result, Run

BINDING = ("MUST", "SHOULD")


@dataclass(frozen=True, slots=True)
class ChapterVerdict:
    """How one chapter's requirements fared: how many were asked and held, and which are broken."""

    name: str
    asked: int
    broken: tuple[str, ...]

    @property
    def held(self) -> int:
        """How many were asked and are not broken."""
        return self.asked - len(self.broken)


def judged(run: Run) -> bool:
    """Whether anything at all was held against the kernel."""
    return bool(broken(run)) or any(each.verdict.is_accepted for each in run.results)


def chapters(run: Run) -> list[ChapterVerdict]:
    """Return the chapters of which anything was asked, in the order they were asked."""
    found, asked = broken(run), dict[str, dict[str, None]]()
    for result in run.results:
        if result.verdict.has_run:
            asked.setdefault(chapter_of(result.requirement), {})[result.requirement] = None
    return [
        ChapterVerdict(name, len(requirements), tuple(each for each in requirements if each in found))
        for name, requirements in asked.items()
    ]


def smallest(results: Sequence[Result]) -> Result:
    """Return the result with the smallest witness."""
    return min(results, key=_numbers)


def broken(run: Run) -> dict[str, list[Result]]:
    """Return the results with news by requirement, MUST before SHOULD; a CONVENTION breaks nothing."""
    found: dict[str, list[Result]] = {}
    for level in BINDING:
        for result in run.results:
            if result.verdict.is_news and level_of(run, result.requirement) == level:
                found.setdefault(result.requirement, []).append(result)
    return found


def headline(run: Run) -> str:
    """Return the verdict in one line."""
    names = one_line(listed(list(run.header.implementations)))
    asked = {each.requirement for each in run.results if each.verdict.is_accepted}
    found = broken(run)
    if found:
        return f"✗ {names}: {len(found)} of {count(len(asked | found.keys()), 'requirement')} broken."
    if not asked:
        return f"? {names}: nothing was judged."
    return f"✓ {names}: {count(len(asked), 'requirement')} held, none broken."


def apart(found: dict[str, list[Result]]) -> tuple[list[Reason], dict[str, list[Result]]]:
    """Return the reasons for which several requirements are broken, and what is broken beside them."""
    shared = [each for each in reasons(found) if len(each.results) > 1]
    taken = {result.cell for each in shared for results in each.results.values() for result in results}
    others = {name: [each for each in results if each.cell not in taken] for name, results in found.items()}
    return shared, {name: left for name, left in others.items() if left}


def _numbers(result: Result) -> int:
    if result.witness is None:
        return 1 << 30
    witness = show(result.witness)
    return sum(values.total for values in (witness.target, witness.model) if values is not None)
