"""Kernels with few capabilities are judged by those they have."""

from dataclasses import replace

import numpy as np
import pytest

from kl_conformance.harness.subject import Subject
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Miniature, term
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Reduction, Space
from kl_reports.runfile.records import Verdict

CORRECT = Miniature()
NARROW = {
    "mean alone": ({"mean": Reduction.MEAN}, (Space.PROBABILITY,)),
    "sum alone": ({"sum": Reduction.SUM}, (Space.PROBABILITY,)),
    "batchmean alone": ({"batchmean": Reduction.BATCHMEAN}, (Space.PROBABILITY,)),
    "rows of log-targets": ({"none": Reduction.ROWS}, (Space.LOG,)),
    "terms of log-targets": ({"none": Reduction.TERMS}, (Space.LOG,)),
}


def narrow(name: str, miniature: Miniature = CORRECT) -> Subject:
    """Return a miniature with that limited Convention, by default a correct one."""
    reductions, target = NARROW[name]
    limited = replace(miniature, target=target, reductions=reductions, default=next(iter(reductions)))
    return subject(limited, dtype="float32")


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("requirement", catalogue.REQUIREMENTS)
def test_every_requirement_handles_a_limited_convention(requirement: str, name: str) -> None:
    """A correct kernel with one reduction and one target space passes, or the cell gives the reason why not."""
    found = evaluate(requirement, narrow(name))
    allowed = {Verdict.PASS, Verdict.UNSUPPORTED, Verdict.UNDECIDED, Verdict.MISSING}
    assert found.verdict in allowed, found.detail
    assert found.verdict is Verdict.PASS or found.detail


@pytest.mark.parametrize("name", [name for name, (_, target) in NARROW.items() if Space.LOG not in target])
def test_an_epsilon_is_found_without_unreduced_terms(name: str) -> None:
    """log(p + 1e-10) is found by sums of one term each, though it vanishes in any longer sum."""
    shifted = Miniature(term=lambda p, log_q: term(p, log_q) + p * np.log1p(p.dtype.type(1e-10) / p))
    found = evaluate("values/pointwise", narrow(name, shifted))
    assert found.verdict is Verdict.FAIL
