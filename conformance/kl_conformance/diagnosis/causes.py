"""A pattern of failures explained: the known fault that breaks the same requirements."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from kl_reports.analysis import reasons
from kl_reports.analysis.kernel import failures
from kl_reports.runfile.records import Run

# Chosen by what `conformance/studies/mutants/causes.py` measures, each fault left out in turn.
ALIKE = 0.7  # similarity from which a fault is named
APART = 0.05  # within so much of the best, faults cannot be told apart
MOST = 3  # so many that cannot be told apart are still worth naming
OFTEN = 3  # so many findings with one explanation are explained by it, if no other has half as many


@dataclass(frozen=True, slots=True)
class Fault:
    """A wrong kernel of the kill matrix.

    Parameters
    ----------
    name, kind
        What it is called there, and the sort of its fault.
    sentence
        Its mistake, in the words of its author's reviewer.
    stops
        Ids of the requirements that it breaks.
    """

    name: str
    kind: str
    sentence: str
    stops: frozenset[str]


@dataclass(frozen=True, slots=True)
class Match:
    """A known fault, and how much alike two sets of broken requirements are: 1 where they are the same."""

    fault: Fault
    alike: float


def likely_cause(run: Run) -> str:
    """Return the likely cause of what is broken as a sentence; empty where nothing clearly fits.

    What the numbers themselves say comes first. Where none is wrong, what was raised or given instead is all there is
    to say; else those that are wrong may be known faults' pattern.
    """
    found = failures(run)
    explained = Counter(
        result.explanation for results in found.values() for result in results if result.explanation
    )
    (said, often), (_, next_often), *_ = [*explained.most_common(2), ("", 0), ("", 0)]
    if often >= OFTEN and 2 * next_often <= often:
        return f"Likely cause: {said}. ({often} findings are exactly that.)"
    if said := reasons.sentence(run, found):
        return said
    wrong = frozenset(reasons.numeric(found))
    # What raised says nothing of which number it would have given.
    asked = {each.requirement for each in run.results if each.verdict.has_run} - (found.keys() - wrong)
    fitting = clear(matches(wrong, asked, known()))
    if not fitting:
        return ""
    stops = fitting[0].fault.stops & asked
    words = "; or ".join(_lowered(each.fault.sentence) for each in fitting)
    share = f"{len(wrong & stops)} of {len(wrong | stops)}"
    which = "a known fault, which shares" if len(fitting) == 1 else "known faults, the first of which shares"
    return f"Likely cause: {words} ({which} {share} failures)."


def _lowered(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}".rstrip(".")


def matches(found: Collection[str], asked: Collection[str], faults: Sequence[Fault]) -> list[Match]:
    """Return the known faults, the most alike first.

    Alike are two sets A and B by Σ w(A ∩ B) ÷ Σ w(A ∪ B), the weighted Jaccard index, with the weight
    w = log((1 + number of faults) ÷ (1 + number of faults that break the requirement)): what every fault breaks says
    little of which one it is.

    Parameters
    ----------
    found
        Requirements that are broken.
    asked
        Requirements that were asked; what a fault breaks beside them does not count.
    faults
        The known ones.
    """
    often = Counter(requirement for fault in faults for requirement in fault.stops)
    here, names = frozenset(found), {*found, *often}
    weight = {name: math.log((1 + len(faults)) / (1 + often[name])) for name in names}

    def alike(fault: Fault) -> float:
        there = fault.stops & frozenset(asked)
        whole = math.fsum(weight[name] for name in here | there)
        return math.fsum(weight[name] for name in here & there) / whole if whole else 0.0

    return sorted((Match(fault, alike(fault)) for fault in faults), key=lambda match: -match.alike)


def clear(ranked: Sequence[Match]) -> list[Match]:
    """Return the best match, and those that cannot be told from it; none where it is poor, or they are of all kinds."""
    best = ranked[0].alike if ranked else 0.0
    near = [each for each in ranked if best - each.alike < APART]
    if best < ALIKE or len({each.fault.kind for each in near}) > 1:
        return []
    return near if len(near) <= MOST else []


@cache
def known() -> tuple[Fault, ...]:
    """Return the faults of the kill matrix, as they are shipped."""
    text = files("kl_conformance.diagnosis").joinpath("causes.json").read_text(encoding="utf-8")
    return tuple(_fault(each) for each in json.loads(text)["faults"])


def _fault(data: dict[str, Any]) -> Fault:
    return Fault(data["name"], data["kind"], data["sentence"], frozenset(data["stops"]))
