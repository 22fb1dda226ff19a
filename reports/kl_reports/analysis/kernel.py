"""Verdict on a user kernel: failures by requirement, scores by chapter."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from kl_reports.analysis.reasons import Reason, reasons
from kl_reports.analysis.scores import level_of, level_scores, state_counts
from kl_reports.analysis.witness import show
from kl_reports.analysis.wording import listed, one_line
from kl_reports.runfile.cell_id import chapter_of
from kl_reports.runfile.records import Result, Run, Verdict

BINDING = ("MUST", "SHOULD")


@dataclass(frozen=True, slots=True)
class ChapterScore:
    """The MUST and SHOULD requirements of one chapter by their state, and the names of those that failed."""

    name: str
    counts: Mapping[Verdict, int]
    failed: tuple[str, ...]


def judged(run: Run) -> bool:
    """Whether any requirement passed or failed."""
    return bool(failures(run)) or any(each.verdict.is_accepted for each in run.results)


def chapters(run: Run) -> Iterator[ChapterScore]:
    """Yield the chapters of which a MUST or SHOULD requirement was run, in the order of the run."""
    failed = failures(run)
    results: dict[str, list[Result]] = {}
    for result in run.results:
        if level_of(run, result.requirement) in BINDING:
            results.setdefault(chapter_of(result.requirement), []).append(result)
    for name, own in results.items():
        counts = state_counts(own)
        if counts:
            names = dict.fromkeys(each.requirement for each in own if each.requirement in failed)
            yield ChapterScore(name, counts, tuple(names))


def smallest(results: Sequence[Result]) -> Result:
    """Return the result with the smallest witness."""
    return min(results, key=_size)


def failures(run: Run) -> dict[str, list[Result]]:
    """Return the new failures by requirement, MUST before SHOULD; a CONVENTION requirement cannot fail."""
    found: dict[str, list[Result]] = {}
    for level in BINDING:
        for result in run.results:
            if result.verdict.is_news and level_of(run, result.requirement) == level:
                found.setdefault(result.requirement, []).append(result)
    return found


def headline(run: Run) -> str:
    """Return the verdict in one line, such as ``✗ my_kl: MUST 38 of 40 passed, 2 failed; SHOULD 6 of 6 passed.``."""
    names = one_line(listed(list(run.header.implementations)))
    if not judged(run):
        return f"? {names}: nothing was judged."
    levels = (each for each in level_scores(run, run.results) if each.level in BINDING)
    text = "; ".join(f"{each.level} {each.text}" for each in levels) or "only CONVENTION requirements were run"
    return f"{'✗' if failures(run) else '✓'} {names}: {text}."


def by_reason(found: dict[str, list[Result]]) -> tuple[list[Reason], dict[str, list[Result]]]:
    """Return the reasons for which several requirements fail, and the failures that have none of these reasons."""
    shared = [each for each in reasons(found) if len(each.results) > 1]
    explained = {result.cell for each in shared for results in each.results.values() for result in results}
    others = {name: [each for each in results if each.cell not in explained] for name, results in found.items()}
    return shared, {name: results for name, results in others.items() if results}


def _size(result: Result) -> int:
    if result.witness is None:
        return 1 << 30
    witness = show(result.witness)
    return sum(values.total for values in (witness.target, witness.model) if values is not None)
