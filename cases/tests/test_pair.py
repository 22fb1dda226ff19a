"""A pair is the same problem in every space, format and selection."""

from dataclasses import replace
from itertools import product as combinations

import numpy as np
import pytest

from kl_cases.pair import Measure, Pair, product
from kl_cases.portable_math import Array
from kl_cases.recipes import Recipe, build
from kl_reference.answer import answer
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Problem

ROUNDOFF = Dtype.FLOAT64.roundoff


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def _pair(shape: tuple[int, ...] = (3, 5), seed: int = 0) -> Pair:
    return build(Recipe("dirichlet-flat", shape, Dtype.FLOAT32, seed))


def _probabilities(values: list[float]) -> Measure:
    return Measure(np.array(values), Space.PROBABILITY)


def test_probability_to_log_and_back() -> None:
    """The logarithm and back gives the same number up to rounding, which grows with the logarithm."""
    p = np.ldexp(1.0 + _rng().random(500), -np.arange(500))
    log_p = Measure(p, Space.PROBABILITY).expressed(Space.LOG)
    back = Measure(log_p, Space.LOG).expressed(Space.PROBABILITY)
    assert np.all(np.abs(back - p) <= (4.0 + 4.0 * np.abs(log_p)) * ROUNDOFF * p)


def test_zero_and_minus_infinity_are_equivalent() -> None:
    """A masked class is masked in every space."""
    logs = _probabilities([0.0, 1.0]).expressed(Space.LOG)
    np.testing.assert_array_equal(logs, [-np.inf, 0.0])
    np.testing.assert_array_equal(Measure(logs, Space.LOG).expressed(Space.PROBABILITY), [0.0, 1.0])
    np.testing.assert_array_equal(Measure(logs, Space.LOGITS).expressed(Space.PROBABILITY), [0.0, 1.0])
    np.testing.assert_array_equal(Measure(logs, Space.LOGITS).expressed(Space.LOG), [-np.inf, 0.0])


def test_logits_are_normalised_over_the_class_axis() -> None:
    """Softmax sums to 1 along the class axis, for every class axis."""
    logits = Measure(_rng().random((3, 4, 5)) * 20.0, Space.LOGITS)
    for axis in (0, 1, 2, -1):
        np.testing.assert_allclose(logits.expressed(Space.PROBABILITY, axis).sum(axis), 1.0, rtol=1e-14)


def test_log_probabilities_are_logits() -> None:
    """Log-probabilities are used as logits unchanged."""
    values = -_rng().random((2, 3))
    np.testing.assert_array_equal(Measure(values, Space.LOG).expressed(Space.LOGITS), values)


def test_a_row_without_classes_is_not_a_distribution() -> None:
    """Logits that are all −∞ have no softmax; other rows are not affected."""
    logits = Measure(np.array([[-np.inf, -np.inf], [0.0, 0.0]]), Space.LOGITS)
    np.testing.assert_array_equal(logits.expressed(Space.PROBABILITY), [[np.nan, np.nan], [0.5, 0.5]])


def test_positive_numbers_stay_positive() -> None:
    """A log-probability of −1e4 underflows in every format, and is raised to the least normal number."""
    measure = Measure(np.array([-1e4, -np.inf]), Space.LOG)
    assert measure.expressed(Space.PROBABILITY)[0] > 0.0
    for dtype in Dtype:
        raised = measure.realised(Space.PROBABILITY, dtype).values
        np.testing.assert_array_equal(raised, [dtype.least_normal, 0.0])


@pytest.mark.parametrize("dtype", Dtype)
def test_subnormals_occur_only_where_they_are_tested(dtype: Dtype) -> None:
    """Subnormals are raised with their sign and zeros of both signs are kept; with subnormals=True all are kept."""
    small = 0.25 * dtype.least_normal
    given = [small, -small, 0.0, -0.0, dtype.least_normal, 0.5]
    measure = _probabilities(given)
    kept = measure.realised(Space.PROBABILITY, dtype, subnormals=True).values
    np.testing.assert_array_equal(kept, given)
    raised = measure.realised(Space.PROBABILITY, dtype).values
    normal = dtype.least_normal
    np.testing.assert_array_equal(raised, [normal, -normal, 0.0, -0.0, normal, 0.5])
    np.testing.assert_array_equal(np.signbit(raised), np.signbit(given))


@pytest.mark.parametrize(("dtype", "space"), list(combinations(Dtype, Space)))
def test_equal_sides_stay_equal(dtype: Dtype, space: Space) -> None:
    """P = Q given in one space and realised in one space is equal bit for bit."""
    for origin in Space:
        values = np.log(_pair((4, 129)).p.values)
        pair = Pair(Measure(values, origin), Measure(values.copy(), origin))
        p, q = pair.realise(space, space, dtype)
        assert p.values.tobytes() == q.values.tobytes()


@pytest.mark.parametrize("dtype", Dtype)
def test_operands_are_numbers_of_their_format(dtype: Dtype) -> None:
    """A realised number is a number of the format, in its carrier dtype."""
    for operand in _pair().realise(Space.PROBABILITY, Space.LOG, dtype):
        assert operand.values.dtype == dtype.carrier
        np.testing.assert_array_equal(dtype.round(operand.values), operand.values)


def test_realising_does_not_change_the_pair() -> None:
    """An operand may be overwritten; the pair is read-only and does not change with it."""
    pair = _pair()
    before = pair.id
    for operand in pair.realise(Space.PROBABILITY, Space.PROBABILITY, Dtype.FLOAT64):
        operand.values[...] = 7.0
    assert pair.id == before
    with pytest.raises(ValueError, match="read-only"):
        pair.p.values[0] = 1.0


def test_the_id_identifies_the_problem() -> None:
    """Origin, memory order, the sign of the axis and the kind of NaN do not matter."""
    pair = _pair()
    same = Measure(np.asfortranarray(pair.p.values), pair.p.space)
    assert replace(pair, origin="elsewhere").id == pair.id
    assert replace(pair, p=same).id == pair.id
    assert replace(pair, axis=1).id == pair.id
    negative_nan = np.copysign(np.nan, -1.0)
    ids = {Pair(_probabilities([n]), _probabilities([1.0])).id for n in (np.nan, float(negative_nan))}
    assert len(ids) == 1


def test_another_problem_has_another_id() -> None:
    """One bit, a space, a shape, the axis or the direction makes another problem."""
    pair = _pair()
    bumped = pair.p.values.copy()
    bumped[0, 0] = np.nextafter(bumped[0, 0], 1.0)
    others = [
        replace(pair, p=Measure(bumped, pair.p.space)),
        replace(pair, p=Measure(pair.p.values, Space.LOG)),
        replace(pair, p=Measure(pair.p.values.reshape(1, 3, 5), pair.p.space)),
        replace(pair, axis=0),
        replace(pair, p=pair.q, q=pair.p),
    ]
    assert len({pair.id, *(other.id for other in others)}) == len(others) + 1


def test_taking_classes_and_rows() -> None:
    """A selection keeps the selected classes or rows, in the given order."""
    pair = _pair((3, 5))
    cut = pair.take(np.array([4, 0])).take_rows(np.array([2]))
    np.testing.assert_array_equal(cut.p.values, pair.p.values[[2]][:, [4, 0]])
    np.testing.assert_array_equal(cut.q.values, pair.q.values[[2]][:, [4, 0]])
    assert (pair.classes, pair.rows) == (5, 3)
    assert (cut.classes, cut.rows) == (2, 1)


def test_taking_keeps_a_broadcast_side_broadcast() -> None:
    """One target row for many model rows stays one row."""
    pair = Pair(_pair((1, 5)).p, _pair((3, 5)).q)
    cut = pair.take_rows(np.array([0, 2]))
    assert (cut.p.values.shape, cut.q.values.shape) == ((1, 5), (2, 5))
    flat = Pair(_pair((5,)).p, _pair((3, 5)).q).take_rows(np.array([1]))
    assert (flat.p.values.shape, flat.q.values.shape) == ((5,), (1, 5))


def test_a_single_row_has_no_rows_to_take() -> None:
    """A 1-D pair is one row."""
    pair = _pair((5,))
    assert pair.rows == 1
    assert pair.take_rows(np.array([0])) is pair


def test_a_repeated_row_makes_equal_rows() -> None:
    """An index may repeat."""
    p = _pair((3, 5)).take_rows(np.array([1, 1, 1])).p.values
    assert p.shape == (3, 5)
    assert (p == p[0]).all()


@pytest.mark.parametrize("shape", [(), (4,), (3, 5), (2, 3, 4), (2, 3, 4, 5)])
def test_flattening_keeps_every_row(shape: tuple[int, ...]) -> None:
    """As rows of a matrix the divergence of each distribution is unchanged."""
    pair = _pair(shape)
    moved = pair.moved(0) if shape else pair
    flat = moved.flattened()
    assert flat.shape == (int(np.prod(shape[:-1], dtype=int)), pair.classes)
    np.testing.assert_array_equal(flat.p.values.ravel(), pair.p.values.ravel())
    np.testing.assert_array_equal(flat.q.values.ravel(), pair.q.values.ravel())


def test_moving_the_classes_moves_their_axis() -> None:
    """The class axis is updated, and moving it back gives the same problem."""
    pair = _pair((2, 3, 4))
    moved = pair.moved(1)
    assert (moved.shape, moved.axis, moved.classes) == ((2, 4, 3), -2, 4)
    assert moved.moved(-1).id == pair.id


def test_logits_are_realised_along_the_class_axis() -> None:
    """Moving the axis before or after realising gives the same numbers."""
    pair = build(Recipe("flat-logits", (2, 3, 4), Dtype.FLOAT64, 0))
    before = pair.moved(0).realise(Space.PROBABILITY, Space.LOG, Dtype.FLOAT64)
    after = pair.realise(Space.PROBABILITY, Space.LOG, Dtype.FLOAT64)
    for one, other in zip(before, after, strict=True):
        np.testing.assert_allclose(np.moveaxis(one.values, 0, -1), other.values, rtol=1e-14)


def test_other_values_in_the_same_spaces() -> None:
    """Numbers can be changed without a change of space, axis or origin."""
    pair = build(Recipe("ladder", (3, 5), Dtype.FLOAT32, 1))
    plain = pair.with_values(np.ones((3, 5)), -np.ones((3, 5)))
    assert (plain.p.space, plain.q.space, plain.origin) == (pair.p.space, pair.q.space, pair.origin)
    assert plain.q.values[0, 0] == -1.0


def _divergence_and_mass(pair: Pair, dtype: Dtype) -> tuple[float, float]:
    target, model = pair.realise(Space.PROBABILITY, Space.LOG, dtype)
    enclosure = answer(Problem(target, model, reduction=Reduction.SUM))
    return float(enclosure.value), float(target.values.astype(np.float64).sum())


@pytest.mark.parametrize("dtype", Dtype)
def test_the_divergence_of_a_product(dtype: Dtype) -> None:
    """The product of dyadic factors is exact in every format, and KL = P₂·KL₁ + P₁·KL₂."""
    first, second = (build(Recipe("dyadic", (n,), dtype, n)) for n in (61, 67))
    whole = product(first, second)
    for operand, measure in zip(whole.realise(Space.PROBABILITY, Space.LOG, dtype), (whole.p, whole.q), strict=True):
        np.testing.assert_array_equal(operand.values.astype(np.float64), measure.values)
    (k1, p1), (k2, p2) = (_divergence_and_mass(pair, dtype) for pair in (first, second))
    k, p = _divergence_and_mass(whole, dtype)
    assert p == p1 * p2
    assert k == pytest.approx(p2 * k1 + p1 * k2, rel=1e-14)


def test_a_product_needs_one_space() -> None:
    """Probabilities are not multiplied by logarithms."""
    ladder, flat = build(Recipe("ladder", (3,), Dtype.FLOAT32, 0)), _pair((3,))
    with pytest.raises(ValueError, match="needs one space"):
        product(ladder, flat)
    with pytest.raises(ValueError, match="class axis last"):
        product(_pair((3, 4)).moved(0), flat)


def _grid(*shape: int) -> Array:
    return np.ones(shape)


def test_shapes_that_do_not_broadcast_are_rejected() -> None:
    """Different numbers of classes do not make a pair."""
    with pytest.raises(ValueError, match="broadcast"):
        Pair(Measure(_grid(2, 10), Space.LOG), Measure(_grid(2, 12), Space.LOG))


def test_an_axis_outside_the_shape_is_named() -> None:
    """The message contains the axis and the shape."""
    with pytest.raises(ValueError, match=r"axis 2 is outside the shape \(2, 3\)"):
        Pair(Measure(_grid(2, 3), Space.LOG), Measure(_grid(2, 3), Space.LOG), axis=2)


def test_logits_need_an_axis() -> None:
    """A single logit without an axis has no softmax."""
    with pytest.raises(ValueError, match="no softmax"):
        Measure(np.array(1.0), Space.LOGITS).expressed(Space.LOG)
