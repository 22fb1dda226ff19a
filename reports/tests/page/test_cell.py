"""A witness is told with its numbers: in the formula, in the budget, in the text of an issue."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from kl_reports.analysis.witness import show
from kl_reports.formats.issue import issue
from kl_reports.page.cell import in_ulps, in_units, summed, worked
from kl_reports.runfile.bits import encode
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.records import Result, Run, Verdict


def witness(p: list[float], q: list[float], **other: Any) -> dict[str, Any]:
    """Return a witness of probabilities p and logarithms of q, summed to one number."""
    return {
        "formula": "p·(log p − log q)",
        "reduction": "summed over everything",
        "call": {"side": None, "text": "kl(target=probability, model=log-probability)"},
        "target": {"space": "probability", "shape": [len(p)], "bits": [encode(each) for each in p]},
        "model": {"space": "log-probability", "shape": [len(q)], "bits": [encode(each) for each in q]},
        "got": [encode(0.25)],
        "right": [encode(0.5)],
        "allowed": [encode(1e-9)],
        "at": [],
        **other,
    }


def first_broken(run: Run) -> Result:
    """Return the first cell that is broken in torch."""
    return next(
        cell for cell in run.results if cell.verdict is Verdict.FAIL and cell.column.startswith("torch")
    )


def test_the_formula_has_the_numbers_in_it() -> None:
    """Probabilities stand under the logarithm, logarithms as they are, and the terms are added."""
    told = worked(show(witness([0.5, 0.5], [-1.5, -0.25])))
    assert told == "[0.5·(log 0.5 − (-1.5))] + [0.5·(log 0.5 − (-0.25))]"
    generalised = witness([0.5], [0.25], formula="p·log(p/q) − p + q")
    generalised["model"]["space"] = "probability"
    assert worked(show(generalised)) == "0.5·log(0.5 ÷ 0.25) − 0.5 + 0.25"


def test_where_terms_are_kept_the_worst_is_shown() -> None:
    """One term, the one the verdict speaks of."""
    kept = witness([0.5, 1e-300, 0.25], [-1.5, float("-inf"), -0.25], got=[encode(1.0)] * 3, at=[1])
    assert worked(show(kept)) == "1e-300·(log 1e-300 − (minus infinity))"


@pytest.mark.parametrize(
    "other",
    [
        {"normalise": True},
        {"smoothing": ["f64:3fb999999999999a"]},
        {"clip": ["f64:3e7ad7f29abcaf48", "f64:3ff0000000000000"]},
        {"call": {"side": "model", "text": "gradient by the model of kl(target=probability)"}},
        {"formula": "something else"},
        {"model": None},
        {"target": {"space": "logits", "shape": [2], "bits": [encode(1.0)] * 2}},
        {"target": {"space": "probability", "shape": [1], "bits": [encode(1.0)]}},
    ],
)
def test_what_the_formula_alone_does_not_say_is_not_written_out(other: dict[str, Any]) -> None:
    """Clipped and normalised operands, gradients, logits and broadcast operands have no such line."""
    assert worked(show(witness([0.5, 0.5], [-1.5, -0.25], **other))) == ""


def test_a_long_sum_is_not_written_out() -> None:
    """Five terms are more than anybody reads."""
    assert worked(show(witness([0.25] * 5, [-1.0] * 5))) == ""
    assert worked(show(witness([0.25] * 4, [-1.0] * 4))).count(" + ") == 3


def test_a_budget_adds_up() -> None:
    """The sum stands before its parts, and its units after them."""
    budget = (
        BudgetItem(6.04, "conditioning", "log and exp", "4e-15 = u·S"),
        BudgetItem(0.02, "output rounding", "once", "4e-15 = u·S"),
    )
    assert summed(budget) == "6.0 = 6.0 conditioning + 2.0e-02 output rounding, in units of 4e-15 = u·S"
    assert summed(()) == ""


def test_an_error_is_told_in_units_of_its_budget() -> None:
    """Half of a budget of eleven units is five and a half; what was not measured has no units."""
    budget = BudgetItem(6.0, "conditioning", "log and exp"), BudgetItem(5.0, "summation", "of four")
    assert in_units(budget, 0.5) == "5.5"
    assert in_units(budget, None) == in_units(budget, float("inf")) == in_units((), 0.5) == ""


def test_an_error_is_told_in_ulp_of_what_is_right() -> None:
    """In float32 0.25 is two million ulp away from 0.5 and 1e-9 is not one; from NaN nothing is away."""
    plain = witness([0.5], [-1.5], dtype="float32", got=[encode(0.25)], right=[encode(0.5)])
    assert in_ulps(show(plain)) == ("4.19e+06", "0.0168")
    others: tuple[dict[str, Any], ...] = (
        {"got": [encode(float("nan"))]},
        {"right": [encode(float("inf"))]},
        {"dtype": "int8"},
        {"got": []},
    )
    for other in others:
        assert in_ulps(show({**plain, **other})) == ("", "")


def test_an_issue_says_all_that_is_needed(run: Run) -> None:
    """Title, promise, what was seen, the script, the numbers and the versions; nothing of this page's world."""
    broken = first_broken(run)
    found = replace(broken, witness=witness([0.5], [-1.5], reproducer="import x\nassert '```' in x"))
    text = issue(run, found)
    title, *rest = text.splitlines()
    assert title == "# torch.nn.functional.kl_div: gives 0.25 where 0.5 is right (f16)"
    assert "What should hold: p = 0, q = 0 (a masked class) contributes exactly 0." in rest
    assert "- `got 0.25, expected 0.5, allowed error 1e-09`" in rest
    fence = next(line for line in rest if line.endswith("python"))
    assert fence == "````python"
    assert rest.count("````") == 1
    assert "Versions: torch 2.13.0, cpu, eager, python 3.11.7, platform test data." in rest


def test_an_issue_without_a_script_shows_the_inputs(run: Run) -> None:
    """Then P and Q stand in it, and a witness of another shape still gives a text."""
    broken = first_broken(run)
    text = issue(run, replace(broken, witness=witness([0.5], [-1.5])))
    assert "- `P = [0.5] (probability, 1)`" in text
    for odd in ({}, {"target": 3}, {"got": ["x"]}):
        assert issue(run, replace(broken, witness=odd)).startswith("# torch")


def test_an_issue_of_an_enemy_is_text(hostile_run: Run) -> None:
    """No control character and no line of its own comes through from a name or a sentence."""
    for result in hostile_run.results:
        text = issue(hostile_run, replace(result, witness=witness([0.5], [-1.5])))
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
        assert text.count("\n# ") == 0
