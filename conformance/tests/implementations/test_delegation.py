"""A kernel that hands some sizes to the library is heard, and one that does its own work is not."""

from __future__ import annotations

import cProfile
import sys
from typing import Any

import numpy as np
import pytest
from scipy import special, stats

from kl_conformance.implementations.delegation import record_delegation
from kl_conformance.verification import verify
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reports.runfile.records import Verdict

ENTROPY = "scipy.stats.entropy"
HALVES = np.array([0.5, 0.5])


def own(p: Any, q: Any, axis: int = 0) -> Any:
    """Return the relative entropy of normalised rows."""
    p, q = (side / side.sum(axis, keepdims=True) for side in (p, q))
    return special.rel_entr(p, q).sum(axis)


def odd_ones_elsewhere(p: Any, q: Any, axis: int = 0) -> Any:
    """Return the same; where eight do not go into the number of classes, by SciPy."""
    return stats.entropy(p, q, axis=axis) if p.shape[axis] % 8 else own(p, q, axis)


def elsewhere(p: Any, q: Any, axis: int = 0) -> Any:
    """Return the same by SciPy."""
    return stats.entropy(p, q, axis=axis)


def test_what_is_called_is_heard_and_nothing_else() -> None:
    """A call of a known function is heard for as long as somebody listens, and the profiler is left as it was."""
    with record_delegation() as heard:
        stats.entropy(HALVES, HALVES)
    assert heard == {ENTROPY}
    with record_delegation() as silence:
        np.log(HALVES).sum()
        list[int]().append(1)  # a function in C that cannot be looked up: it is bound to a list
    assert silence == set()
    stats.entropy(HALVES, HALVES)
    assert silence == set()
    assert sys.getprofile() is None


def test_whoever_profiles_keeps_the_place() -> None:
    """A profiler is neither disturbed nor an error: the cell says why it is not judged."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        with pytest.raises(RuntimeError, match="profiler"), record_delegation():
            pass
        result = evaluate("modes/own-work", subject())
    finally:
        profiler.disable()
    assert result.verdict is Verdict.UNSUPPORTED
    assert "a profiler is at work" in result.detail


@pytest.mark.parametrize(("kernel", "seen"), [(own, False), (odd_ones_elsewhere, True), (elsewhere, False)])
def test_sizes_handed_to_the_library_are_said_and_break_nothing(kernel: Any, *, seen: bool) -> None:
    """Some sizes handed over are its own way of doing; all of them, or none, are nothing to speak of."""
    found = verify(kernel, like=ENTROPY, dtype="float64", profile="quick", seed=1)
    (result,) = (each for each in found.run.results if each.requirement == "modes/own-work")
    assert "modes/own-work" not in {each.requirement for each in found.findings}
    assert result.verdict is (Verdict.FAIL if seen else Verdict.PASS)
    assert (ENTROPY in result.detail) is seen
    assert ("its own way of doing, which breaks nothing: modes/own-work" in str(found)) is seen
