"""One cell in full, as the template ``cell`` and those like it want it."""

from __future__ import annotations

import math
from typing import Any

from kl_reports.chart import charts
from kl_reports.result import Result, Run
from kl_reports.tally import column_of
from kl_reports.witness import show
from kl_reports.wording import LOOKS, column_words, outcome, ratio, used
from kl_reports.worked import in_ulps, in_units, summed, worked


def drilldown(run: Run, result: Result) -> dict[str, Any]:
    """Return what there is to say of one cell: its verdict in words, its budget, its witness and its charts."""
    witness = None if result.witness is None else show(result.witness)
    share = result.headroom
    return {
        "result": result,
        "look": LOOKS[result.verdict],
        "ratio": "" if share is None else ratio(share),
        "outcome": outcome(result),
        "where": column_words(column_of(run, result.column)),
        "witness": witness,
        "worked": "" if witness is None else worked(witness),
        "ulps": ("", "") if witness is None else in_ulps(witness),
        "allowance": summed(result.budget),
        "units": in_units(result.budget, share),
        "used": "" if share is None or math.isnan(share) else used(share),
        "charts": () if result.spread is None else charts({"": result.spread}),
    }
