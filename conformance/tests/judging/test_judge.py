"""The judge: whoever stays within the bound is let go, whoever leaves it is caught."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, build
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judge import WeightedAnswer
from kl_conformance.requirements.miniature import Miniature, reduce
from kl_conformance_testkit.subjects import pair, subject
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype
from kl_reference.enclosure import Array
from kl_reference.problem import Operand, Problem
from kl_reference.tolerance import Profile, accepts_overflow, tolerance
from kl_reports.runfile.records import Kind

FAMILIES = ("dirichlet-flat", "power-law", "peaked-logits", "near-equal", "ladder", "measure")
ROW = pair([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [[0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])


def asked(question: Pair = ROW, reduction: Reduction = Reduction.TERMS, dtype: str = "float64") -> Evaluation:
    """Return what a right sketch answers."""
    one = subject(dtype=dtype)
    return one.evaluate(one.problem(question, reduction))


def moved(evaluation: Evaluation, step: float) -> Evaluation:
    """Return the evaluation of somebody whose every answer lies ``step`` tolerances beside the right one."""
    return replace(evaluation, got=evaluation.enclosure.value + step * evaluation.tolerance.total)


def with_answer(evaluation: Evaluation, at: tuple[int, ...], value: float) -> Evaluation:
    """Return the evaluation with one element of the answer replaced."""
    got = np.array(evaluation.answer)
    got[at] = value
    return replace(evaluation, got=got)


@pytest.mark.parametrize("reduction", [Reduction.TERMS, Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_held_against_its_tolerance(family: str, dtype: str, reduction: Reduction) -> None:
    """Half of what is allowed, on either side, breaks nothing; half as much again breaks every element."""
    question = build(Recipe(family, (3, 5), Dtype.named(dtype), 1))
    evaluation = asked(question, reduction, dtype)
    assert np.isfinite(evaluation.enclosure.value).all()
    for side in (-1.0, 1.0):
        inside = judge.within_tolerance(moved(evaluation, 0.5 * side))
        assert not inside.is_failure
        # The answer made up here is rounded itself: in float64 to some tenths of what is allowed.
        assert inside.headroom == pytest.approx(0.5, abs=0.3)
        outside = judge.within_tolerance(moved(evaluation, 1.5 * side))
        assert outside.failed.all()
        assert outside.headroom == pytest.approx(1.5, abs=0.3)


def test_a_judgement_speaks_of_the_worst_element() -> None:
    """Headroom, place and budget are those of the element that comes nearest to its bound."""
    evaluation = asked()
    value, allowed = evaluation.enclosure.value, evaluation.tolerance.total
    wrong = with_answer(moved(evaluation, 0.1), (1, 2), float(value[1, 2] + 7 * allowed[1, 2]))
    judgement = judge.within_tolerance(wrong, "seven times too far")
    assert judgement.at == (1, 2)
    assert judgement.headroom == pytest.approx(7.0, abs=0.2)
    assert judgement.failed.tolist() == [[False, False, False], [False, False, True]]
    assert judgement.note == "seven times too far"
    expected = evaluation.tolerance.budget((1, 2))
    assert [each.name for each in judgement.budget] == [each.name for each in expected]
    assert [each.amount for each in judgement.budget] == [each.amount for each in expected]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_no_answer(value: float) -> None:
    """NaN or an infinity in place of a number is broken, whatever the tolerance, and only there."""
    judgement = judge.within_tolerance(with_answer(asked(), (0, 1), value))
    assert judgement.failed.tolist() == [[False, True, False], [False, False, False]]
    assert judgement.headroom == np.inf


@pytest.mark.parametrize(
    ("value", "broken"), [(np.inf, False), (-np.inf, True), (1e308, True), (np.nan, True)]
)
def test_where_infinity_is_right_nothing_else_is(value: float, broken: bool) -> None:
    """P > 0 = q gives +∞: neither a large number, nor −∞, nor NaN."""
    evaluation = asked(pair([0.5, 0.5], [0.0, 1.0]))
    assert judge.within_tolerance(with_answer(evaluation, (0,), value)).is_failure is broken


@pytest.mark.parametrize(("value", "broken"), [(np.nan, False), (0.0, True), (np.inf, True)])
def test_where_nan_is_right_nothing_else_is(value: float, broken: bool) -> None:
    """NaN in, NaN out: a number hides it."""
    evaluation = asked(pair([0.5, np.nan], [0.5, 0.5]))
    assert judge.within_tolerance(with_answer(evaluation, (1,), value), decisive=False).is_failure is broken


@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (1, 2, 3), (0, 3)])
def test_an_answer_of_another_shape_is_broken(shape: tuple[int, ...]) -> None:
    """A right number in the wrong shape is somebody else's answer; the shapes are named."""
    misshapen = replace(asked(), got=np.zeros(shape))
    for judgement in (judge.within_tolerance(misshapen), judge.exact(misshapen)):
        assert judgement.is_failure
        assert judgement.note == f"gave shape {shape} where (2, 3) is right"


def test_exactness_is_to_the_last_bit() -> None:
    """Where exactness is demanded the next number beside the right one is broken; elsewhere nobody asks."""
    one = subject()
    question = pair([0.0, 1.0], [0.0, -2.0], Space.LOG)
    right = one.evaluate(one.problem(question))
    assert right.answer.tolist() == [0.0, 2.0]
    assert not judge.exact(right).is_failure
    beside = with_answer(right, (1,), float(np.nextafter(2.0, 3.0)))
    assert judge.exact(beside).failed.tolist() == [False, True]
    assert judge.exact(beside, where=np.array([True, False])).is_failure is False
    assert judge.exact(with_answer(right, (0,), -0.0)).is_failure is False  # zero is zero


def test_a_yes_or_no_is_taken_element_by_element() -> None:
    """What is not fine is bad, and the first of it is what the judgement speaks of."""
    evaluation = asked()
    judgement = judge.elementwise(
        evaluation, np.array([[True, True, True], [True, False, False]]), "too negative"
    )
    assert judgement.failed.tolist() == [[False, False, False], [False, True, True]]
    assert judgement.at == (1, 1)
    assert judgement.headroom is None
    assert judge.elementwise(evaluation, np.array(True), "fine").is_failure is False
    assert judge.elementwise(evaluation, np.array(False), "nothing is fine").failed.all()


def test_only_the_elements_in_question_are_judged() -> None:
    """``inside`` lets go what lies elsewhere."""
    wrong = with_answer(asked(), (0, 0), 9.0)
    assert judge.within_tolerance_where(wrong, np.ones((2, 3), bool)).is_failure
    assert not judge.within_tolerance_where(wrong, np.arange(6).reshape(2, 3) > 0).is_failure


def test_a_problem_any_answer_would_pass_proves_nothing() -> None:
    """P = Q: an all-zero answer would pass, so that passing says nothing unless zero is the question."""
    evaluation = asked(pair([0.5, 0.5], [0.5, 0.5]))
    assert judge.within_tolerance(evaluation).vacuous == "an all-zero answer would pass"
    assert judge.within_tolerance(evaluation, decisive=False).vacuous is None
    assert judge.within_tolerance(asked()).vacuous is None


def _sums(one: Subject, question: Pair) -> list[WeightedAnswer]:
    """Return both sides of: the sum is the mean times the number of elements."""
    total = one.evaluate(one.problem(question, Reduction.SUM))
    mean = one.evaluate(one.problem(question, Reduction.MEAN))
    return [WeightedAnswer(1.0, total), WeightedAnswer(-float(np.prod(question.shape)), mean)]


def test_an_identity_balances() -> None:
    """Both sides of an identity may err by their own tolerances, and no more."""
    one = subject()
    total, mean = _sums(one, ROW)
    assert not judge.identity([total, mean], "sum = n·mean").is_failure
    for step, broken in ((0.5, False), (1.5, True)):
        allowed = float(total.allowed + mean.allowed)
        shifted = replace(total.evaluation, got=total.evaluation.enclosure.value + step * allowed)
        still = replace(mean.evaluation, got=mean.evaluation.enclosure.value)
        sides = [WeightedAnswer(1.0, shifted), WeightedAnswer(mean.factor, still)]
        assert judge.identity(sides, "sum = n·mean").is_failure is broken


def test_an_identity_catches_a_wrong_divisor() -> None:
    """A mean that divides by the rows instead of the elements does not balance the sum."""
    one = subject(Miniature(reduce=_by_rows))
    assert judge.identity(_sums(one, ROW), "sum = n·mean").is_failure


def test_two_answers_agree_within_both_tolerances() -> None:
    """Equal bits agree, whatever they are; else two answers may differ by what both may err, and no more."""
    evaluation = asked()
    lost = with_answer(evaluation, (0, 0), np.nan)
    assert not judge.same_answer(lost, lost, "").is_failure
    assert judge.same_answer(lost, evaluation, "").failed.sum() == 1
    apart = judge.same_answer(moved(evaluation, -0.9), moved(evaluation, 0.9), "")
    assert not apart.is_failure
    assert judge.same_answer(moved(evaluation, -1.5), moved(evaluation, 0.9), "").failed.all()
    row = replace(evaluation, got=evaluation.answer[0])
    assert judge.same_answer(row, evaluation, "").is_failure


def _by_rows(terms: Array, reduction: Reduction) -> Array:
    return reduce(terms, Reduction.ROWMEAN if reduction is Reduction.MEAN else reduction)


def test_a_sum_between_two_numbers_may_touch_them() -> None:
    """A bound is held with each side's tolerance beside it, and NaN lies between no two numbers."""
    one = asked(reduction=Reduction.SUM)
    exact, allowed = float(one.enclosure.value), float(one.tolerance.total)
    for low, high in ((exact, 9.0), (-9.0, exact)):
        for step, broken in ((-1.5, low == exact), (0.0, False), (1.5, high == exact)):
            sides = [WeightedAnswer(1.0, replace(one, got=np.array(exact + step * allowed)))]
            assert judge.in_range(sides, low, high, "beyond").is_failure is broken
    assert judge.in_range(
        [WeightedAnswer(1.0, replace(one, got=np.array(np.nan)))], -9.0, 9.0, "beyond"
    ).is_failure


def test_rounded_inputs_may_lie_beyond_a_bound() -> None:
    """An answer is not charged with an exact value that lies beyond the bound itself."""
    one = asked(reduction=Reduction.SUM)
    exact = float(one.enclosure.value)
    sides = [WeightedAnswer(1.0, replace(one, got=np.array(exact)))]
    assert not judge.in_range(sides, exact + 1.0, exact + 2.0, "beyond").is_failure


def test_terms_are_added_without_error() -> None:
    """What an identity sums over its elements is summed exactly: the judge adds no error of its own."""
    one = subject()
    terms = one.evaluate(one.problem(ROW))
    cancelling = replace(terms, got=np.array([[1e16, 1.0, -1e16], [0.0, 0.0, 0.0]]))
    assert float(WeightedAnswer(1.0, cancelling, summed=True).answer) == 1.0


def test_an_identity_of_infinities_says_nothing() -> None:
    """∞ = ∞ holds whatever anybody computes."""
    sides = _sums(subject(), pair([[0.5, 0.5]], [[0.0, 1.0]]))
    assert not judge.identity(sides, "sum = n·mean").is_failure


def _large(dtype: Dtype, value: float) -> Evaluation:
    """Return a single term p·(log p − log q) of about ``value``: p = 1, log q = −value."""
    one = subject(dtype=dtype.label)
    p = Operand.of(np.array([1.0]), Space.PROBABILITY, dtype)
    log_q = Operand.of(np.array([-value]), Space.LOG, dtype)
    return one.evaluate(Problem(p, log_q))


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16])
def test_an_infinity_is_right_only_at_the_edge_of_the_format(dtype: Dtype) -> None:
    """Where a permitted error reaches the largest number an infinity of the right sign is permitted as well."""
    edge, below = _large(dtype, dtype.largest), _large(dtype, dtype.largest / 2)
    assert not judge.within_tolerance(with_answer(edge, (0,), np.inf)).is_failure
    assert judge.within_tolerance(with_answer(edge, (0,), -np.inf)).is_failure
    assert judge.within_tolerance(with_answer(edge, (0,), np.nan)).is_failure
    assert judge.within_tolerance(with_answer(below, (0,), np.inf)).is_failure
    assert accepts_overflow(edge.enclosure, edge.tolerance, dtype).all()


def _flushing(got: float, *, declared: bool) -> Evaluation:
    """Return an answer to p subnormal and q = 0 from a column that may declare that it reads such a p as 0."""
    one = subject(dtype="float32")
    p = np.array([1e-39, 0.5], np.float32)
    log_q = np.array([-np.inf, -1.0], np.float32)
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(log_q, Space.LOG))
    evaluation = one.evaluate(problem)
    assert evaluation.enclosure.value[0] == np.inf
    profile = replace(Profile.of(Dtype.FLOAT32), flush_to_zero=declared)
    allowed = tolerance(problem, evaluation.enclosure, profile)
    return replace(with_answer(evaluation, (0,), got), profile=profile, tolerance=allowed)


def test_who_declares_to_flush_subnormals_may() -> None:
    """0 where ∞ is right is a fault, unless the column declares that it reads a subnormal p as 0."""
    assert judge.within_tolerance(_flushing(0.0, declared=False)).failed.tolist() == [True, False]
    assert not judge.within_tolerance(_flushing(0.0, declared=True)).is_failure
    assert not judge.within_tolerance(_flushing(np.inf, declared=True)).is_failure


@pytest.mark.parametrize("got", [1.0, -np.inf, np.nan])
def test_flushing_excuses_nothing_else(got: float) -> None:
    """A declared flush is no licence: an answer right for neither reading of the inputs is broken."""
    assert judge.within_tolerance(_flushing(got, declared=True)).failed.tolist() == [True, False]


def test_another_question_may_fit() -> None:
    """An answer can be right for another problem; a gradient, or an answer of another shape, never is."""
    one = subject()
    judgement = judge.within_tolerance(asked(reduction=Reduction.SUM))
    mean = one.problem(ROW, Reduction.MEAN)
    assert judge.matches_problem(judgement, one.problem(ROW, Reduction.SUM), one.profile).all()
    assert not judge.matches_problem(judgement, mean, one.profile).any()
    sixth = replace(judgement, got=judgement.answer / 6)
    assert judge.matches_problem(sixth, mean, one.profile).all()
    assert not judge.matches_problem(replace(sixth, side=Side.MODEL), mean, one.profile).any()
    assert not judge.matches_problem(sixth, one.problem(ROW), one.profile).any()
    other = replace(mean, formula=Formula.GENERALISED)
    assert judge.matches_problem(
        sixth, other, one.profile
    ).all()  # P and Q sum to 1: both formulas give the same


def test_a_refusal_is_judged_without_numbers() -> None:
    """Where an error was due, or none was, there is nothing to measure."""
    problem = asked().problem
    fails = judge.failed(problem, CallDescription("call"), "accepted", Kind.ACCEPTED)
    passes = judge.passed(problem, CallDescription("call"), raised=True)
    assert (fails.is_failure, fails.raised, fails.headroom) == (True, False, None)
    assert (passes.is_failure, passes.raised, passes.headroom) == (False, True, None)
