"""A witness is shown with its numbers: in the formula, in the budget, in the issue text."""

import re
from dataclasses import replace
from typing import Any

import pytest

from kl_reports.analysis.witness import show
from kl_reports.formats.issue import issue
from kl_reports.page.cell import budget_sum, filled_formula, in_ulps, in_units
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


def first_failed(run: Run) -> Result:
    """Return the first failed cell of torch."""
    return next(cell for cell in run.results if cell.verdict is Verdict.FAIL and cell.column.startswith("torch"))


def test_the_numbers_are_put_into_the_formula() -> None:
    """A probability is written under the logarithm, a logarithm as its value, and the terms are added."""
    filled = filled_formula(show(witness([0.5, 0.5], [-1.5, -0.25])))
    assert filled == "[0.5·(log 0.5 − (-1.5))] + [0.5·(log 0.5 − (-0.25))]"
    generalised = witness([0.5], [0.25], formula="p·log(p/q) − p + q")
    generalised["model"]["space"] = "probability"
    assert filled_formula(show(generalised)) == "0.5·log(0.5 ÷ 0.25) − 0.5 + 0.25"


def test_of_an_unreduced_answer_the_worst_term_is_shown() -> None:
    """The formula has one term: the worst one."""
    unreduced = witness([0.5, 1e-300, 0.25], [-1.5, float("-inf"), -0.25], got=[encode(1.0)] * 3, at=[1])
    assert filled_formula(show(unreduced)) == "1e-300·(log 1e-300 − (minus infinity))"


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
def test_other_calls_have_no_filled_formula(other: dict[str, Any]) -> None:
    """Clipped or normalised operands, gradients, logits and broadcast operands have no filled formula."""
    assert filled_formula(show(witness([0.5, 0.5], [-1.5, -0.25], **other))) == ""


def test_a_long_sum_is_not_written_out() -> None:
    """Four terms are written out, five are not."""
    assert filled_formula(show(witness([0.25] * 5, [-1.0] * 5))) == ""
    assert filled_formula(show(witness([0.25] * 4, [-1.0] * 4))).count(" + ") == 3


def test_a_budget_adds_up() -> None:
    """The total equals the sum of the items as displayed, and the unit follows."""
    budget = (
        BudgetItem(6.04, "conditioning", "log and exp", "4e-15 = u·S"),
        BudgetItem(0.02, "output rounding", "once", "4e-15 = u·S"),
    )
    assert budget_sum(budget) == "6.0 = 6.0 conditioning + 2.0e-02 output rounding, in units of 4e-15 = u·S"
    assert budget_sum(()) == ""


def test_an_error_is_shown_in_units_of_its_budget() -> None:
    """Half of a budget of eleven units is five and a half; without a measurement the text is empty."""
    budget = BudgetItem(6.0, "conditioning", "log and exp"), BudgetItem(5.0, "summation", "of four")
    assert in_units(budget, 0.5) == "5.5"
    assert in_units(budget, None) == in_units(budget, float("inf")) == in_units((), 0.5) == ""


def test_an_error_is_shown_in_ulp_of_the_expected_value() -> None:
    """In float32, 0.25 is four million ulp from 0.5, and 1e-9 is less than one; NaN has no distance in ulp."""
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


def test_an_issue_is_complete(run: Run) -> None:
    """An issue has the title, the requirement, the observation, the script, the numbers and the versions."""
    failed = first_failed(run)
    found = replace(failed, witness=witness([0.5], [-1.5], reproducer="import x\nassert '```' in x"))
    text = issue(run, found)
    title, *rest = text.splitlines()
    assert title == "# torch.nn.functional.kl_div: returns 0.25, expected 0.5 (f16)"
    assert "Expected: p = 0, q = 0 (a masked class) contributes exactly 0." in rest
    assert "- `got 0.25, expected 0.5, allowed error 1e-09`" in rest
    fence = next(line for line in rest if line.endswith("python"))
    assert fence == "````python"
    assert rest.count("````") == 1
    assert "Versions: torch 2.13.0, cpu, eager, python 3.11.7, platform test data." in rest


def test_an_issue_without_a_script_shows_the_inputs(run: Run) -> None:
    """Without a script the issue has P and Q; a malformed witness still has an issue."""
    failed = first_failed(run)
    text = issue(run, replace(failed, witness=witness([0.5], [-1.5])))
    assert "- `P = [0.5] (probability, 1)`" in text
    for odd in ({}, {"target": 3}, {"got": ["x"]}):
        assert issue(run, replace(failed, witness=odd)).startswith("# torch")


def test_an_issue_of_a_hostile_run_is_text(hostile_run: Run) -> None:
    """No name or sentence adds a control character or a line to an issue."""
    for result in hostile_run.results:
        text = issue(hostile_run, replace(result, witness=witness([0.5], [-1.5])))
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", text)
        assert text.count("\n# ") == 0
