"""Verdict on a user kernel as one JSON object, for programs."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from kl_reports.analysis.kernel import chapters, failures, judged
from kl_reports.analysis.scores import column_of, completeness, level_of, level_scores
from kl_reports.analysis.witness import show
from kl_reports.runfile.records import Result, Run, Verdict

FORMAT = "kl-conformance-verdict/2"


def verdict(run: Run, cause: str = "") -> str:
    """Return the verdict as JSON, ASCII only.

    ======================  ==========================================================================
    ``format``              ``"kl-conformance-verdict/2"``
    ``kernel``              name of the kernel
    ``conforms``            whether something was judged and nothing failed
    ``complete``            whether the run finished and every planned cell ran and returned
    ``convention``          its declared Convention, one entry a property
    ``run``                 ``devices``, ``dtypes``, ``profile``, ``seed``, ``suite`` and ``versions``
    ``scores``              for each level: how many requirements were run (``total``), and how many ``passed``, are
                            ``known_deviations`` or ``fixed``, ``failed``, ``crashed``, ``timed_out``, or are
                            ``undecided``; these add up to the total
    ``chapters``            for each: the same counts of its MUST and SHOULD requirements, and the names of those that
                            failed (``failures``)
    ``likely_cause``        the likely cause of the failures, a sentence; or null
    ``findings``            every failed cell, MUST before SHOULD
    ``remarks``             sentences about the run itself
    ======================  ==========================================================================

    A finding has ``requirement``, ``level``, ``sentence`` (the requirement), ``verdict``, ``device``, ``dtype``,
    ``detail`` (the observation), ``got``, ``right`` and ``allowed`` (at the worst element, as decimals in text; null
    where nothing was measured), ``witness`` (as run files have it, IEEE values as bit patterns) and
    ``reproducer`` (a script, or null).
    """
    header = run.header
    columns = list(header.columns.values())
    (name, convention), *_ = [*header.implementations.items(), ("", {})]
    data = {
        "format": FORMAT,
        "kernel": name,
        "conforms": judged(run) and not failures(run),
        "complete": completeness(run).complete,
        "convention": dict(convention),
        "run": {
            "devices": list(dict.fromkeys(each.device for each in columns)),
            "dtypes": list(dict.fromkeys(each.dtype for each in columns)),
            "profile": header.profile,
            "seed": header.seed,
            "suite": header.suite,
            "versions": header.described,
        },
        "scores": {each.level: _counts(each.counts) for each in level_scores(run, run.results)},
        "chapters": {each.name: {**_counts(each.counts), "failures": list(each.failed)} for each in chapters(run)},
        "likely_cause": cause or None,
        "findings": list(_findings(run)),
        "remarks": list(run.sentences),
    }
    return json.dumps(data, indent=2, allow_nan=False)


_KEYS = {
    Verdict.PASS: "passed",
    Verdict.EXPECTED: "known_deviations",
    Verdict.FIXED: "fixed",
    Verdict.FAIL: "failed",
    Verdict.CRASHED: "crashed",
    Verdict.TIMED_OUT: "timed_out",
    Verdict.UNDECIDED: "undecided",
}


def _counts(counts: Mapping[Verdict, int]) -> dict[str, int]:
    states = {key: counts.get(verdict, 0) for verdict, key in _KEYS.items()}
    return {"total": sum(states.values()), **states}


def _findings(run: Run) -> Iterator[dict[str, Any]]:
    for results in failures(run).values():
        yield from (_finding(run, result) for result in results)


def _finding(run: Run, result: Result) -> dict[str, Any]:
    column = column_of(run, result.column)
    witness = None if result.witness is None else show(result.witness)
    got, right, allowed = ("", "", "") if witness is None else witness.measured()
    return {
        "requirement": result.requirement,
        "level": level_of(run, result.requirement),
        "sentence": str(run.header.requirements.get(result.requirement, {}).get("sentence", "")),
        "verdict": result.verdict.name,
        "device": column.device,
        "dtype": column.dtype,
        "detail": result.detail,
        "got": got or None,
        "right": right or None,
        "allowed": allowed or None,
        "witness": None if result.witness is None else dict(result.witness),
        "reproducer": (witness.reproducer if witness else "") or None,
    }
