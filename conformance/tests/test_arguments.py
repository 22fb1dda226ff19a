"""Arguments: old names mean what is documented, and rows weigh what they are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from kl_conformance.implementation import Weighting
from kl_conformance.sketch import Array, Sketch, spelt, weigh
from kl_conformance.subject import Subject
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Reduction
from kl_reports.result import Verdict

ROWS = {"none": Reduction.ROWS, "sum": Reduction.SUM, "mean": Reduction.ROWMEAN}


def asked(sketch: Sketch, **changes: Any) -> Subject:
    """Return a sketch that declares something else than sketches do."""
    return subject(replace(sketch.implementation(), **changes))


def verdict(requirement: str, implementation: Subject) -> Verdict:
    """Return the verdict of one cell."""
    return evaluate(f"reductions/{requirement}", implementation).verdict


def test_old_names_are_held_to_their_meaning() -> None:
    """reduce=False that still averages is broken, with or without a warning."""

    def always_mean(options: Mapping[str, Any]) -> str:
        spelt(options)
        return "mean"

    assert verdict("legacy", subject()) is Verdict.PASS
    assert verdict("legacy", subject(Sketch(spelt=always_mean))) is Verdict.FAIL


def test_an_old_name_warns() -> None:
    """The right answer without a word of warning is not what is documented."""
    silent = Sketch(spelt=lambda options: "mean" if options["reduce"] else "none")
    result = evaluate("reductions/legacy", subject(silent))
    assert result.verdict is Verdict.FAIL
    assert "no warning" in result.detail


def test_who_offers_nothing_is_not_asked() -> None:
    """Without old names, weights or a mask the cells say so."""
    plain = asked(Sketch(), legacy=(), weightings=(), masks="")
    assert verdict("legacy", plain) is Verdict.UNSUPPORTED
    assert verdict("weights", plain) is Verdict.UNSUPPORTED


def test_what_came_with_a_later_version_is_not_asked() -> None:
    """A weighting is asked of the versions that offer it; the column here is of version 1."""
    later = Weighting("mean", Reduction.MEAN, versions=">=2")
    assert verdict("weights", asked(Sketch(), weightings=(later,), masks="")) is Verdict.UNSUPPORTED
    assert verdict("weights", asked(Sketch(), weightings=(later,), masks=">=1")) is Verdict.PASS


@pytest.mark.parametrize("by_weights", [False, True])
def test_a_weighted_mean_divides_by_what_is_documented(by_weights: bool) -> None:
    """Divided by the rows and divided by the weights are two means, and neither passes for the other."""
    normalised = Sketch(reductions=ROWS, weigh=lambda terms, count: weigh(terms, count / count.mean()))
    for sketch, divides in ((Sketch(reductions=ROWS), False), (normalised, True)):
        declared = (Weighting("mean", Reduction.ROWMEAN, by_weights=by_weights),)
        right = divides is by_weights
        given = verdict("weights", asked(sketch, weightings=declared))
        assert given is (Verdict.PASS if right else Verdict.FAIL)


@pytest.mark.parametrize("name", ROWS)
def test_a_weight_that_is_ignored_is_missed(name: str) -> None:
    """Weights must tell in every reduction that takes them."""

    def ignores(terms: Array, count: Array) -> Array:
        return terms

    sketch = Sketch(reductions=ROWS, weigh=ignores)
    declared = (Weighting(name, ROWS[name]),)
    assert verdict("weights", asked(sketch, weightings=declared)) is Verdict.FAIL


def test_what_is_masked_may_be_anything() -> None:
    """A mask that multiplies lets a NaN through where it should stand for nothing."""
    leaks = Sketch(keep=lambda terms, mask: terms * mask)
    result = evaluate("reductions/weights", asked(leaks, weightings=()))
    assert result.verdict is Verdict.FAIL
    assert "left out" in result.detail
