"""Tolerances: every item for its own error, and no item that accepts every answer."""

import math
from typing import Any

import numpy as np
import pytest

from kl_reference import (
    Dtype,
    Enclosure,
    Formula,
    Operand,
    Problem,
    Profile,
    Reduction,
    Side,
    Space,
    Summation,
    Tolerance,
    accepts_overflow,
    answer,
    gradient,
    tolerance,
    vacuous,
)

U32, U16 = 2.0**-24, 2.0**-11


def judged(p: Any, log_q: Any, profile: Profile, **rest: Any) -> tuple[Enclosure, Tolerance]:
    """Return the answer to a problem in a profile's own dtype, and its tolerance."""
    operands = (
        Operand.of(np.asarray(p, dtype=np.float64), Space.PROBABILITY, profile.storage),
        Operand.of(np.asarray(log_q, dtype=np.float64), Space.LOG, profile.storage),
    )
    problem = Problem(*operands, **rest)
    enclosure = answer(problem)
    return enclosure, tolerance(problem, enclosure, profile)


def items(tolerated: Tolerance) -> dict[str, float]:
    """Return the amounts of a 0-D tolerance by name."""
    return {item.name: float(item.amount) for item in tolerated.allowances}


def test_one_term() -> None:
    """The tolerance of a term is (a + 2)·u·p·(|log p| + |log q|) and one output rounding."""
    enclosure, tolerated = judged(0.25, -1.0, Profile.of(Dtype.FLOAT32))
    condition = 0.25 * (math.log(4.0) + 1.0)
    amounts = items(tolerated)
    assert amounts["conditioning"] == pytest.approx(6.0 * U32 * condition)
    assert amounts["output rounding"] == pytest.approx(U32 * abs(float(enclosure.value)))
    assert amounts["underflow"] == pytest.approx(3.0 * 2.0**-149)
    assert amounts["reference"] == float(enclosure.radius) < 1e-9 * amounts["conditioning"]
    assert amounts["pipeline"] == amounts["summation"] == 0.0
    assert float(tolerated.total) == pytest.approx(sum(amounts.values()))


def test_half_precision_op_by_op_and_fused() -> None:
    """Operation by operation, a 16-bit format rounds every intermediate result; a fused kernel only the output."""
    condition = 0.25 * (math.log(4.0) + 1.0)
    _, by_operation = judged(0.25, -1.0, Profile.of(Dtype.FLOAT16))
    enclosure, fused = judged(0.25, -1.0, Profile.fused(Dtype.FLOAT16))
    assert items(by_operation)["conditioning"] == pytest.approx(4.0 * U16 * condition)
    assert items(fused)["conditioning"] == pytest.approx(6.0 * U32 * condition)
    assert items(fused)["output rounding"] == pytest.approx(U16 * abs(float(enclosure.value)))
    assert Profile.of(Dtype.BFLOAT16).accumulate is Dtype.FLOAT32
    assert Profile.fused(Dtype.FLOAT64) == Profile.of(Dtype.FLOAT64)


@pytest.mark.parametrize(
    ("summation", "growth"),
    [(Summation.BLOCKED, 20.0), (Summation.PAIRWISE, 2.0 * math.log2(100)), (Summation.ANY, 99.0)],
)
def test_summation_grows(summation: Summation, growth: float) -> None:
    """The tolerance of a sum of n terms is h(n)·u·Σ|t|, and 0 for one term."""
    profile = Profile(Dtype.FLOAT32, Dtype.FLOAT32, Dtype.FLOAT32, summation=summation)
    p, log_q = np.full(100, 0.01), np.linspace(-9.0, -1.0, 100)
    terms, _ = judged(p, log_q, profile)
    _, tolerated = judged(p, log_q, profile, reduction=Reduction.SUM)
    expected = growth * U32 * float(np.sum(np.abs(terms.value)))
    assert items(tolerated)["summation"] == pytest.approx(expected)
    assert summation.growth(1) == summation.growth(0) == 0.0
    assert summation.growth(2) == 1.0


def test_means_are_divided() -> None:
    """The tolerance of a mean is that of the sum divided by n, and two more roundings."""
    p, log_q = np.full((4, 5), 0.2), np.linspace(-9.0, -1.0, 20).reshape(4, 5)
    profile = Profile.of(Dtype.BFLOAT16)
    _, of_sum = judged(p, log_q, profile, reduction=Reduction.SUM)
    enclosure, of_mean = judged(p, log_q, profile, reduction=Reduction.MEAN)
    assert items(of_mean)["conditioning"] == pytest.approx(items(of_sum)["conditioning"] / 20.0)
    size, magnitude = abs(float(enclosure.value)), float(enclosure.scale.magnitude)
    assert items(of_mean)["output rounding"] == pytest.approx(2.0**-8 * (3.0 * size + magnitude))


def test_flushing_must_be_declared() -> None:
    """Only a profile with flush_to_zero is allowed an error of a least normal number per term."""
    gradual = Profile.of(Dtype.FLOAT32)
    flushing = Profile(Dtype.FLOAT32, Dtype.FLOAT32, Dtype.FLOAT32, flush_to_zero=True)
    _, small = judged(1e-37, -1.0, gradual)
    _, large = judged(1e-37, -1.0, flushing)
    extra = items(large)["underflow"] - items(small)["underflow"]
    assert extra == pytest.approx((149.0 * math.log(2.0) + 1.0 + 4.0 + 1.0) * 2.0**-126)


@pytest.mark.parametrize("dtype", Dtype)
def test_exact_answers_have_no_tolerance(dtype: Dtype) -> None:
    """Where p = 0, or the answer is infinite or NaN, the tolerance is 0."""
    p, log_q = [0.0, 0.0, 0.5, np.nan, 0.5], [-1.0, -np.inf, -np.inf, -1.0, np.inf]
    _, tolerated = judged(p, log_q, Profile.of(dtype))
    np.testing.assert_array_equal(tolerated.total, 0.0)


def test_logits_have_a_pipeline() -> None:
    """Softmax has its own error, larger for less probable classes and for more classes."""
    amounts: list[float] = []
    for classes in (2, 1000):
        x = Operand.of(np.linspace(-1.0, 1.0, classes), Space.LOGITS, Dtype.FLOAT32)
        problem = Problem(x, Operand.of(x.values[::-1], Space.LOGITS), reduction=Reduction.SUM)
        amounts.append(items(tolerance(problem, answer(problem), Profile.of(Dtype.FLOAT32)))["pipeline"])
    assert 10.0 * U32 < amounts[0] < amounts[1] < 1000.0 * U32


def test_an_exponential_and_a_logarithm_both_err() -> None:
    """If P is received as log p and Q as q, the errors of one function each are added."""
    p, q = Operand.of(np.array([-1.5]), Space.LOG), Operand.of(np.array([0.01]), Space.PROBABILITY)
    for formula in Formula:
        problem = Problem(p, q, formula)
        amounts = tolerance(problem, answer(problem), Profile.of(Dtype.FLOAT64)).allowances
        expected = 4.0 * 2.0**-53 * math.exp(-1.5) * math.log(100.0)
        assert {item.name: float(item.amount[0]) for item in amounts}["pipeline"] == pytest.approx(expected)


def test_wide_rows_have_a_tolerance() -> None:
    """Normalising a row whose probabilities span the whole range leaves every scale finite."""
    p = Operand.of(np.array([[1e300, 1.0, 1e-300, 5e-324]]), Space.PROBABILITY)
    q = Operand.of(np.array([[5e-324, 1e-300, 1.0, 1e300]]), Space.PROBABILITY)
    problem = Problem(p, q, normalise=True)
    assert np.all(np.isfinite(tolerance(problem, answer(problem), Profile.of(Dtype.FLOAT64)).total))


def test_gradient_tolerance() -> None:
    """The tolerance of the gradient by log q is three roundings of p, and the output rounding."""
    p, q = Operand.of(np.array([0.3]), Space.PROBABILITY), Operand.of(np.array([-1.0]), Space.LOG)
    problem = Problem(p, q)
    tolerated = tolerance(problem, gradient(problem, Side.MODEL), Profile.of(Dtype.FLOAT64))
    assert float(tolerated.total[0]) == pytest.approx((3.0 + 1.0) * 2.0**-53 * 0.3)


def test_a_budget_is_itemised() -> None:
    """The budget at an element names every item with its amount and reason, and what the amounts count."""
    p, log_q = np.full((2, 31), 1.0 / 31.0), np.linspace(-9.0, -1.0, 62).reshape(2, 31)
    _, tolerated = judged(p, log_q, Profile.of(Dtype.FLOAT32), reduction=Reduction.ROWS)
    first, second, *_ = items = tolerated.budget((1,))
    assert (first.name, first.reason) == ("conditioning", "log and exp to 4 u, and two roundings more")
    assert first.amount == pytest.approx(6.0)
    assert (second.name, second.reason) == ("summation", "31 terms added up in float32, h = 11.14")
    unit = float(tolerated.unit[1])
    assert {each.unit.partition(", ")[0] for each in items} == {f"{unit:.3g} = u·S"}
    counted = sum(each.amount for each in items) * unit
    assert counted == pytest.approx(float(tolerated.total[1]), rel=2e-3)


def test_overflow_is_accepted_at_the_end_of_the_range() -> None:
    """An infinity is accepted where value and tolerance reach the largest number, and nowhere else."""
    half = Profile.of(Dtype.FLOAT16)
    enclosure, tolerated = judged([40000.0, 100.0, 2000.0], [-1.0, -1.0, -25.1], half)
    np.testing.assert_array_equal(accepts_overflow(enclosure, tolerated, half.storage), [True, False, True])


@pytest.mark.parametrize(
    ("p", "log_q", "reason"),
    [
        ([0.0, 0.0], [-1.0, -2.0], "an all-zero answer would pass"),
        ([0.5], [math.log(0.5)], "an all-zero answer would pass"),
        ([0.5, 0.5], [-3.0, -3.0], "a constant answer would pass"),
        ([0.5, 0.5], [-np.inf, -np.inf], "a constant answer would pass"),
        ([], [], "an empty answer would pass"),
        ([0.5, 0.25], [-3.0, -1.0], None),
        ([0.5, 0.25], [-3.0, -np.inf], None),
        ([1.0], [-3.0], None),
    ],
)
def test_vacuous_problems_are_named(p: list[float], log_q: list[float], reason: str | None) -> None:
    """A problem that a trivial answer would pass is reported, and no other."""
    assert vacuous(*judged(p, log_q, Profile.of(Dtype.FLOAT32))) == reason


def test_cancelling_sum_is_vacuous() -> None:
    """If positive and negative terms cancel to less than the tolerance, zero would pass."""
    p = np.array([0.5, 0.5])
    enclosure, tolerated = judged(
        p, np.log(p) + np.array([1e-9, -1e-9]), Profile.of(Dtype.FLOAT64), reduction=Reduction.SUM
    )
    assert vacuous(enclosure, tolerated) == "an all-zero answer would pass"


@pytest.mark.parametrize("formula", Formula)
@pytest.mark.parametrize("dtype", [Dtype.FLOAT64, Dtype.FLOAT32])
def test_plain_numpy_is_within_tolerance(dtype: Dtype, formula: Formula) -> None:
    """Operation-by-operation NumPy is within the tolerance of every term, mostly far from its limit."""
    rng = np.random.default_rng(0)
    p = np.exp(rng.uniform(-80.0, 0.0, 20_000)).astype(dtype.carrier)
    log_q = rng.uniform(-80.0, 0.0, p.size).astype(dtype.carrier)
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(log_q, Space.LOG), formula)
    terms = {
        Formula.PLAIN: lambda: p * (np.log(p) - log_q),
        Formula.GENERALISED: lambda: p * (np.log(p) - log_q) - p + np.exp(log_q),
        Formula.CROSS_ENTROPY: lambda: -p * log_q,
    }
    enclosure = answer(problem)
    ratio = (
        np.abs(enclosure.error(terms[formula]().astype(np.float64)))
        / tolerance(problem, enclosure, Profile.of(dtype)).total
    )
    assert np.max(ratio) < 1.0
    assert 0.001 < np.median(ratio) < 0.3
