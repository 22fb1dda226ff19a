"""JSON of a comparison, for programs."""

import json
from collections.abc import Mapping
from typing import Any

from kl_reports.analysis.scores import completeness, level_of, packages
from kl_reports.analysis.witness import show
from kl_reports.comparison.change import QUIET, Change
from kl_reports.comparison.compare import Comparison
from kl_reports.runfile.bits import encode
from kl_reports.runfile.codec import plain
from kl_reports.runfile.records import Result, Run

FORMAT = "kl-conformance-comparison/2"


def as_json(comparison: Comparison) -> str:
    """Return the comparison as JSON, ASCII only.

    ==================  ==============================================================================
    ``format``          ``"kl-conformance-comparison/2"``
    ``old``, ``new``    of each run: ``packages``, ``started``, ``profile``, ``seed``, ``suite``, ``complete``
    ``environment``     what differs, each with ``name``, ``old`` and ``new``
    ``counts``          cells by bucket
    ``changes``         every cell that changed
    ``remarks``         sentences about the runs
    ==================  ==============================================================================

    A change has ``requirement``, ``level``, ``sentence``, ``implementation``, ``device``, ``dtype``, ``mode``,
    ``bucket``, ``reason``, ``old`` and ``new`` (``verdict``, ``detail``, ``headroom`` as a bit pattern or null,
    ``got``, ``right`` and ``allowed`` at the worst element as decimals in text, and ``witness`` as run files have it;
    null where that run has no such cell) and ``replayed`` (``old`` and ``new``: passed, failed, unstable or not
    tested, and ``reason``; null if the witness was not replayed).
    """
    data = {
        "format": FORMAT,
        "old": _run(comparison.old),
        "new": _run(comparison.new),
        "environment": [{"name": each.name, "old": each.old, "new": each.new} for each in comparison.environment],
        "counts": {bucket.value: number for bucket, number in comparison.counts.items()},
        "changes": [_change(comparison, change) for change in comparison.changes if change.bucket not in QUIET],
        "remarks": list(comparison.remarks),
    }
    return json.dumps(data, indent=2, allow_nan=False)


def _run(run: Run) -> Mapping[str, Any]:
    header = run.header
    return {
        "packages": packages(run, list(header.columns.values())),
        "started": header.started,
        "profile": header.profile,
        "seed": header.seed,
        "suite": header.suite,
        "complete": completeness(run).complete,
    }


def _change(comparison: Comparison, change: Change) -> Mapping[str, Any]:
    run = comparison.new if change.new else comparison.old
    replayed = change.replayed
    return {
        "requirement": change.requirement,
        "level": level_of(run, change.requirement),
        "sentence": str(run.header.requirements.get(change.requirement, {}).get("sentence", "")),
        "implementation": change.column.implementation,
        "device": change.column.device,
        "dtype": change.column.dtype,
        "mode": change.column.mode,
        "bucket": change.bucket.value,
        "reason": change.reason,
        "old": _result(change.old),
        "new": _result(change.new),
        "replayed": None
        if replayed is None
        else {"old": replayed.old.value, "new": replayed.new.value, "reason": replayed.reason},
    }


def _result(result: Result | None) -> Mapping[str, Any] | None:
    if result is None:
        return None
    got, right, allowed = ("", "", "") if result.witness is None else show(result.witness).measured()
    return {
        "verdict": result.verdict.name,
        "detail": result.detail,
        "headroom": None if result.headroom is None else encode(result.headroom),
        "got": got or None,
        "right": right or None,
        "allowed": allowed or None,
        "witness": None if result.witness is None else plain(result.witness),
    }
