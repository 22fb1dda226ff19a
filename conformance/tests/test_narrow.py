"""Kernels that offer little are judged by what they offer."""

from __future__ import annotations

import pytest

from kl_conformance import catalogue
from kl_conformance.sketch import Sketch
from kl_conformance.subject import Subject
from kl_reference.convention import Reduction, Space
from kl_reports.result import Verdict
from kl_trials.asked import settled, subject

NARROW = {
    "mean alone": ({"mean": Reduction.MEAN}, (Space.PROBABILITY,)),
    "sum alone": ({"sum": Reduction.SUM}, (Space.PROBABILITY,)),
    "batchmean alone": ({"batchmean": Reduction.BATCHMEAN}, (Space.PROBABILITY,)),
    "rows of log-targets": ({"none": Reduction.ROWS}, (Space.LOG,)),
    "terms of log-targets": ({"none": Reduction.TERMS}, (Space.LOG,)),
}


def narrow(name: str) -> Subject:
    """Return a right sketch of that narrow Convention."""
    reductions, target = NARROW[name]
    return subject(
        Sketch(target=target, reductions=reductions, default=next(iter(reductions))), dtype="float32"
    )


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("requirement", catalogue.REQUIREMENTS)
def test_no_requirement_stumbles_over_a_narrow_convention(requirement: str, name: str) -> None:
    """A right kernel of one reduction and one target space holds a requirement, or the cell says why not."""
    found = settled(requirement, narrow(name))
    assert found.verdict in {Verdict.PASS, Verdict.UNSUPPORTED, Verdict.UNDECIDED, Verdict.MISSING}, (
        found.detail
    )
    assert found.verdict is Verdict.PASS or found.detail
