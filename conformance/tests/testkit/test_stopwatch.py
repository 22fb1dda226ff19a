"""A worker's time is assigned to parts: no moment is counted twice or left out."""

import sys
from itertools import count
from math import fsum

import pytest

from kl_conformance_testkit.profiling import Workload, measure
from kl_conformance_testkit.stopwatch import Part, Stopwatch


def test_every_moment_belongs_to_the_part_entered_last() -> None:
    """What a part calls of another is the other's time, and its own again afterwards."""
    ticks = count(1)
    watch = Stopwatch(clock=lambda: float(next(ticks)))
    framework = watch.timed(Part.FRAMEWORK, lambda: None)
    watch.enter(Part.REST)  # at 1
    framework()  # from 2 to 3
    watch.leave()  # at 4
    assert watch.spent() == dict.fromkeys(Part, 0.0) | {
        Part.IMPORTS: 2.0,  # until 1, and from 4 to 5
        Part.FRAMEWORK: 1.0,
        Part.REST: 2.0,
    }


def test_a_part_ends_where_its_function_raises() -> None:
    """An implementation that raises does not go on taking time."""
    ticks = count(1)
    watch = Stopwatch(clock=lambda: float(next(ticks)))

    def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        watch.timed(Part.FRAMEWORK, refuse)()
    assert watch.spent()[Part.FRAMEWORK] == 1.0


def test_the_shares_of_a_worker_make_up_its_whole() -> None:
    """A worker of SciPy spends its time on every part there is, and on nothing else."""
    workload = Workload(("--framework=scipy", "--profile=quick", "--dtype=float64", "-k", "values/"), 2, 1, (4,))
    found = measure(workload)
    assert found.columns == 1
    assert found.cells == found.requirements > 1
    assert found.problems > found.cells
    # Each share is a quotient rounded once: at most half of epsilon of itself.
    assert abs(fsum(found.shares.values()) - 1.0) <= sys.float_info.epsilon
    assert all(share > 0.0 for share in found.shares.values()), found.shares
    assert found.classes["4"][Part.FRAMEWORK.value] > 0.0
