"""The error distribution of a cell is that of its judgements."""

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
    """Return the judgement of a sum that is ``step`` tolerances above the correct one."""
    tested = subject()
    evaluation = tested.evaluate(tested.problem(ROW, Reduction.SUM))
    answer = evaluation.enclosure.value + step * evaluation.tolerance.total
    return judge.within_tolerance(replace(evaluation, returned=answer))


@pytest.mark.parametrize(("step", "place"), [(0.5, 5), (-0.5, -5), (0.0, 0), (0.9, 9)])
def test_an_error_is_counted_on_its_side(step: float, place: int) -> None:
    """Errors of answers that are too large are positive, in tenths of the allowed error; the others negative."""
    histogram = ErrorHistogram()
    histogram.add(moved(step))
    distribution = histogram.distribution()
    assert distribution is not None
    (counted,) = distribution.signed
    # The constructed answer is rounded: in float64 by some tenths of the allowed error.
    assert abs(counted - place) <= 3
    assert np.sign(counted) == np.sign(place)


def test_the_condition_is_the_scale_over_the_answer() -> None:
    """For the sum it is Σ p·(|log p| + |log q|) ÷ |answer|; an infinite answer has none."""
    judgement = moved(0.0)
    scale = sum(p * (abs(math.log(p)) + abs(math.log(q))) for p, q in ((0.5, 0.25), (0.25, 0.25), (0.25, 0.5)))
    answer = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert judgement.condition == pytest.approx(scale / answer)
    assert judgement.classes == 3
    tested = subject()
    endless = pair([0.5, 0.5], [1.0, 0.0], Space.PROBABILITY)
    assert judge.within_tolerance(tested.evaluate(tested.problem(endless, Reduction.SUM))).condition is None


def test_failed_and_unmeasured_judgements_are_not_counted() -> None:
    """The distribution is that of answers that passed and were measured."""
    histogram = ErrorHistogram()
    histogram.add(moved(1.5))
    histogram.add(judge.passed(subject().problem(ROW), CallDescription("call")))
    assert histogram.distribution() is None


def test_a_cell_counts_every_measured_problem() -> None:
    """The largest error of the distribution is the headroom of the cell, and no problem is counted twice."""
    result = evaluate("values/sum", subject())
    spread = result.spread
    assert spread is not None
    assert result.headroom is not None
    assert 0 < spread.problems <= result.problems
    most = math.ceil(1000 * result.headroom)
    assert max(spread.classes.values()) == max(spread.condition.values()) == most
    assert {1, 2, 3} & set(spread.classes)
