"""Details of one cell: verdict, budget, witness and charts, with the numbers put into formula and budget."""

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

MOST_TERMS = 4  # terms that are written out
# One term of each formula that is written out, by the formula of the witness.
TERMS = {
    "p·(log p − log q)": "{p}·({log_p} − {log_q})",
    "p·log(p/q) − p + q": "{p}·log({p} ÷ {q}) − {p} + {q}",
    "−p·log q": "−{p}·{log_q}",
}
_QUOTIENT = "log({p} ÷ {q})"  # not written out if an operand is a logarithm
_PROBABILITY, _LOGARITHM = "probability", "log-probability"


def cell_details(run: Run, result: Result) -> dict[str, Any]:
    """Return what the template ``cell`` shows of one cell."""
    witness = None if result.witness is None else show(result.witness)
    headroom = result.headroom
    return {
        "result": result,
        "look": LOOKS[result.verdict],
        "ratio": "" if headroom is None else ratio(headroom),
        "outcome": outcome(result),
        "where": column_text(column_of(run, result.column)),
        "witness": witness,
        "filled_formula": "" if witness is None else filled_formula(witness),
        "ulps": ("", "") if witness is None else in_ulps(witness),
        "budget": budget_sum(result.budget),
        "units": in_units(result.budget, headroom),
        "used": "" if headroom is None or math.isnan(headroom) else used(headroom),
        "charts": () if result.spread is None else charts({"": result.spread}),
    }


def filled_formula(witness: Witness) -> str:
    """Return the formula with the values of P and Q put in, such as ``0.5·(log 0.5 − (-1.386))``.

    An unreduced answer has the worst term, a reduced one the sum of all. Empty for gradients, logits, clipped or
    normalised operands, operands of different shapes, and more than four terms.
    """
    target, model = witness.target, witness.model
    if target is None or model is None or witness.formula not in TERMS:
        return ""
    plain = witness.plain and target.shape == model.shape and 0 < target.total == model.total
    readable = {target.space, model.space} <= {_PROBABILITY, _LOGARITHM}
    if not plain or not readable or witness.side:
        return ""
    unreduced = witness.got is not None and witness.got.total == target.total
    places = range(target.total) if not unreduced else [] if witness.worst is None else [witness.worst]
    if unreduced and target.total == 1:
        places = range(1)
    if not 0 < len(places) <= MOST_TERMS or max(places) >= min(len(target.shown), len(model.shown)):
        return ""
    terms = [_filled_term(witness.formula, target, model, place) for place in places]
    if not all(terms):
        return ""
    return terms[0] if len(terms) == 1 else " + ".join(f"[{term}]" for term in terms)


def _filled_term(formula: str, target: Values, model: Values, place: int) -> str:
    """Return one term of a formula with its numbers; empty if it has a quotient of logarithms."""
    template, numbers = TERMS[formula], dict[str, str]()
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
    """Return a number in brackets unless it begins with a digit."""
    return number if number[:1].isdigit() else f"({number})"


def budget_sum(budget: Sequence[BudgetItem]) -> str:
    """Return a budget as a sum, such as ``11.0 = 6.0 conditioning + 5.0 summation``; empty if it has no items."""
    if not budget:
        return ""
    parts = " + ".join(f"{_amount(item)} {item.name}" for item in budget)
    unit = f", in units of {budget[0].unit}" if budget[0].unit else ""
    return f"{_total(budget):.1f} = {parts}{unit}"


def in_units(budget: Sequence[BudgetItem], headroom: float | None) -> str:
    """Return the error in units of its budget, such as ``6.8``; empty if it is not finite or has no budget."""
    total = _total(budget)
    return f"{total * headroom:.2g}" if total and headroom is not None and math.isfinite(headroom) else ""


def _total(budget: Sequence[BudgetItem]) -> float:
    """Return the sum of the amounts as displayed, so that a reader can check it."""
    return sum(float(_amount(item)) for item in budget)


def _amount(item: BudgetItem) -> str:
    """Return an amount with one decimal, or with an exponent if it is too small or too large for that."""
    return f"{item.amount:.1f}" if 0.05 <= item.amount < 1e6 else f"{item.amount:.1e}"


def in_ulps(witness: Witness) -> tuple[str, str]:
    """Return the error and the allowed error at the worst element, in ulp of the expected value.

    Both are empty if one of them is not finite or nothing was measured.
    """
    place, tag = witness.worst or 0, short_dtype(witness.dtype)
    if witness.worst is None and witness.got is not None and witness.got.total > 1:
        return "", ""
    try:
        returned, expected, allowed = (
            decode(values.shown[place].bits).value
            for values in (witness.got, witness.right, witness.allowed)
            if values is not None
        )
        unit = ulp(expected, tag)
    except (ValueError, IndexError):
        return "", ""
    error = abs(returned - expected) / unit
    if not allowed or not math.isfinite(error + allowed):
        return "", ""
    return f"{error:.3g}", f"{allowed / unit:.3g}"
