"""Fast logarithms, exponentials and divisions: only profiles that declare them are allowed their errors."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from kl_audit import hard_inputs, intrinsics
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
    answer,
    gradient,
    tolerance,
)
from kl_reference.enclosure import Array

P, LOG, LOGITS = Space.PROBABILITY, Space.LOG, Space.LOGITS
FLOAT32 = Dtype.FLOAT32
U = FLOAT32.roundoff
FAST = Profile.fast(FLOAT32)
ACCURATE = Profile(FLOAT32, FLOAT32, FLOAT32, flush_to_zero=True)
FAMILIES = ["uniform", "near", "next to one", "float32"]
SPACES = list(itertools.product(Space, Space))
MORE = {"pipeline's log and exp", "logarithm near 1", "steep exp", "division"}


def make_problem(p: Any, q: Any, spaces: tuple[Space, Space] = (P, LOG), **rest: Any) -> Problem:
    """Return a problem in float32."""
    values = (np.asarray(each, dtype=np.float64) for each in (p, q))
    target, model = (Operand.of(each, space, FLOAT32) for each, space in zip(values, spaces, strict=True))
    return Problem(target, model, **rest)


def items(problem: Problem, enclosure: Enclosure | None = None, profile: Profile = FAST) -> dict[str, Array]:
    """Return the amounts of a tolerance by name."""
    enclosure = answer(problem) if enclosure is None else enclosure
    return {item.name: item.amount for item in tolerance(problem, enclosure, profile).allowances}


def drawn(family: str, spaces: tuple[Space, Space], seed: int = 0, **rest: Any) -> Problem:
    """Return random rows of five classes; logits are shifted by row."""
    rng = np.random.default_rng(seed)
    sides = hard_inputs.FAMILIES[family](rng, (60, 5))
    moved = (np.log(each) + 3.0 * rng.standard_normal((60, 1)) for each in sides)
    p, q = (
        {P: plain, LOG: np.log(plain), LOGITS: far}[space]
        for plain, far, space in zip(sides, moved, spaces, strict=True)
    )
    return make_problem(p, q, spaces, **rest)


def beyond(problem: Problem, enclosure: Enclosure, got: Array, profile: Profile) -> bool:
    """Return whether any element is outside its tolerance."""
    error = np.abs(enclosure.error(got.astype(np.float64)))
    return bool(np.any(error > tolerance(problem, enclosure, profile).total))


def test_a_logarithm_near_one() -> None:
    """The logarithm of p near 1 is allowed an absolute error, and so is that of q; other logarithms are not."""
    near = FAST.near_one * U
    np.testing.assert_allclose(
        items(make_problem([0.25, 0.5, 0.75, 1.0, 1.5, 2.5], np.full(6, -3.0)))["logarithm near 1"],
        near * np.array([0.0, 0.5, 0.75, 1.0, 1.5, 0.0]),
    )
    both = items(make_problem([0.75, 0.25, 0.25], [0.75, 0.75, 0.25], (P, P)))["logarithm near 1"]
    np.testing.assert_allclose(both, near * np.array([1.5, 0.25, 0.0]))
    # A cross-entropy takes no logarithm of p.
    cross = items(make_problem([0.75, 0.25], [0.25, 0.75], (P, P), formula=Formula.CROSS_ENTROPY))
    np.testing.assert_allclose(cross["logarithm near 1"], near * np.array([0.0, 0.25]))
    assert 2.0**-21.41 < near < 1.01 * 2.0**-21.41


def test_a_steep_exponential() -> None:
    """The allowed error of an exponential grows with the absolute value of its argument."""
    log_p, log_q = np.array([-0.5, -20.0]), np.array([-3.0, -1.0])
    condition = np.exp(log_p) * (np.abs(log_p) + np.abs(log_q))
    amounts = items(make_problem(log_p, log_q, (LOG, LOG)))
    np.testing.assert_allclose(amounts["steep exp"], 2.346 * U * np.abs(log_p) * condition, rtol=1e-6)
    np.testing.assert_array_equal(amounts["logarithm near 1"], 0.0)
    np.testing.assert_allclose(amounts["conditioning"], 8.0 * U * condition, rtol=1e-6)


@pytest.mark.parametrize("profile", [Profile.of(FLOAT32), Profile.fused(Dtype.BFLOAT16), ACCURATE])
def test_accurate_profiles_have_no_fast_items(profile: Profile) -> None:
    """A profile that does not declare fast functions has no items for them."""
    problem = drawn("near", (LOGITS, P))
    assert MORE.isdisjoint(items(problem, profile=profile))
    assert items(problem).keys() >= MORE


def test_float64_has_no_fast_functions() -> None:
    """Only float32 computation is fast; float16 numbers that are subnormal are normal in float32."""
    assert Profile.fast(Dtype.FLOAT64) == Profile.of(Dtype.FLOAT64)
    for dtype in (FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16):
        profile = Profile.fast(dtype)
        assert (profile.storage, profile.compute, profile.accumulate) == (dtype, FLOAT32, FLOAT32)
        assert profile.flush_to_zero == (dtype is not Dtype.FLOAT16)


def test_exact_answers_have_no_tolerance() -> None:
    """Where p = 0, or the answer is infinite or NaN, fast functions are allowed nothing."""
    for q, spaces in (([0.5, 0.0, 0.0, 0.5], (P, P)), ([-1.0, -np.inf, -np.inf, -1.0], (P, LOG))):
        problem = make_problem([0.0, 0.0, 0.75, np.nan], q, spaces)
        np.testing.assert_array_equal(tolerance(problem, answer(problem), FAST).total, 0.0)
    clipped = make_problem([0.001, 0.75], [0.75, 0.25], (P, P), clip=(0.01, 1.0))
    assert items(clipped, gradient(clipped, Side.TARGET))["logarithm near 1"][0] == 0.0


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("reduction", Reduction)
def test_items_are_reduced_like_terms(reduction: Reduction, spaces: tuple[Space, Space]) -> None:
    """The items of a sum are the sums of the items of its terms, with broadcasting and for every class axis."""
    rng = np.random.default_rng(0)
    p, q = np.exp(rng.uniform(-3.0, 0.0, (4, 3, 1))), np.exp(rng.uniform(-3.0, 0.0, (3, 5)))
    given = [values if space is P else np.log(values) for values, space in zip((p, q), spaces, strict=True)]
    axis = 1
    terms = items(make_problem(given[0], given[1], spaces, axis=axis))
    reduced = items(make_problem(given[0], given[1], spaces, axis=axis, reduction=reduction))
    count = {Reduction.MEAN: 60, Reduction.BATCHMEAN: 4, Reduction.ROWMEAN: 20}.get(reduction, 1)
    for name in MORE:
        if reduction is Reduction.TERMS:
            assert terms[name].shape == (4, 3, 5)
        elif reduction is Reduction.ROWS:
            np.testing.assert_allclose(reduced[name], terms[name].sum(axis))
        else:
            np.testing.assert_allclose(reduced[name], terms[name].sum() / count)


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("side", Side)
def test_items_of_a_gradient_follow_the_upstream(side: Side, spaces: tuple[Space, Space]) -> None:
    """The items of a gradient are proportional to the upstream gradient."""
    problem = drawn("uniform", spaces)
    upstream = np.full(problem.shape, -3.0)
    once, thrice = items(problem, gradient(problem, side)), items(problem, gradient(problem, side, upstream))
    none = items(problem, gradient(problem, side, np.zeros(problem.shape)))
    for name in MORE:
        np.testing.assert_allclose(thrice[name], 3.0 * once[name])
        np.testing.assert_array_equal(none[name], 0.0)


@pytest.mark.parametrize("reduction", Reduction)
@pytest.mark.parametrize("side", Side)
def test_items_of_a_gradient_are_divided(side: Side, reduction: Reduction) -> None:
    """In a mean, the items of a gradient are divided by the count, and one more division is allowed."""
    rng = np.random.default_rng(0)
    p, q = rng.uniform(0.1, 1.0, (2, 4, 3, 5))
    terms, reduced = (make_problem(p, q, (P, P), axis=1, reduction=each) for each in (Reduction.TERMS, reduction))
    count = {Reduction.MEAN: 60, Reduction.BATCHMEAN: 4, Reduction.ROWMEAN: 20}.get(reduction, 1)
    expected, found = items(terms, gradient(terms, side)), items(reduced, gradient(reduced, side))
    for name in MORE - {"division"}:
        np.testing.assert_allclose(found[name], expected[name] / count)
    again = 3.0 * U * gradient(reduced, side).scale.magnitude if count > 1 else 0.0
    np.testing.assert_allclose(found["division"], expected["division"] / count + again)


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
def test_items_of_a_broadcast_gradient_are_summed(spaces: tuple[Space, Space]) -> None:
    """The items of a broadcast operand are summed over its copies; those of the softmax of logits are counted once."""
    problem = drawn("uniform", spaces)
    q = problem.model
    one = Problem(problem.target, Operand(q.values[:1], q.space, q.dtype))
    all_rows = Problem(problem.target, Operand(np.repeat(q.values[:1], 60, axis=0), q.space, q.dtype))
    gathered, apart = (items(each, gradient(each, Side.MODEL)) for each in (one, all_rows))
    for name in MORE:
        np.testing.assert_allclose(gathered[name], apart[name].sum(0, keepdims=True), err_msg=name)


def test_a_mean_is_divided() -> None:
    """A division with an error of 2 ulp allows a mean three roundings more."""
    p, log_q = [0.75, 0.25, 0.5], [-1.0, -2.0, -3.0]
    fast, accurate = (
        items(make_problem(p, log_q, reduction=Reduction.MEAN), profile=each)["output rounding"]
        for each in (FAST, ACCURATE)
    )
    assert float(fast) == pytest.approx(2.0 * float(accurate))


def test_the_budget_names_them() -> None:
    """The budget names the function of each item."""
    problem = make_problem([[0.75, 0.25]], [[-0.5, -1.0]], reduction=Reduction.SUM)
    reasons = {each.name: each.reason for each in tolerance(problem, answer(problem), FAST).budget()}
    assert reasons["logarithm near 1"].startswith("log x to 6.06 u where x is in [1/2, 2]")
    assert "steep exp" not in reasons


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("formula", Formula)
@pytest.mark.parametrize("normalise", [False, True])
def test_the_worst_fast_kernels_are_within_tolerance(
    formula: Formula, spaces: tuple[Space, Space], normalise: bool
) -> None:
    """A kernel whose functions have their documented maximum error is within the tolerances of terms and of sums."""
    for family, reduction in itertools.product(FAMILIES, (Reduction.TERMS, Reduction.ROWS)):
        problem = drawn(family, spaces, formula=formula, normalise=normalise, reduction=reduction)
        enclosure = answer(problem)
        for fast in intrinsics.worst():
            for algorithm, terms in intrinsics.kernels(problem, fast):
                got = terms if reduction is Reduction.TERMS else terms.sum(-1)
                assert not beyond(problem, enclosure, got, FAST), (algorithm, family, fast)


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("normalise", [False, True])
def test_the_worst_fast_gradients_are_within_tolerance(
    side: Side, spaces: tuple[Space, Space], normalise: bool
) -> None:
    """A hand-written gradient whose functions have their documented maximum error is within the tolerances."""
    for family in FAMILIES:
        problem = drawn(family, spaces, normalise=normalise)
        enclosure = gradient(problem, side)
        for fast in intrinsics.worst():
            assert not beyond(problem, enclosure, intrinsics.slopes(problem, side, fast), FAST), (family, fast)


@pytest.mark.parametrize("spaces", [(P, LOG), (LOG, LOG)], ids=str)
def test_undeclared_fast_kernels_fail(spaces: tuple[Space, Space]) -> None:
    """The same kernels are outside the tolerances of a profile with log and exp accurate to 2 ulp."""
    failed = [
        beyond(problem, answer(problem), terms, ACCURATE)
        for problem in (drawn(family, spaces) for family in FAMILIES)
        for fast in intrinsics.worst()
        for _, terms in intrinsics.kernels(problem, fast)
    ]
    assert np.mean(failed) > 0.3


def test_the_simulated_errors_are_the_documented_ones() -> None:
    """The simulated functions reach their documented error in each direction, and never exceed it."""
    x = np.exp(np.random.default_rng(0).uniform(-20.0, 5.0, 10_000)).astype(np.float32)
    exact = np.log(x.astype(np.float64))
    near = (x >= 0.5) & (x <= 2.0)
    for sign in (1.0, -1.0):
        fast = intrinsics.Intrinsics(sign, sign, sign)
        error = sign * (fast.log(x) - exact)
        assert 0.8 < np.max(error[near]) / 2.0**-21.41 <= 1.0
        assert 5.0 < np.max(error[~near] / np.abs(exact[~near])) / U <= 6.0
        y = -x[x < 80.0]
        off = sign * (fast.exp(y) / np.exp(y.astype(np.float64)) - 1.0) / U
        assert np.all(off <= 4.0 + 2.346 * np.abs(y) + 1e-3)
        assert np.max(off - 2.346 * np.abs(y)) > 1.0
        third = fast.divide(x, np.float32(3.0) * np.ones_like(x)).astype(np.float64) * 3.0 / x - 1.0
        assert 3.0 < np.max(sign * third) / U <= 4.0 + 1e-3
    assert math.isclose(FAST.steepness, 2.346)
