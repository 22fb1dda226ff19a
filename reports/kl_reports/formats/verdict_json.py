"""One kernel's verdict as one JSON object, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from kl_reports.analysis.kernel import broken, chapters, judged
from kl_reports.analysis.scores import column_of, completeness, level_of
from kl_reports.analysis.witness import show
from kl_reports.runfile.records import Result, Run

FORMAT = "kl-conformance-verdict/1"


def verdict(run: Run, cause: str = "") -> str:
    """Return the verdict as JSON, ASCII only.

    ======================  ==========================================================================
    ``format``              ``"kl-conformance-verdict/1"``
    ``kernel``              who was asked
    ``conforms``            whether something was judged and nothing is broken
    ``complete``            whether every planned cell was asked and answered
    ``convention``          what it says it computes, one entry a property
    ``asked``               ``devices``, ``dtypes``, ``profile``, ``seed``, ``suite`` and ``versions``
    ``chapters``            for each: how many requirements it ``asked`` and ``held``, and which are ``broken``
    ``likely_cause``        a sentence, where no number is wrong of what was raised or given instead; or null
    ``findings``            every broken cell, MUST before SHOULD
    ``remarks``             sentences about the run itself
    ======================  ==========================================================================

    A finding has ``requirement``, ``level``, ``sentence`` (what must hold), ``verdict``, ``device``, ``dtype``,
    ``detail`` (what was seen), ``got``, ``right`` and ``allowed`` (at the worst element, as decimals in text; null
    where nothing was measured), ``witness`` (as run files have it, IEEE values as bit patterns) and
    ``reproducer`` (a script, or null).
    """
    header = run.header
    columns = list(header.columns.values())
    (name, convention), *_ = [*header.implementations.items(), ("", {})]
    told = {
        "format": FORMAT,
        "kernel": name,
        "conforms": judged(run) and not broken(run),
        "complete": completeness(run).complete,
        "convention": dict(convention),
        "asked": {
            "devices": list(dict.fromkeys(each.device for each in columns)),
            "dtypes": list(dict.fromkeys(each.dtype for each in columns)),
            "profile": header.profile,
            "seed": header.seed,
            "suite": header.suite,
            "versions": header.described,
        },
        "chapters": {
            each.name: {"asked": each.asked, "held": each.held, "broken": list(each.broken)}
            for each in chapters(run)
        },
        "likely_cause": cause or None,
        "findings": list(_findings(run)),
        "remarks": list(run.sentences),
    }
    return json.dumps(told, indent=2, allow_nan=False)


def _findings(run: Run) -> Iterator[dict[str, Any]]:
    for results in broken(run).values():
        yield from (_finding(run, result) for result in results)


def _finding(run: Run, result: Result) -> dict[str, Any]:
    column = column_of(run, result.column)
    seen = None if result.witness is None else show(result.witness)
    got, right, allowed = ("", "", "") if seen is None else seen.measured()
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
        "reproducer": (seen.reproducer if seen else "") or None,
    }
