"""Failures in which no number is wrong: the call raised, returned no tensor or another shape, crashed or timed out."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kl_reports.analysis.scores import column_of
from kl_reports.analysis.wording import count, listed
from kl_reports.runfile.records import Kind, Result, Run, Verdict

Failures = Mapping[str, Sequence[Result]]

MOST = 3  # reasons in one sentence
BRIEF = 90  # characters of each
USUAL = "float32"  # the dtype of a kernel that supports only one
# What a message about dtypes contains.
_DTYPE = re.compile(r"float|double|half|dtype|[bf]p?16|fp?(?:32|64)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for which requirements fail, with the failed cells by requirement.

    ``event`` is what happened, as a clause: ``it raised ValueError: …``; ``varied``: also with other numbers in it.
    """

    event: str
    varied: bool
    results: dict[str, list[Result]] = field(default_factory=dict[str, list[Result]])

    @property
    def verdict(self) -> Verdict:
        """The verdict of the first failed cell."""
        return next(iter(self.results.values()))[0].verdict


def reason_key(result: Result) -> str:
    """Return a key that failures of one reason share, whatever numbers are in it; empty where a number is wrong."""
    return Kind.SHAPE.value if result.kind is Kind.SHAPE else _NUMBER.sub("#", result.happened)


def reasons(found: Failures) -> list[Reason]:
    """Return the reasons of failed cells, most requirements first; events that differ in numbers are one reason."""
    events: dict[str, dict[str, None]] = {}
    cells: dict[str, dict[str, list[Result]]] = {}
    for requirement, results in found.items():
        for result in results:
            if result.happened:
                key = reason_key(result)
                events.setdefault(key, {})[result.happened] = None
                cells.setdefault(key, {}).setdefault(requirement, []).append(result)
    each = [Reason(next(iter(texts)), len(texts) > 1, cells[key]) for key, texts in events.items()]
    return sorted(each, key=lambda reason: -len(reason.results))


def numeric(found: Failures) -> list[str]:
    """Return the requirements that fail by a wrong number or a wrong shape, which is evidence of the computation."""
    return [
        name for name, results in found.items() if any(reason_key(each) in {"", Kind.SHAPE.value} for each in results)
    ]


def sentence(run: Run, found: Failures) -> str:
    """Return the reasons of all failures as a sentence; empty where any number is wrong."""
    if not found or any(not result.happened for results in found.values() for result in results):
        return ""
    first, *others = reasons(found)
    if others:
        texts = [
            f"{textwrap.shorten(each.event, BRIEF, placeholder=' …')} ({count(len(each.results), 'requirement')})"
            for each in (first, *others)
        ]
        return f"No number is wrong: {listed(texts, MOST)}."
    similar = ", and similar" if first.varied else ""
    return f"Every failure is the same, and no number is wrong: {first.event}{similar}{_dtypes(run, first)}"


def _dtypes(run: Run, reason: Reason) -> str:
    """Return the dtypes that fail for a reason, and the option that tests only the others, as the end of a sentence."""
    cells = [each for results in reason.results.values() for each in results]
    failed = list(dict.fromkeys(column_of(run, each.column).dtype for each in cells))
    accepted = dict.fromkeys(
        column_of(run, each.column).dtype
        for each in run.results
        if each.verdict.is_accepted and each.requirement in reason.results
    )
    passed = [each for each in accepted if each not in failed]
    if passed:
        return f"; only in {listed(failed)}. `--dtype {','.join(passed)}` tests only {listed(passed)}."
    if USUAL in failed or not _DTYPE.search(reason.event):
        return "."
    return f". If it does not support {listed(failed)}, `--dtype {USUAL}` tests only {USUAL}."
