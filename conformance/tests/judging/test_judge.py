"""The judge passes answers within the bound, and fails all others."""

from dataclasses import replace

import numpy as np
import pytest

from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, build
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation, WrongShapeError
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


def evaluated(values: Pair = ROW, reduction: Reduction = Reduction.TERMS, dtype: str = "float64") -> Evaluation:
    """Return the evaluation of a correct miniature."""
    one = subject(dtype=dtype)
    return one.evaluate(one.problem(values, reduction))


def moved(evaluation: Evaluation, step: float) -> Evaluation:
    """Return the evaluation with every element ``step`` tolerances away from the expected one."""
    return replace(evaluation, returned=evaluation.enclosure.value + step * evaluation.tolerance.total)


def with_answer(evaluation: Evaluation, at: tuple[int, ...], value: float) -> Evaluation:
    """Return the evaluation with one element of the answer replaced."""
    answer = np.array(evaluation.answer)
    answer[at] = value
    return replace(evaluation, returned=answer)


@pytest.mark.parametrize("reduction", [Reduction.TERMS, Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_an_answer_is_compared_with_its_tolerance(family: str, dtype: str, reduction: Reduction) -> None:
    """Half of the allowed error passes on either side; one and a half times as much fails at every element."""
    evaluation = evaluated(build(Recipe(family, (3, 5), Dtype.named(dtype), 1)), reduction, dtype)
    assert np.isfinite(evaluation.enclosure.value).all()
    for side in (-1.0, 1.0):
        inside = judge.within_tolerance(moved(evaluation, 0.5 * side))
        assert not inside.is_failure
        # The constructed answer is rounded: in float64 by some tenths of the allowed error.
        assert inside.headroom == pytest.approx(0.5, abs=0.3)
        outside = judge.within_tolerance(moved(evaluation, 1.5 * side))
        assert outside.failed.all()
        assert outside.headroom == pytest.approx(1.5, abs=0.3)


def test_a_judgement_describes_the_worst_element() -> None:
    """Headroom, index and budget are those of the element nearest to its bound."""
    evaluation = evaluated()
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
def test_nan_and_infinity_fail_where_a_number_is_expected(value: float) -> None:
    """NaN or an infinity in place of a number fails whatever the tolerance, at that element only."""
    judgement = judge.within_tolerance(with_answer(evaluated(), (0, 1), value))
    assert judgement.failed.tolist() == [[False, True, False], [False, False, False]]
    assert judgement.headroom == np.inf


@pytest.mark.parametrize(("value", "fails"), [(np.inf, False), (-np.inf, True), (1e308, True), (np.nan, True)])
def test_where_infinity_is_correct_nothing_else_is(value: float, fails: bool) -> None:
    """P > 0 = q gives +∞: neither a large number, nor −∞, nor NaN."""
    evaluation = evaluated(pair([0.5, 0.5], [0.0, 1.0]))
    assert judge.within_tolerance(with_answer(evaluation, (0,), value)).is_failure is fails


@pytest.mark.parametrize(("value", "fails"), [(np.nan, False), (0.0, True), (np.inf, True)])
def test_where_nan_is_correct_nothing_else_is(value: float, fails: bool) -> None:
    """NaN in, NaN out: a number hides it."""
    evaluation = evaluated(pair([0.5, np.nan], [0.5, 0.5]))
    assert judge.within_tolerance(with_answer(evaluation, (1,), value), decisive=False).is_failure is fails


@pytest.mark.parametrize("shape", [(), (2,), (3, 2), (1, 2, 3), (0, 3)])
def test_an_answer_of_another_shape_fails(shape: tuple[int, ...]) -> None:
    """Every comparison fails an answer of a wrong shape, with both shapes; its elements cannot be read."""
    plain = evaluated()
    wrong = replace(plain, returned=np.zeros(shape))
    sides = (WeightedAnswer(1.0, plain), WeightedAnswer(-1.0, wrong))
    for judgement in (
        judge.within_tolerance(wrong),
        judge.within_tolerance_where(wrong, np.ones((2, 3), bool)),
        judge.exact(wrong),
        judge.elementwise(wrong, np.array(True), "fine"),
        judge.graded(wrong),
        judge.identity(sides, "the same"),
        judge.same_answer(plain, wrong, "the same"),
        judge.same_answer(wrong, wrong, "the same"),
        judge.in_range([WeightedAnswer(1.0, wrong)], -9.0, 9.0, "beyond"),
    ):
        assert (judgement.is_failure, judgement.kind) == (True, Kind.SHAPE)
        assert judgement.note == f"returned shape {shape}, expected (2, 3)"
    with pytest.raises(WrongShapeError, match=r"returned shape \(.*\), expected \(2, 3\)"):
        assert wrong.answer


def test_exactness_is_to_the_last_bit() -> None:
    """Where an exact answer is required, the number next to the correct one fails."""
    one = subject()
    right = one.evaluate(one.problem(pair([0.0, 1.0], [0.0, -2.0], Space.LOG)))
    assert right.answer.tolist() == [0.0, 2.0]
    assert not judge.exact(right).is_failure
    beside = with_answer(right, (1,), float(np.nextafter(2.0, 3.0)))
    assert judge.exact(beside).failed.tolist() == [False, True]
    assert judge.exact(beside, where=np.array([True, False])).is_failure is False
    assert judge.exact(with_answer(right, (0,), -0.0)).is_failure is False  # zero is zero


def test_a_yes_or_no_is_taken_element_by_element() -> None:
    """Every element that is not fine fails, and the judgement describes the first of them."""
    evaluation = evaluated()
    judgement = judge.elementwise(evaluation, np.array([[True, True, True], [True, False, False]]), "too negative")
    assert judgement.failed.tolist() == [[False, False, False], [False, True, True]]
    assert judgement.at == (1, 1)
    assert judgement.headroom is None
    assert judge.elementwise(evaluation, np.array(True), "fine").is_failure is False
    assert judge.elementwise(evaluation, np.array(False), "nothing is fine").failed.all()


def test_only_the_selected_elements_are_judged() -> None:
    """``within_tolerance_where`` passes whatever the other elements are."""
    wrong = with_answer(evaluated(), (0, 0), 9.0)
    assert judge.within_tolerance_where(wrong, np.ones((2, 3), bool)).is_failure
    assert not judge.within_tolerance_where(wrong, np.arange(6).reshape(2, 3) > 0).is_failure


def test_a_problem_any_answer_would_pass_proves_nothing() -> None:
    """For P = Q an all-zero answer passes, which proves nothing unless zero is what is tested."""
    evaluation = evaluated(pair([0.5, 0.5], [0.5, 0.5]))
    assert judge.within_tolerance(evaluation).vacuous == "an all-zero answer would pass"
    assert judge.within_tolerance(evaluation, decisive=False).vacuous is None
    assert judge.within_tolerance(evaluated()).vacuous is None


def _sums(one: Subject, values: Pair) -> list[WeightedAnswer]:
    """Return both sides of: the sum is the mean times the number of elements."""
    total = one.evaluate(one.problem(values, Reduction.SUM))
    mean = one.evaluate(one.problem(values, Reduction.MEAN))
    return [WeightedAnswer(1.0, total), WeightedAnswer(-float(np.prod(values.shape)), mean)]


def test_an_identity_balances() -> None:
    """Each side of an identity may err by its own tolerance, and no more."""
    one = subject()
    total, mean = _sums(one, ROW)
    assert not judge.identity([total, mean], "sum = n·mean").is_failure
    for step, fails in ((0.5, False), (1.5, True)):
        allowed = float(total.allowed + mean.allowed)
        shifted = replace(total.evaluation, returned=total.evaluation.enclosure.value + step * allowed)
        still = replace(mean.evaluation, returned=mean.evaluation.enclosure.value)
        sides = [WeightedAnswer(1.0, shifted), WeightedAnswer(mean.factor, still)]
        assert judge.identity(sides, "sum = n·mean").is_failure is fails


def test_an_identity_catches_a_wrong_divisor() -> None:
    """A mean that divides by the rows instead of the elements does not balance the sum."""
    one = subject(Miniature(reduce=_by_rows))
    assert judge.identity(_sums(one, ROW), "sum = n·mean").is_failure


def test_two_answers_agree_within_both_tolerances() -> None:
    """Equal bits agree, whatever they are; other answers may differ by the sum of both tolerances."""
    evaluation = evaluated()
    lost = with_answer(evaluation, (0, 0), np.nan)
    assert not judge.same_answer(lost, lost, "").is_failure
    assert judge.same_answer(lost, evaluation, "").failed.sum() == 1
    apart = judge.same_answer(moved(evaluation, -0.9), moved(evaluation, 0.9), "")
    assert not apart.is_failure
    assert judge.same_answer(moved(evaluation, -1.5), moved(evaluation, 0.9), "").failed.all()


def _by_rows(terms: Array, reduction: Reduction) -> Array:
    return reduce(terms, Reduction.ROWMEAN if reduction is Reduction.MEAN else reduction)


def test_a_sum_between_two_numbers_may_touch_them() -> None:
    """A bound may be exceeded by each side's tolerance, and NaN is between no two numbers."""
    one = evaluated(reduction=Reduction.SUM)
    exact, allowed = float(one.enclosure.value), float(one.tolerance.total)
    for low, high in ((exact, 9.0), (-9.0, exact)):
        for step, fails in ((-1.5, low == exact), (0.0, False), (1.5, high == exact)):
            sides = [WeightedAnswer(1.0, replace(one, returned=np.array(exact + step * allowed)))]
            assert judge.in_range(sides, low, high, "beyond").is_failure is fails
    assert judge.in_range(
        [WeightedAnswer(1.0, replace(one, returned=np.array(np.nan)))], -9.0, 9.0, "beyond"
    ).is_failure


def test_rounded_inputs_may_exceed_a_bound() -> None:
    """An exact value beyond the bound is no error of the answer."""
    one = evaluated(reduction=Reduction.SUM)
    exact = float(one.enclosure.value)
    sides = [WeightedAnswer(1.0, replace(one, returned=np.array(exact)))]
    assert not judge.in_range(sides, exact + 1.0, exact + 2.0, "beyond").is_failure


def test_terms_are_added_without_error() -> None:
    """An identity sums its elements exactly: the judge adds no error of its own."""
    one = subject()
    terms = one.evaluate(one.problem(ROW))
    cancelling = replace(terms, returned=np.array([[1e16, 1.0, -1e16], [0.0, 0.0, 0.0]]))
    assert float(WeightedAnswer(1.0, cancelling, summed=True).answer) == 1.0


def test_an_identity_of_infinities_proves_nothing() -> None:
    """∞ = ∞ passes for any answer."""
    sides = _sums(subject(), pair([[0.5, 0.5]], [[0.0, 1.0]]))
    assert not judge.identity(sides, "sum = n·mean").is_failure


def _large(dtype: Dtype, value: float) -> Evaluation:
    """Return a single term p·(log p − log q) of about ``value``: p = 1, log q = −value."""
    one = subject(dtype=dtype.label)
    p = Operand.of(np.array([1.0]), Space.PROBABILITY, dtype)
    log_q = Operand.of(np.array([-value]), Space.LOG, dtype)
    return one.evaluate(Problem(p, log_q))


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16])
def test_an_infinity_is_correct_only_at_the_edge_of_the_format(dtype: Dtype) -> None:
    """Where an allowed error reaches the largest number, an infinity of the correct sign is allowed as well."""
    edge, below = _large(dtype, dtype.largest), _large(dtype, dtype.largest / 2)
    assert not judge.within_tolerance(with_answer(edge, (0,), np.inf)).is_failure
    assert judge.within_tolerance(with_answer(edge, (0,), -np.inf)).is_failure
    assert judge.within_tolerance(with_answer(edge, (0,), np.nan)).is_failure
    assert judge.within_tolerance(with_answer(below, (0,), np.inf)).is_failure
    assert accepts_overflow(edge.enclosure, edge.tolerance, dtype).all()


def _flushing(answer: float, *, declared: bool) -> Evaluation:
    """Return an answer to p subnormal and q = 0 of a column that may declare to read such a p as 0."""
    one = subject(dtype="float32")
    p = np.array([1e-39, 0.5], np.float32)
    log_q = np.array([-np.inf, -1.0], np.float32)
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(log_q, Space.LOG))
    evaluation = one.evaluate(problem)
    assert evaluation.enclosure.value[0] == np.inf
    profile = replace(Profile.of(Dtype.FLOAT32), flush_to_zero=declared)
    allowed = tolerance(problem, evaluation.enclosure, profile)
    return replace(with_answer(evaluation, (0,), answer), profile=profile, tolerance=allowed)


def test_a_column_may_declare_to_flush_subnormals() -> None:
    """0 in place of ∞ fails, unless the column declares to read a subnormal p as 0."""
    assert judge.within_tolerance(_flushing(0.0, declared=False)).failed.tolist() == [True, False]
    assert not judge.within_tolerance(_flushing(0.0, declared=True)).is_failure
    assert not judge.within_tolerance(_flushing(np.inf, declared=True)).is_failure


@pytest.mark.parametrize("answer", [1.0, -np.inf, np.nan])
def test_flushing_excuses_nothing_else(answer: float) -> None:
    """An answer that is correct for neither reading of the inputs fails."""
    assert judge.within_tolerance(_flushing(answer, declared=True)).failed.tolist() == [True, False]


def test_an_answer_may_match_another_problem() -> None:
    """An answer may be correct for another problem; a gradient, or an answer of another shape, never is."""
    one = subject()
    judgement = judge.within_tolerance(evaluated(reduction=Reduction.SUM))
    mean = one.problem(ROW, Reduction.MEAN)
    assert judge.matches_problem(judgement, one.problem(ROW, Reduction.SUM), one.profile).all()
    assert not judge.matches_problem(judgement, mean, one.profile).any()
    sixth = replace(judgement, answer=judgement.answer / 6)
    assert judge.matches_problem(sixth, mean, one.profile).all()
    assert not judge.matches_problem(replace(sixth, side=Side.MODEL), mean, one.profile).any()
    assert not judge.matches_problem(sixth, one.problem(ROW), one.profile).any()
    other = replace(mean, formula=Formula.GENERALISED)
    assert judge.matches_problem(sixth, other, one.profile).all()  # P and Q sum to 1: both formulas give the same


def test_a_refusal_is_judged_without_numbers() -> None:
    """Where an error is expected, nothing is measured."""
    problem = evaluated().problem
    fails = judge.failed(problem, CallDescription("call"), "accepted", Kind.ACCEPTED)
    passes = judge.passed(problem, CallDescription("call"), raised=True)
    assert (fails.is_failure, fails.raised, fails.headroom) == (True, False, None)
    assert (passes.is_failure, passes.raised, passes.headroom) == (False, True, None)
