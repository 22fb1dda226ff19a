"""What is broken where no number is wrong: a call raised, gave no tensor or another shape, died or never ended."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kl_reports.analysis.scores import column_of
from kl_reports.analysis.wording import count, listed
from kl_reports.runfile.records import Kind, Result, Run, Verdict

Broken = Mapping[str, Sequence[Result]]

MOST = 3  # reasons told in one sentence
BRIEF = 90  # characters of each
USUAL = "float32"  # the format a kernel takes if it takes but one
# What a message about formats has in it.
_FORMAT = re.compile(r"float|double|half|dtype|[bf]p?16|fp?(?:32|64)", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(\.\d+)?(e[-+]?\d+)?")


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for which requirements are broken.

    Parameters
    ----------
    words
        What the kernel did, as a clause: ``it raised ValueError: …``.
    varied
        Whether it did the same with other numbers as well.
    results
        The broken cells by requirement.
    """

    words: str
    varied: bool
    results: dict[str, list[Result]] = field(default_factory=dict[str, list[Result]])

    @property
    def verdict(self) -> Verdict:
        """The verdict of the first of them."""
        return next(iter(self.results.values()))[0].verdict


def same(result: Result) -> str:
    """Return a key that failures of one reason share, whatever numbers are in it; empty where a number is wrong."""
    return Kind.SHAPE.value if result.kind is Kind.SHAPE else _NUMBER.sub("#", result.happened)


def reasons(found: Broken) -> list[Reason]:
    """Return the reasons of broken cells, what most are broken for first; one is the same with other numbers in it."""
    words: dict[str, dict[str, None]] = {}
    cells: dict[str, dict[str, list[Result]]] = {}
    for requirement, results in found.items():
        for result in results:
            if result.happened:
                words.setdefault(same(result), {})[result.happened] = None
                cells.setdefault(same(result), {}).setdefault(requirement, []).append(result)
    each = [Reason(next(iter(said)), len(said) > 1, cells[shared]) for shared, said in words.items()]
    return sorted(each, key=lambda reason: -len(reason.results))


def numeric(found: Broken) -> list[str]:
    """Return the requirements that a wrong number or a wrong shape breaks, which is evidence of how it computes."""
    return [
        name
        for name, results in found.items()
        if any(same(each) in {"", Kind.SHAPE.value} for each in results)
    ]


def sentence(run: Run, found: Broken) -> str:
    """Return why all is broken that is, as a sentence, where no number is wrong; else an empty string."""
    if not found or any(not result.happened for results in found.values() for result in results):
        return ""
    first, *others = reasons(found)
    if others:
        said = [
            f"{textwrap.shorten(each.words, BRIEF, placeholder=' …')} ({count(len(each.results), 'requirement')})"
            for each in (first, *others)
        ]
        return f"No number is wrong: {listed(said, MOST)}."
    like = ", and the like" if first.varied else ""
    return f"Every failure is the same, and no number is wrong: {first.words}{like}{_formats(run, first)}"


def _formats(run: Run, reason: Reason) -> str:
    """Return in which formats it is so, and how the others are asked, as the end of a sentence."""
    broken = [column_of(run, each.column).dtype for results in reason.results.values() for each in results]
    held = dict.fromkeys(
        column_of(run, each.column).dtype
        for each in run.results
        if each.verdict.is_accepted and each.requirement in reason.results
    )
    bad = list(dict.fromkeys(broken))
    good = [each for each in held if each not in bad]
    if good:
        which = "these alone are" if len(good) > 1 else "that alone is"
        return f"; in {listed(bad)} only. With `--dtype {','.join(good)}` {which} asked."
    if USUAL in bad or not _FORMAT.search(reason.words):
        return "."
    return f". If it is not made for {listed(bad)}, `--dtype {USUAL}` asks that format alone."
