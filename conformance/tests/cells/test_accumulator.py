"""What a page draws of a cell is what its judgements measured."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from kl_conformance.cells.accumulator import ErrorHistogram
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.judgement import Judgement
from kl_conformance_testkit.subjects import evaluate, pair, subject
from kl_reference.convention import Reduction, Space

ROW = pair([0.5, 0.25, 0.25], [0.25, 0.25, 0.5])


def moved(step: float) -> Judgement:
    """Return the judgement of a sum that lies ``step`` tolerances above the right one."""
    asked = subject()
    evaluation = asked.evaluate(asked.problem(ROW, Reduction.SUM))
    got = evaluation.enclosure.value + step * evaluation.tolerance.total
    return judge.within_tolerance(replace(evaluation, got=got))


@pytest.mark.parametrize(("step", "place"), [(0.5, 5), (-0.5, -5), (0.0, 0), (0.9, 9)])
def test_an_error_is_counted_on_its_side(step: float, place: int) -> None:
    """An answer too large is right of 0, one too small left of it, as far as it used what is allowed."""
    spreading = ErrorHistogram()
    spreading.add(moved(step))
    spread = spreading.distribution()
    assert spread is not None
    (counted,) = spread.signed
    # The answer made up here is rounded itself: in float64 to some tenths of what is allowed.
    assert abs(counted - place) <= 3
    assert np.sign(counted) == np.sign(place)


def test_the_condition_is_the_scale_over_the_answer() -> None:
    """For the sum it is Σ p·(|log p| + |log q|) ÷ |answer|, and it is not known where the answer is infinite."""
    judgement = moved(0.0)
    scale = sum(
        p * (abs(math.log(p)) + abs(math.log(q))) for p, q in ((0.5, 0.25), (0.25, 0.25), (0.25, 0.5))
    )
    answer = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert judgement.condition == pytest.approx(scale / answer)
    assert judgement.classes == 3
    asked = subject()
    endless = pair([0.5, 0.5], [1.0, 0.0], Space.PROBABILITY)
    assert judge.within_tolerance(asked.evaluate(asked.problem(endless, Reduction.SUM))).condition is None


def test_what_breaks_or_was_not_measured_is_not_counted() -> None:
    """Charts show what holds: a broken answer, and a yes or no, leave no mark."""
    spreading = ErrorHistogram()
    spreading.add(moved(1.5))
    spreading.add(judge.passed(subject().problem(ROW), CallDescription("call")))
    assert spreading.distribution() is None


def test_a_cell_tells_every_problem_it_measured() -> None:
    """The largest error of the spread is the headroom of the cell, and no problem is counted twice."""
    result = evaluate("values/sum", subject())
    spread = result.spread
    assert spread is not None
    assert result.headroom is not None
    assert 0 < spread.problems <= result.problems
    most = math.ceil(1000 * result.headroom)
    assert max(spread.classes.values()) == max(spread.condition.values()) == most
    assert {1, 2, 3} & set(spread.classes)
