"""A kernel that delegates some sizes to its library is detected."""

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


def computed(p: Any, q: Any, axis: int = 0) -> Any:
    """Return the relative entropy of normalised rows."""
    p, q = (side / side.sum(axis, keepdims=True) for side in (p, q))
    return special.rel_entr(p, q).sum(axis)


def odd_sizes_delegated(p: Any, q: Any, axis: int = 0) -> Any:
    """Return the same; by SciPy if the number of classes is not a multiple of eight."""
    return stats.entropy(p, q, axis=axis) if p.shape[axis] % 8 else computed(p, q, axis)


def delegated(p: Any, q: Any, axis: int = 0) -> Any:
    """Return the same by SciPy."""
    return stats.entropy(p, q, axis=axis)


def test_calls_are_recorded_inside_the_context_only() -> None:
    """Calls of the library's KL functions are recorded inside the context, which removes its profiler at the end."""
    with record_delegation() as called:
        stats.entropy(HALVES, HALVES)
    assert called == {ENTROPY}
    with record_delegation() as none:
        np.log(HALVES).sum()
        list[int]().append(1)  # a function in C that cannot be looked up: it is bound to a list
    assert none == set()
    stats.entropy(HALVES, HALVES)
    assert none == set()
    assert sys.getprofile() is None


def test_an_active_profiler_is_kept() -> None:
    """An active profiler is neither replaced nor an error: the cell gives the reason why it is not judged."""
    profiler = cProfile.Profile()
    profiler.enable()
    try:
        with pytest.raises(RuntimeError, match="profiler"), record_delegation():
            pass
        result = evaluate("modes/own-work", subject())
    finally:
        profiler.disable()
    assert result.verdict is Verdict.UNSUPPORTED
    assert "another profiler is active" in result.detail


@pytest.mark.parametrize(("kernel", "seen"), [(computed, False), (odd_sizes_delegated, True), (delegated, False)])
def test_delegated_sizes_are_reported_and_fail_nothing(kernel: Any, *, seen: bool) -> None:
    """Delegating some sizes is reported as a deviation from a convention; delegating all or none is not."""
    found = verify(kernel, like=ENTROPY, dtype="float64", profile="quick", seed=1)
    (result,) = (each for each in found.run.results if each.requirement == "modes/own-work")
    assert "modes/own-work" not in {each.requirement for each in found.findings}
    assert result.verdict is (Verdict.FAIL if seen else Verdict.PASS)
    assert (ENTROPY in result.detail) is seen
    assert ("deviates from a CONVENTION requirement (not counted as a failure): modes/own-work" in str(found)) is seen
