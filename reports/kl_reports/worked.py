"""A formula with the numbers of a witness in it, and a budget as one sum."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from kl_reports.number import decode, ulp
from kl_reports.witness import Values, Witness
from kl_reports.wording import short_dtype

MOST = 4  # terms that are written out
_TOKEN = re.compile(r"log\(p/q\)|log p|log q|(?<!\w)[pq](?!\w)")
_ITEM = re.compile(r"([0-9.]+(?:e[+-]?[0-9]+)?) ([^:]{1,40}):")
_PROBABILITY, _LOGARITHM = "probability", "log-probability"


def worked(witness: Witness) -> str:
    """Return the formula with the values of P and Q in their places, such as ``0.5·(log 0.5 − (-1.386))``.

    Where terms are kept it is the worst term, else the sum of all; empty where that says too little or too much:
    for gradients, logits, operands that are clipped, normalised or of different shapes, more than four terms.
    """
    target, model = witness.target, witness.model
    if target is None or model is None or not _TOKEN.search(witness.formula):
        return ""
    plain = witness.plain and target.shape == model.shape and 0 < target.total == model.total
    known = {target.space, model.space} <= {_PROBABILITY, _LOGARITHM}
    if not plain or not known or witness.call.startswith("gradient"):
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


def summed(budget: Sequence[str]) -> str:
    """Return an itemised tolerance as one sum: ``11.0 = 6.0 conditioning + 5.0 summation``; empty where it is none."""
    items = [found for line in budget if (found := _ITEM.match(line))]
    units = next((line for line in budget if line.startswith("in units of ")), "")
    if not items:
        return ""
    total = sum(float(item[1]) for item in items)
    parts = " + ".join(f"{item[1]} {item[2]}" for item in items)
    return f"{total:.1f} = {parts}{', ' if units else ''}{units}"


def in_units(budget: Sequence[str], headroom: float | None) -> str:
    """Return how many units of an itemised tolerance the error was, such as ``6.8``; empty where none is known."""
    total = sum(float(found[1]) for line in budget if (found := _ITEM.match(line)))
    return f"{total * headroom:.2g}" if total and headroom is not None and math.isfinite(headroom) else ""


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
    p, q = target.shown[place].decimal, model.shown[place].decimal
    logs = {"p": target.space == _LOGARITHM, "q": model.space == _LOGARITHM}
    if "log(p/q)" in formula and any(logs.values()):
        return ""

    def put(found: re.Match[str]) -> str:
        word = found[0]
        if word == "log(p/q)":
            return f"log({p} ÷ {q})"
        number = p if word.endswith("p") else q
        logarithm = logs[word[-1]]
        if word.startswith("log "):
            return _bracketed(number) if logarithm else f"log {_bracketed(number)}"
        return f"e^({number})" if logarithm else _bracketed(number)

    return _TOKEN.sub(put, formula)


def _bracketed(number: str) -> str:
    return f"({number})" if not re.fullmatch(r"[0-9.e+]+|[0-9.]+e-[0-9]+", number) else number
