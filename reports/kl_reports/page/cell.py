"""One cell in full, as the template ``cell`` and those like it want it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from kl_reports.analysis.scores import column_of
from kl_reports.analysis.witness import Values, Witness, show
from kl_reports.analysis.wording import LOOKS, column_text, outcome, ratio, short_dtype, used
from kl_reports.page.chart import charts
from kl_reports.runfile.bits import decode, ulp
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.records import Result, Run


def drilldown(run: Run, result: Result) -> dict[str, Any]:
    """Return what there is to say of one cell: its verdict in words, its budget, its witness and its charts."""
    witness = None if result.witness is None else show(result.witness)
    share = result.headroom
    return {
        "result": result,
        "look": LOOKS[result.verdict],
        "ratio": "" if share is None else ratio(share),
        "outcome": outcome(result),
        "where": column_text(column_of(run, result.column)),
        "witness": witness,
        "worked": "" if witness is None else worked(witness),
        "ulps": ("", "") if witness is None else in_ulps(witness),
        "allowance": summed(result.budget),
        "units": in_units(result.budget, share),
        "used": "" if share is None or math.isnan(share) else used(share),
        "charts": () if result.spread is None else charts({"": result.spread}),
    }


MOST = 4  # terms that are written out
# The formulas that are written out, as templates of one term.
FORMULAS = {
    "p·(log p − log q)": "{p}·({log_p} − {log_q})",
    "p·log(p/q) − p + q": "{p}·log({p} ÷ {q}) − {p} + {q}",
    "−p·log q": "−{p}·{log_q}",
}
_QUOTIENT = "log({p} ÷ {q})"  # not written out where one of the two is a logarithm
_PROBABILITY, _LOGARITHM = "probability", "log-probability"


def worked(witness: Witness) -> str:
    """Return the formula with the values of P and Q in their places, such as ``0.5·(log 0.5 − (-1.386))``.

    Where terms are kept it is the worst term, else the sum of all; empty where that says too little or too much:
    for gradients, logits, operands that are clipped, normalised or of different shapes, more than four terms.
    """
    target, model = witness.target, witness.model
    if target is None or model is None or witness.formula not in FORMULAS:
        return ""
    plain = witness.plain and target.shape == model.shape and 0 < target.total == model.total
    known = {target.space, model.space} <= {_PROBABILITY, _LOGARITHM}
    if not plain or not known or witness.side:
        return ""
    kept = witness.got is not None and witness.got.total == target.total
    places = range(target.total) if not kept else [] if witness.worst is None else [witness.worst]
    if kept and target.total == 1:
        places = range(1)
    if not 0 < len(places) <= MOST or max(places) >= min(len(target.shown), len(model.shown)):
        return ""
    terms = [_term(witness.formula, target, model, place) for place in places]
    return (
        "" if not all(terms) else terms[0] if len(terms) == 1 else " + ".join(f"[{term}]" for term in terms)
    )


def summed(budget: Sequence[BudgetItem]) -> str:
    """Return an itemised tolerance as one sum: ``11.0 = 6.0 conditioning + 5.0 summation``; empty where it is none."""
    if not budget:
        return ""
    parts = " + ".join(f"{_amount(item)} {item.name}" for item in budget)
    unit = f", in units of {budget[0].unit}" if budget[0].unit else ""
    return f"{_total(budget):.1f} = {parts}{unit}"


def in_units(budget: Sequence[BudgetItem], headroom: float | None) -> str:
    """Return how many units of an itemised tolerance the error was, such as ``6.8``; empty where none is known."""
    total = _total(budget)
    return f"{total * headroom:.2g}" if total and headroom is not None and math.isfinite(headroom) else ""


def _total(budget: Sequence[BudgetItem]) -> float:
    """Return the sum of the amounts as they are shown, so that a reader can add them up."""
    return sum(float(_amount(item)) for item in budget)


def _amount(item: BudgetItem) -> str:
    """Return an amount with one decimal, or with an exponent where that would hide it."""
    return f"{item.amount:.1f}" if 0.05 <= item.amount < 1e6 else f"{item.amount:.1e}"


def in_ulps(witness: Witness) -> tuple[str, str]:
    """Return the error at the worst element and the error allowed there in ulp of what is right.

    Empty where one of them is not finite, or nothing was measured.
    """
    place, tag = witness.worst or 0, short_dtype(witness.dtype)
    if witness.worst is None and witness.got is not None and witness.got.total > 1:
        return "", ""
    try:
        got, right, allowed = (
            decode(values.shown[place].bits).value
            for values in (witness.got, witness.right, witness.allowed)
            if values is not None
        )
        unit = ulp(right, tag)
    except (ValueError, IndexError):
        return "", ""
    error = abs(got - right) / unit
    return (
        (f"{error:.3g}", f"{allowed / unit:.3g}") if math.isfinite(error + allowed) and allowed else ("", "")
    )


def _term(formula: str, target: Values, model: Values, place: int) -> str:
    """Return one term of a formula with its numbers; empty where it has a quotient of logarithms."""
    template, numbers = FORMULAS[formula], dict[str, str]()
    for name, values in (("p", target), ("q", model)):
        number = _bracketed(values.shown[place].decimal)
        if values.space == _LOGARITHM:
            if _QUOTIENT in template:
                return ""
            numbers |= {name: f"e^({values.shown[place].decimal})", f"log_{name}": number}
        else:
            numbers |= {name: number, f"log_{name}": f"log {number}"}
    return template.format(**numbers)


def _bracketed(number: str) -> str:
    """Return a number in brackets unless it begins with a digit: a sign or a word would run into the formula."""
    return number if number[:1].isdigit() else f"({number})"
