"""Matches a pattern of failed requirements to a known bug class (causes.json)."""

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from kl_reports.analysis import reasons
from kl_reports.analysis.kernel import failures
from kl_reports.runfile.records import Run

# Chosen by the measurement of `conformance/studies/mutants/causes.py`, which leaves out each fault in turn.
SIMILAR = 0.7  # the least similarity at which a fault is named
INDISTINGUISHABLE = 0.05  # the largest difference in similarity between faults that are named together
MOST = 3  # faults that are named together, at most
OFTEN = 3  # findings that must have the same explanation; no other explanation may have half as many


@dataclass(frozen=True, slots=True)
class Fault:
    """A mutant of the mutation study.

    Parameters
    ----------
    name, kind
        Its name there, and the class of its bug.
    sentence
        Its bug, in one sentence.
    detected_by
        Ids of the requirements that it fails.
    """

    name: str
    kind: str
    sentence: str
    detected_by: frozenset[str]


@dataclass(frozen=True, slots=True)
class Match:
    """A known fault, and the similarity of its failed requirements to a kernel's: 1 if they are the same."""

    fault: Fault
    similarity: float


def likely_cause(run: Run, faults: Sequence[Fault] | None = None) -> str:
    """Return the likely cause of the failures in a run as a sentence; empty if no cause clearly fits.

    An explanation that the numbers of several findings share comes first. If no number is wrong, the cause is the
    exception, type or shape that was returned instead; otherwise the known faults are compared.

    Parameters
    ----------
    run
        The run of one kernel.
    faults
        The known faults; those of the mutation study by default.
    """
    found = failures(run)
    explained = Counter(one.explanation for results in found.values() for one in results if one.explanation)
    (explanation, often), (_, next_often), *_ = [*explained.most_common(2), ("", 0), ("", 0)]
    if often >= OFTEN and 2 * next_often <= often:
        return f"Likely cause: {explanation}. (It explains {often} findings exactly.)"
    if sentence := reasons.sentence(run, found):
        return sentence
    wrong = frozenset(reasons.numeric(found))
    # A call that raised shows nothing about the number it would have returned.
    tested = {each.requirement for each in run.results if each.verdict.has_run} - (found.keys() - wrong)
    fitting = clear(matches(wrong, tested, known_faults() if faults is None else faults))
    if not fitting:
        return ""
    expected = fitting[0].fault.detected_by & tested
    causes = "; or ".join(_lowered(each.fault.sentence) for each in fitting)
    kind = "a known fault" if len(fitting) == 1 else "known faults, the first"
    common = f"{len(wrong & expected)} of {len(wrong | expected)}"
    return f"Likely cause: {causes} ({kind} with {common} failed requirements in common)."


def _lowered(sentence: str) -> str:
    return f"{sentence[:1].lower()}{sentence[1:]}".rstrip(".")


def matches(found: Collection[str], tested: Collection[str], faults: Sequence[Fault]) -> list[Match]:
    """Return the known faults by similarity, the most similar first.

    The similarity of two sets A and B is Σ w(A ∩ B) ÷ Σ w(A ∪ B), the weighted Jaccard index, with the weight
    w = log((1 + number of faults) ÷ (1 + number of faults that fail the requirement)): a requirement that every
    fault fails distinguishes none of them.

    Parameters
    ----------
    found
        The requirements that failed.
    tested
        The requirements that were tested; a fault's other requirements do not count.
    faults
        The known faults.
    """
    often = Counter(requirement for fault in faults for requirement in fault.detected_by)
    failed, names = frozenset(found), {*found, *often}
    weight = {name: math.log((1 + len(faults)) / (1 + often[name])) for name in names}

    def similarity(fault: Fault) -> float:
        expected = fault.detected_by & frozenset(tested)
        union = math.fsum(weight[name] for name in failed | expected)
        return math.fsum(weight[name] for name in failed & expected) / union if union else 0.0

    return sorted((Match(fault, similarity(fault)) for fault in faults), key=lambda match: -match.similarity)


def clear(ranked: Sequence[Match]) -> list[Match]:
    """Return the best match and those indistinguishable from it; none if it is poor or their kinds differ."""
    best = ranked[0].similarity if ranked else 0.0
    near = [each for each in ranked if best - each.similarity < INDISTINGUISHABLE]
    if best < SIMILAR or len({each.fault.kind for each in near}) > 1:
        return []
    return near if len(near) <= MOST else []


@cache
def known_faults() -> tuple[Fault, ...]:
    """Return the faults of the mutation study that are shipped with the suite."""
    text = files("kl_conformance.diagnosis").joinpath("causes.json").read_text(encoding="utf-8")
    return tuple(
        Fault(each["name"], each["kind"], each["sentence"], frozenset(each["detected_by"]))
        for each in json.loads(text)["faults"]
    )
