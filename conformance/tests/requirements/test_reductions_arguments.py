"""Deprecated arguments mean what is documented, and weights are applied to rows."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from kl_conformance.harness.subject import Subject
from kl_conformance.implementations.implementation import Weighting
from kl_conformance.requirements.miniature import Array, Miniature, apply_weights, legacy_reduction
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Reduction
from kl_reports.runfile.records import Verdict

ROWS = {"none": Reduction.ROWS, "sum": Reduction.SUM, "mean": Reduction.ROWMEAN}


def declared_subject(miniature: Miniature, **changes: Any) -> Subject:
    """Return a miniature with other declarations."""
    return subject(replace(miniature.implementation(), **changes))


def verdict(requirement: str, implementation: Subject) -> Verdict:
    """Return the verdict of one cell of chapter reductions."""
    return evaluate(f"reductions/{requirement}", implementation).verdict


def test_deprecated_arguments_keep_their_meaning() -> None:
    """reduce=False that still averages fails, with or without a warning."""

    def always_mean(options: Mapping[str, Any]) -> str:
        legacy_reduction(options)
        return "mean"

    assert verdict("legacy", subject()) is Verdict.PASS
    assert verdict("legacy", subject(Miniature(legacy_reduction=always_mean))) is Verdict.FAIL


def test_deprecated_arguments_warn() -> None:
    """The correct answer without a warning fails."""
    silent = Miniature(legacy_reduction=lambda options: "mean" if options["reduce"] else "none")
    result = evaluate("reductions/legacy", subject(silent))
    assert result.verdict is Verdict.FAIL
    assert "no warning" in result.detail


def test_requirements_do_not_apply_without_arguments() -> None:
    """Without deprecated arguments, weights or a mask the cells are not applicable."""
    plain = declared_subject(Miniature(), legacy=(), weightings=(), masks="")
    assert verdict("legacy", plain) is Verdict.UNSUPPORTED
    assert verdict("weights", plain) is Verdict.UNSUPPORTED


def test_arguments_of_later_versions_are_not_tested() -> None:
    """A weighting is tested for the versions that offer it; this column has version 1."""
    later = Weighting("mean", Reduction.MEAN, versions=">=2")
    assert verdict("weights", declared_subject(Miniature(), weightings=(later,), masks="")) is Verdict.UNSUPPORTED
    assert verdict("weights", declared_subject(Miniature(), weightings=(later,), masks=">=1")) is Verdict.PASS


@pytest.mark.parametrize("by_weights", [False, True])
def test_a_weighted_mean_has_the_documented_divisor(by_weights: bool) -> None:
    """A mean divided by the rows and one divided by the weights differ, and neither passes as the other."""
    normalised = Miniature(
        reductions=ROWS, apply_weights=lambda terms, count: apply_weights(terms, count / count.mean())
    )
    for miniature, divides in ((Miniature(reductions=ROWS), False), (normalised, True)):
        declared = (Weighting("mean", Reduction.ROWMEAN, by_weights=by_weights),)
        correct = divides is by_weights
        given = verdict("weights", declared_subject(miniature, weightings=declared))
        assert given is (Verdict.PASS if correct else Verdict.FAIL)


@pytest.mark.parametrize("name", ROWS)
def test_ignored_weights_fail(name: str) -> None:
    """Weights must have an effect in every reduction that accepts them."""

    def ignores(terms: Array, count: Array) -> Array:
        return terms

    miniature = Miniature(reductions=ROWS, apply_weights=ignores)
    declared = (Weighting(name, ROWS[name]),)
    assert verdict("weights", declared_subject(miniature, weightings=declared)) is Verdict.FAIL


def test_masked_values_may_be_anything() -> None:
    """A mask that multiplies keeps a NaN in a masked class."""
    leaks = Miniature(apply_mask=lambda terms, mask: terms * mask)
    result = evaluate("reductions/weights", declared_subject(leaks, weightings=()))
    assert result.verdict is Verdict.FAIL
    assert "masked class" in result.detail
