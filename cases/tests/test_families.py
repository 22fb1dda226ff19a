"""Each family has the properties that its sentence describes."""

import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from kl_cases.distributions import FAMILIES
from kl_cases.pair import Pair
from kl_cases.portable_math import Array
from kl_cases.recipes import Recipe, build
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

SHAPES = [(4,), (1, 4), (8, 31), (2, 1025), (64, 128), (3, 4, 5)]
U = Dtype.FLOAT64.roundoff


def _build(name: str, shape: tuple[int, ...] = (64, 128), dtype: Dtype = Dtype.FLOAT32, seed: int = 0) -> Pair:
    return build(Recipe(name, shape, dtype, seed))


def _both(pair: Pair, space: Space = Space.PROBABILITY) -> tuple[Array, Array]:
    return pair.p.expressed(space), pair.q.expressed(space)


def _terms(pair: Pair) -> Array:
    """Return p·(log p − log q), and 0 where p = 0."""
    p, _ = _both(pair)
    log_p, log_q = _both(pair, Space.LOG)
    return np.where(p > 0.0, p * (np.where(p > 0.0, log_p, 0.0) - np.where(p > 0.0, log_q, 0.0)), 0.0)


@pytest.mark.parametrize(("name", "dtype"), list(product(FAMILIES, Dtype)))
def test_every_family_builds_everywhere(name: str, dtype: Dtype) -> None:
    """In every shape, format and space a family gives numbers, none of them NaN."""
    for shape in [*SHAPES, (), (1,), (5, 1)]:
        if (shape or (1,))[-1] < FAMILIES[name].classes:
            continue
        pair = _build(name, shape, dtype)
        assert pair.shape == shape
        for target, model in zip(Space, Space, strict=True):
            if Space.LOGITS in (pair.p.space, pair.q.space) and not shape:
                continue
            for operand in pair.realise(target, model, dtype, subnormals=FAMILIES[name].subnormals):
                assert not np.isnan(operand.values).any()
                assert operand.values.shape == shape


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_has_a_name_and_a_sentence(name: str) -> None:
    """The name is words joined by hyphens, the description one sentence."""
    assert FAMILIES[name].name == name
    assert FAMILIES[name].sentence.endswith(".")
    assert name == name.lower().replace("_", "-")


NORMALISED = [name for name, family in FAMILIES.items() if family.normalised]


@pytest.mark.parametrize(("name", "shape"), list(product(NORMALISED, SHAPES)))
def test_rows_of_a_normalised_family_sum_to_one(name: str, shape: tuple[int, ...]) -> None:
    """P and Q sum to 1 in float64, up to the rounding of a quotient and of a logarithm."""
    pair = _build(name, shape)
    for values, log_values in zip(_both(pair), _both(pair, Space.LOG), strict=True):
        assert (values >= 0.0).all()
        depth = np.where(values > 1e-20, np.abs(log_values), 0.0).max()
        level = 20.0 if pair.p.space is Space.LOGITS else 0.0
        slack = (8.0 + math.log2(shape[-1]) + 2.0 * depth + level) * U
        for row in values.reshape(-1, shape[-1]):
            assert abs(math.fsum(row) - 1.0) <= slack


def test_measures_do_not_sum_to_one() -> None:
    """Families that are not marked as normalised have other sums."""
    for name, family in FAMILIES.items():
        if not family.normalised:
            p, q = _both(_build(name))
            assert max(abs(p.sum(-1) - 1.0).max(), abs(q.sum(-1) - 1.0).max()) > 0.01


@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_repeat_only_in_families_marked_so(name: str) -> None:
    """In a family without ``repeats``, hardly two terms of a row are equal."""
    for row in _terms(_build(name, (8, 1025))):
        counted = row[np.abs(row) > 1e-300]
        if FAMILIES[name].repeats:
            assert counted.size == 0 or np.unique(counted).size < counted.size
        else:
            assert np.unique(counted).size >= 0.99 * counted.size


@pytest.mark.parametrize("dtype", Dtype)
def test_the_ladder_covers_the_range(dtype: Dtype) -> None:
    """P covers each sixteenth of the logarithmic range evenly, log q each tenth of [−110, 0]."""
    pair = _build("ladder", dtype=dtype)
    bottom = math.log(dtype.least_normal)
    heights = np.histogram(np.log(pair.p.values), bins=16, range=(bottom, 0.0))[0]
    depths = np.histogram(pair.q.values, bins=10, range=(-110.0, 0.0))[0]
    assert heights.sum() == depths.sum() == pair.p.values.size
    assert heights.min() > 0.8 * heights.mean()
    assert depths.min() > 0.8 * depths.mean()
    assert (pair.p.values >= dtype.least_normal).all()


@pytest.mark.parametrize("dtype", Dtype)
def test_the_extreme_reaches_the_ends(dtype: Dtype) -> None:
    """Subnormal p and q occur, p/q overflows and underflows, and nothing rounds to 0."""
    target, model = _build("extreme", dtype=dtype).realise(Space.PROBABILITY, Space.PROBABILITY, dtype, subnormals=True)
    p, q = target.values.astype(np.float64), model.values.astype(np.float64)
    for values in (p, q):
        assert (values > 0.0).all()
        assert (values < dtype.least_normal).any()
        assert (values < 4.0 * dtype.least_subnormal).any()
        assert (values > 0.25).any()
    with np.errstate(over="ignore", under="ignore"):
        ratio = p / q
    assert (ratio > dtype.largest).any()
    assert (ratio < dtype.least_normal).any()


@pytest.mark.parametrize("dtype", Dtype)
def test_the_largest_are_finite_and_their_terms_are_not(dtype: Dtype) -> None:
    """P and q are finite numbers of the format; some terms overflow, some do not."""
    pair = _build("largest", dtype=dtype)
    for operand in pair.realise(Space.PROBABILITY, Space.PROBABILITY, dtype):
        assert np.isfinite(operand.values).all()
    with np.errstate(over="ignore"):
        terms = np.abs(_terms(pair))
    assert (terms > dtype.largest).any()
    assert (terms < dtype.largest).any()


def test_distant_logs_reach_minus_ten_thousand() -> None:
    """Log-probabilities cover [−1e4, 0] in P and in Q."""
    for values in _both(_build("distant-logs"), Space.LOG):
        assert -10010.0 < values.min() < -9900.0
        assert values.max() <= 0.0


@pytest.mark.parametrize("name", ["one-hot", "near-one-hot"])
def test_hot_rows_have_one_hot_class(name: str) -> None:
    """One class has nearly all of P; all of P in the one-hot family."""
    p, q = _both(_build(name))
    assert ((p >= 0.9).sum(-1) == 1).all()
    rest = 1.0 - p.max(-1)
    if name == "one-hot":
        assert set(np.unique(p)) == {0.0, 1.0}
        assert (q > 0.0).all()
    else:
        assert 1e-7 < rest.min() < 1e-5
        assert rest.max() > 1e-2
        agree = p.argmax(-1) == q.argmax(-1)
        assert 0.25 < agree.mean() < 0.75


@pytest.mark.parametrize("dtype", Dtype)
def test_near_equals_are_near_and_not_equal(dtype: Dtype) -> None:
    """Q differs from P by at most a thousandth, or by a few units of the format, and is not equal to P in it."""
    pair = _build("near-equal", dtype=dtype)
    p, q = _both(pair)
    distance = np.abs(q / p - 1.0).max(-1)
    assert distance.max() < 2.0 * max(1e-3, 4.0 * dtype.roundoff)
    if dtype is Dtype.FLOAT64:
        assert distance.min() < 1e-11
    rounded_p, rounded_q = (o.values for o in pair.realise(Space.PROBABILITY, Space.PROBABILITY, dtype))
    assert (rounded_p != rounded_q).any(-1).all()


@pytest.mark.parametrize("dtype", Dtype)
def test_the_same_is_the_same(dtype: Dtype) -> None:
    """P equals Q, bit for bit, as probabilities and as log-probabilities."""
    pair = _build("same", dtype=dtype)
    for space in Space:
        p, q = pair.realise(space, space, dtype)
        assert p.values.tobytes() == q.values.tobytes()


def test_sparse_targets_are_in_the_support_of_the_model() -> None:
    """P has zeros, Q has some of them, and q > 0 wherever p > 0."""
    p, q = _both(_build("sparse"))
    assert 0.4 < (p == 0.0).mean() < 0.6
    assert 0.4 < (q[p == 0.0] == 0.0).mean() < 0.6
    assert (q[p > 0.0] > 0.0).all()


@pytest.mark.parametrize("name", ["masked", "masked-finite"])
def test_masks_are_ranges_common_to_both(name: str) -> None:
    """A masked class is masked in P and in Q, in one range, and no whole row is masked."""
    pair = _build(name)
    if name == "masked":
        closed = pair.p.values == 0.0
        assert np.isneginf(pair.q.expressed(Space.LOG)[closed]).all()
    else:
        closed = pair.p.values == -1e9
        assert (pair.p.expressed(Space.PROBABILITY)[closed] < 1e-300).all()
    np.testing.assert_array_equal(closed, pair.q.values == (0.0 if name == "masked" else -1e9))
    assert not closed.all(-1).any()
    assert closed.sum(-1).max() > 96
    assert closed[:, 0].any()
    assert closed[:, -1].any()
    edges = np.diff(closed.astype(int), axis=-1) != 0
    assert edges.sum(-1).max() == 2


@pytest.mark.parametrize(("name", "low", "high"), [("flat-logits", 0.05, 8.0), ("peaked-logits", 100.0, 800.0)])
def test_logits_spread_as_named(name: str, low: float, high: float) -> None:
    """The widest row of flat logits has a range of a few units, of peaked logits of hundreds."""
    spread = np.ptp(_build(name).p.values, axis=-1)
    assert low < spread.max() < high
    assert spread.min() < 0.1 * spread.max()


@pytest.mark.parametrize("dtype", Dtype)
def test_grid_logits_shift_exactly(dtype: Dtype) -> None:
    """Adding ±8 or ±16 is exact, and subtracting it again gives the same bits."""
    for values in _build("grid-logits", dtype=dtype).p.values, _build("grid-logits", dtype=dtype).q.values:
        for shift in (8.0, -8.0, 16.0, -16.0):
            np.testing.assert_array_equal(dtype.round(values + shift).astype(np.float64), values + shift)


@pytest.mark.parametrize(("dtype", "shape"), list(product(Dtype, [(2,), (5,), (8, 31), (64, 128), (2, 1025)])))
def test_the_asymmetric_differ_by_a_factor(dtype: Dtype, shape: tuple[int, ...]) -> None:
    """KL(Q‖P) exceeds three times KL(P‖Q) in every row, also after rounding to the format."""
    for seed in range(5):
        p, q = (
            operand.values.astype(np.float64).reshape(-1, shape[-1])
            for operand in _build("asymmetric", shape, dtype, seed).realise(Space.PROBABILITY, Space.PROBABILITY, dtype)
        )
        forward, backward = (p * np.log(p / q)).sum(-1), (q * np.log(q / p)).sum(-1)
        assert (backward > 3.0 * forward).all()
        assert (q.max(-1) == 0.5).any() or shape[-1] == 2
        assert (forward > 0.1).all()


def test_zipf_ranks_alike() -> None:
    """In a log-log plot both decrease along a line, with exponents between 0.8 and 1.6, over the same ranks."""
    p, q = (np.sort(values, -1)[:, ::-1] for values in _both(_build("power-law", (64, 1025))))
    slopes = np.log(p[:, 9] / p[:, 999]) / math.log(1000 / 10)
    assert 0.75 < slopes.min() < 0.9
    assert 1.5 < slopes.max() < 1.65
    ranks_p, ranks_q = (values.argmax(-1) for values in _both(_build("power-law", (64, 1025))))
    assert (ranks_p == ranks_q).mean() > 0.5
    assert (q > 0.0).all()


@pytest.mark.parametrize(
    ("name", "variance"), [("dirichlet-flat", 1.0), ("dirichlet-dense", 0.02), ("uniform", 0.01 / 12.0)]
)
def test_spread_of_the_weights(name: str, variance: float) -> None:
    """n·p has mean 1 and the variance 1/α of its gamma weights."""
    for values in _both(_build(name, (64, 1025))):
        assert (1025.0 * values).var() == pytest.approx(variance, rel=0.05)


def test_sparse_dirichlet_is_concentrated() -> None:
    """Ten of 1025 classes have over a third of the mass, many have less than 1e-9, and none has 0."""
    p, _ = _both(_build("dirichlet-sparse", (64, 1025)))
    ordered = np.sort(p, -1)
    assert ordered[:, -10:].sum(-1).mean() > 1.0 / 3.0
    assert (p < 1e-9).mean() > 0.4
    assert (p > 0.0).all()


def test_the_divergence_of_measures_may_be_negative() -> None:
    """Rows of large and of small mass give a KL of either sign."""
    rows = _terms(_build("measure")).sum(-1)
    assert (rows < 0.0).any()
    assert (rows > 0.0).any()


def test_a_unit_target_gives_the_model_alone() -> None:
    """P = 1, so the term is −log q."""
    pair = _build("unit-target")
    np.testing.assert_array_equal(_terms(pair), -pair.q.values)


def test_the_table_of_families_is_complete() -> None:
    """The README names every family with its sentence, and no other."""
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[:2] for line in readme.partition("## Families")[2].splitlines() if "`" in line]
    listed = {name.strip("| `"): sentence for name, sentence in (row for row in rows if len(row) == 2)}
    assert listed == {name: family.sentence for name, family in FAMILIES.items()}
