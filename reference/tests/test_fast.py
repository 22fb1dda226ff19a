"""Fast logarithms, exponentials and divisions: what they may err is allowed, and to nobody else."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from kl_audit import draw, intrinsics
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
CAREFUL = Profile(FLOAT32, FLOAT32, FLOAT32, flush_to_zero=True)
FAMILIES = ["uniform", "near", "next to one", "float32"]
SPACES = list(itertools.product(Space, Space))
MORE = {"pipeline's log and exp", "logarithm near 1", "steep exp", "division"}


def problem(p: Any, q: Any, spaces: tuple[Space, Space] = (P, LOG), **rest: Any) -> Problem:
    """Return a problem in float32."""
    values = (np.asarray(each, dtype=np.float64) for each in (p, q))
    target, model = (Operand.of(each, space, FLOAT32) for each, space in zip(values, spaces, strict=True))
    return Problem(target, model, **rest)


def items(asked: Problem, enclosure: Enclosure | None = None, profile: Profile = FAST) -> dict[str, Array]:
    """Return the amounts of a tolerance by name."""
    enclosure = answer(asked) if enclosure is None else enclosure
    return {item.name: item.amount for item in tolerance(asked, enclosure, profile).allowances}


def drawn(family: str, spaces: tuple[Space, Space], seed: int = 0, **rest: Any) -> Problem:
    """Return some rows of five classes; logits are moved about."""
    rng = np.random.default_rng(seed)
    sides = draw.FAMILIES[family](rng, (60, 5))
    moved = (np.log(each) + 3.0 * rng.standard_normal((60, 1)) for each in sides)
    p, q = (
        {P: plain, LOG: np.log(plain), LOGITS: far}[space]
        for plain, far, space in zip(sides, moved, spaces, strict=True)
    )
    return problem(p, q, spaces, **rest)


def beyond(asked: Problem, enclosure: Enclosure, got: Array, profile: Profile) -> bool:
    """Return whether any element lies outside its tolerance."""
    error = np.abs(enclosure.error(got.astype(np.float64)))
    return bool(np.any(error > tolerance(asked, enclosure, profile).total))


def test_a_logarithm_near_one() -> None:
    """A logarithm of p near 1 may err by an absolute number, and one of q likewise; others may not."""
    near = FAST.near_one * U
    np.testing.assert_allclose(
        items(problem([0.25, 0.5, 0.75, 1.0, 1.5, 2.5], np.full(6, -3.0)))["logarithm near 1"],
        near * np.array([0.0, 0.5, 0.75, 1.0, 1.5, 0.0]),
    )
    both = items(problem([0.75, 0.25, 0.25], [0.75, 0.75, 0.25], (P, P)))["logarithm near 1"]
    np.testing.assert_allclose(both, near * np.array([1.5, 0.25, 0.0]))
    # A cross-entropy takes no logarithm of p.
    cross = items(problem([0.75, 0.25], [0.25, 0.75], (P, P), formula=Formula.CROSS_ENTROPY))
    np.testing.assert_allclose(cross["logarithm near 1"], near * np.array([0.0, 0.25]))
    assert 2.0**-21.41 < near < 1.01 * 2.0**-21.41


def test_a_steep_exponential() -> None:
    """An exponential may err the more, the farther from 0 its argument is."""
    log_p, log_q = np.array([-0.5, -20.0]), np.array([-3.0, -1.0])
    condition = np.exp(log_p) * (np.abs(log_p) + np.abs(log_q))
    amounts = items(problem(log_p, log_q, (LOG, LOG)))
    np.testing.assert_allclose(amounts["steep exp"], 2.346 * U * np.abs(log_p) * condition, rtol=1e-6)
    np.testing.assert_array_equal(amounts["logarithm near 1"], 0.0)
    np.testing.assert_allclose(amounts["conditioning"], 8.0 * U * condition, rtol=1e-6)


@pytest.mark.parametrize("profile", [Profile.of(FLOAT32), Profile.fused(Dtype.BFLOAT16), CAREFUL])
def test_careful_profiles_are_given_nothing(profile: Profile) -> None:
    """Who does not say that his functions are fast has no item for them."""
    asked = drawn("near", (LOGITS, P))
    assert MORE.isdisjoint(items(asked, profile=profile))
    assert items(asked).keys() >= MORE


def test_float64_has_no_fast_functions() -> None:
    """Only what computes in float32 is fast; float16 keeps its subnormal numbers there."""
    assert Profile.fast(Dtype.FLOAT64) == Profile.of(Dtype.FLOAT64)
    for dtype in (FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16):
        profile = Profile.fast(dtype)
        assert (profile.storage, profile.compute, profile.accumulate) == (dtype, FLOAT32, FLOAT32)
        assert profile.flush_to_zero == (dtype is not Dtype.FLOAT16)


def test_exact_answers_have_no_tolerance() -> None:
    """Where p = 0, or the answer is infinite or NaN, there is nothing to forgive fast functions either."""
    for q, spaces in (([0.5, 0.0, 0.0, 0.5], (P, P)), ([-1.0, -np.inf, -np.inf, -1.0], (P, LOG))):
        asked = problem([0.0, 0.0, 0.75, np.nan], q, spaces)
        np.testing.assert_array_equal(tolerance(asked, answer(asked), FAST).total, 0.0)
    clipped = problem([0.001, 0.75], [0.75, 0.25], (P, P), clip=(0.01, 1.0))
    assert items(clipped, gradient(clipped, Side.TARGET))["logarithm near 1"][0] == 0.0


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("reduction", Reduction)
def test_what_is_allowed_is_reduced_as_the_terms_are(
    reduction: Reduction, spaces: tuple[Space, Space]
) -> None:
    """Fast functions are allowed in a sum what they are in its terms, whatever broadcasts, wherever classes are."""
    rng = np.random.default_rng(0)
    p, q = np.exp(rng.uniform(-3.0, 0.0, (4, 3, 1))), np.exp(rng.uniform(-3.0, 0.0, (3, 5)))
    given = [values if space is P else np.log(values) for values, space in zip((p, q), spaces, strict=True)]
    axis = 1
    terms = items(problem(given[0], given[1], spaces, axis=axis))
    reduced = items(problem(given[0], given[1], spaces, axis=axis, reduction=reduction))
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
def test_what_is_allowed_a_gradient_follows_the_upstream(side: Side, spaces: tuple[Space, Space]) -> None:
    """What fast functions are allowed in a gradient is proportional to what arrives from above."""
    asked = drawn("uniform", spaces)
    upstream = np.full(asked.shape, -3.0)
    once, thrice = items(asked, gradient(asked, side)), items(asked, gradient(asked, side, upstream))
    none = items(asked, gradient(asked, side, np.zeros(asked.shape)))
    for name in MORE:
        np.testing.assert_allclose(thrice[name], 3.0 * once[name])
        np.testing.assert_array_equal(none[name], 0.0)


@pytest.mark.parametrize("reduction", Reduction)
@pytest.mark.parametrize("side", Side)
def test_what_is_allowed_a_gradient_is_divided(side: Side, reduction: Reduction) -> None:
    """Through a mean, fast functions are allowed a share, and one division more."""
    rng = np.random.default_rng(0)
    p, q = rng.uniform(0.1, 1.0, (2, 4, 3, 5))
    terms, reduced = (problem(p, q, (P, P), axis=1, reduction=each) for each in (Reduction.TERMS, reduction))
    count = {Reduction.MEAN: 60, Reduction.BATCHMEAN: 4, Reduction.ROWMEAN: 20}.get(reduction, 1)
    expected, found = items(terms, gradient(terms, side)), items(reduced, gradient(reduced, side))
    for name in MORE - {"division"}:
        np.testing.assert_allclose(found[name], expected[name] / count)
    again = 3.0 * U * gradient(reduced, side).scale.magnitude if count > 1 else 0.0
    np.testing.assert_allclose(found["division"], expected["division"] / count + again)


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
def test_what_is_allowed_a_broadcast_gradient_is_summed(spaces: tuple[Space, Space]) -> None:
    """An operand that is broadcast gathers what is allowed wherever it goes; logits, with their own softmax once."""
    asked = drawn("uniform", spaces)
    q = asked.model
    one = Problem(asked.target, Operand(q.values[:1], q.space, q.dtype))
    all_rows = Problem(asked.target, Operand(np.repeat(q.values[:1], 60, axis=0), q.space, q.dtype))
    gathered, apart = (items(each, gradient(each, Side.MODEL)) for each in (one, all_rows))
    for name in MORE:
        np.testing.assert_allclose(gathered[name], apart[name].sum(0, keepdims=True), err_msg=name)


def test_a_mean_is_divided() -> None:
    """A division of 2 ulp may make a mean err by three roundings more."""
    p, log_q = [0.75, 0.25, 0.5], [-1.0, -2.0, -3.0]
    fast, careful = (
        items(problem(p, log_q, reduction=Reduction.MEAN), profile=each)["output rounding"]
        for each in (FAST, CAREFUL)
    )
    assert float(fast) == pytest.approx(2.0 * float(careful))


def test_the_budget_names_them() -> None:
    """The budget says of which function it allows what."""
    asked = problem([[0.75, 0.25]], [[-0.5, -1.0]], reduction=Reduction.SUM)
    reasons = {each.name: each.reason for each in tolerance(asked, answer(asked), FAST).budget()}
    assert reasons["logarithm near 1"].startswith("log x to 6.06 u where x is in [1/2, 2]")
    assert "steep exp" not in reasons


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("formula", Formula)
@pytest.mark.parametrize("normalise", [False, True])
def test_the_worst_fast_kernels_lie_inside(
    formula: Formula, spaces: tuple[Space, Space], normalise: bool
) -> None:
    """A kernel whose functions err as far as is documented lies inside the tolerances of terms and of sums."""
    for family, reduction in itertools.product(FAMILIES, (Reduction.TERMS, Reduction.ROWS)):
        asked = drawn(family, spaces, formula=formula, normalise=normalise, reduction=reduction)
        enclosure = answer(asked)
        for fast in intrinsics.worst():
            for way, terms in intrinsics.kernels(asked, fast):
                got = terms if reduction is Reduction.TERMS else terms.sum(-1)
                assert not beyond(asked, enclosure, got, FAST), (way, family, fast)


@pytest.mark.parametrize("spaces", SPACES, ids=lambda pair: "-".join(space.name for space in pair))
@pytest.mark.parametrize("side", Side)
@pytest.mark.parametrize("normalise", [False, True])
def test_the_worst_fast_gradients_lie_inside(
    side: Side, spaces: tuple[Space, Space], normalise: bool
) -> None:
    """A gradient written down with functions that err as far as is documented lies inside the tolerances."""
    for family in FAMILIES:
        asked = drawn(family, spaces, normalise=normalise)
        enclosure = gradient(asked, side)
        for fast in intrinsics.worst():
            assert not beyond(asked, enclosure, intrinsics.slopes(asked, side, fast), FAST), (family, fast)


@pytest.mark.parametrize("spaces", [(P, LOG), (LOG, LOG)], ids=str)
def test_fast_kernels_are_stopped_where_nobody_declared_them(spaces: tuple[Space, Space]) -> None:
    """The same kernels lie outside the tolerances of a profile that promises log and exp to 2 ulp."""
    stopped = [
        beyond(asked, answer(asked), terms, CAREFUL)
        for asked in (drawn(family, spaces) for family in FAMILIES)
        for fast in intrinsics.worst()
        for _, terms in intrinsics.kernels(asked, fast)
    ]
    assert np.mean(stopped) > 0.3


def test_the_worst_is_as_bad_as_documented_and_no_worse() -> None:
    """The simulated functions err as far as they may in each direction, and never farther."""
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
