"""The search finds failing pairs, and shrinking keeps the kind of failure."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kl_cases.pair import Measure, Pair
from kl_cases.recipes import PALETTE, Recipe, TestProfile, build
from kl_conformance.cells import search, shrink
from kl_conformance.requirements import catalogue
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

SHAPES = PALETTE[TestProfile.QUICK]
REQUIREMENT = catalogue.requirement("values/pointwise")


def drawn(family: str = "dirichlet-flat", shape: tuple[int, ...] = (8, 31), seed: int = 0) -> Pair:
    """Return a pair of a family."""
    return build(Recipe(family, shape, Dtype.FLOAT64, seed))


def probabilities(pair: Pair) -> tuple[np.ndarray[tuple[int, ...], np.dtype[np.float64]], ...]:
    """Return p and q."""
    return pair.p.expressed(Space.PROBABILITY), pair.q.expressed(Space.PROBABILITY)


def test_a_fault_is_found() -> None:
    """A pair in which some q exceeds its p by a factor of ten is found among a few dozen."""

    def fails(pair: Pair) -> bool:
        p, q = probabilities(pair)
        return bool((q > 10 * p).any())

    found = search.search(REQUIREMENT, Dtype.FLOAT64, SHAPES, 30, 0, fails)
    assert found is not None
    assert fails(found)


def test_a_correct_kernel_passes_the_search() -> None:
    """Without a failure the search ends after the given number of examples, and returns None."""
    drawn: list[Pair] = []

    def fails(pair: Pair) -> bool:
        drawn.append(pair)
        return False

    assert search.search(REQUIREMENT, Dtype.FLOAT64, SHAPES, 7, 0, fails) is None
    assert len(drawn) == 7


def test_a_seed_repeats_a_search() -> None:
    """The same seed draws the same pairs, another seed others."""

    def drawn_ids(seed: int) -> list[str]:
        ids: list[str] = []

        def fails(pair: Pair) -> bool:
            ids.append(pair.id)
            return False

        search.search(REQUIREMENT, Dtype.FLOAT32, SHAPES, 10, seed, fails)
        return ids

    assert drawn_ids(3) == drawn_ids(3)
    assert drawn_ids(3) != drawn_ids(4)


def test_all_columns_get_the_same_draws() -> None:
    """Equal searches return the same objects: a pair is drawn and built once."""

    def search_once() -> list[Pair]:
        seen: list[Pair] = []

        def fails(pair: Pair) -> bool:
            seen.append(pair)
            return False

        search.search(REQUIREMENT, Dtype.FLOAT32, SHAPES, 6, 3, fails)
        return seen

    first, second = search_once(), search_once()
    assert len(first) == 6
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_seed_repeats_a_verdict() -> None:
    """Two evaluations of a cell with one seed agree to the last bit of the witness."""
    first, second = (evaluate(REQUIREMENT, subject(REQUIREMENT.miniature), seed=5) for _ in range(2))
    assert (first.verdict, first.headroom, first.witness) == (second.verdict, second.headroom, second.witness)


def _has_large(pair: Pair) -> bool:
    return bool((pair.p.values > 0.01).any())


def _sums_wrong(pair: Pair) -> bool:
    return pair.classes >= 3


def _needs_two_rows(pair: Pair) -> bool:
    return pair.rows >= 2


def _between(pair: Pair) -> bool:
    p, q = probabilities(pair)
    return bool(((p > 2 * q) & (q > 0)).any())


@pytest.mark.parametrize(("fails", "numbers"), [(_has_large, 1), (_sums_wrong, 3), (_needs_two_rows, 2), (_between, 1)])
@pytest.mark.parametrize("shape", [(31,), (8, 31), (3, 4, 5), (2, 1025)])
def test_a_fault_shrinks_to_the_numbers_it_needs(
    fails: Callable[[Pair], bool], numbers: int, shape: tuple[int, ...]
) -> None:
    """A witness has only the classes and rows that the fault needs: four numbers at most."""
    if fails is _needs_two_rows and len(shape) == 1:
        return
    pair = drawn("dirichlet-sparse", shape)
    assert fails(pair)
    small = shrink.shrink(pair, fails)
    assert fails(small)
    assert small.p.values.size <= numbers <= 4
    assert len(small.shape) == len(shape)


def test_numbers_become_plain() -> None:
    """Where the exact numbers do not matter, a witness shows 1, ½ and ¼ rather than 0.3827…."""
    pair = drawn("dirichlet-sparse")
    assert pair.p.values.max() > 0.4
    small = shrink.shrink(pair, lambda candidate: bool((candidate.p.values > 0.4).any()))
    assert set(small.p.values.ravel()) <= {1.0, 0.5, 0.25}
    assert set(small.q.values.ravel()) <= {1.0, 0.5, 0.25}


@given(st.integers(0, 2**32 - 1), st.sampled_from(["dirichlet-flat", "power-law", "dirichlet-sparse"]))
@settings(max_examples=15, deadline=None)
def test_shrinking_introduces_no_zero(seed: int, family: str) -> None:
    """A pair without zero probabilities stays one: zeros are another kind of problem."""
    pair = drawn(family, (3, 5), seed)
    if not (pair.p.values.all() and pair.q.values.all()):
        return
    small = shrink.shrink(pair, lambda candidate: candidate.classes >= 2)
    assert small.p.values.all()
    assert small.q.values.all()


def test_shrinking_keeps_a_zero() -> None:
    """A pair that fails for its zeros keeps one."""
    pair = drawn("sparse", (3, 5))
    small = shrink.shrink(pair, lambda candidate: bool((candidate.p.values == 0).any()))
    assert small.p.values.ravel().tolist() == [0.0]


def test_a_shrink_keeps_axis_and_origin() -> None:
    """A witness has the axis and the origin of the pair that it is shrunk from."""
    pair = drawn().moved(0)
    small = shrink.shrink(pair, lambda candidate: candidate.classes >= 2)
    assert small.axis == pair.axis
    assert small.origin == pair.origin
    assert small.classes == 2


def test_a_broadcast_side_stays_broadcast() -> None:
    """Shrinking never expands a broadcast side: the fault may be in broadcasting."""
    model = Measure(np.full((1, 6), 1 / 6), Space.PROBABILITY)
    pair = Pair(Measure(np.full((4, 6), 1 / 6), Space.PROBABILITY), model)
    small = shrink.shrink(pair, lambda candidate: candidate.rows >= 2)
    assert small.p.values.shape == (2, 1)
    assert small.q.values.shape == (1, 1)


def test_a_shrink_ends_after_its_time_limit() -> None:
    """The witness is the smallest pair found so far: some frameworks compile every shape."""
    pair = drawn()
    assert shrink.shrink(pair, lambda candidate: True, seconds=0.0).shape == pair.shape


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
@settings(max_examples=20, deadline=None)
def test_a_shrunk_pair_still_fails(seed: int, threshold: float) -> None:
    """The witness of any fault shows it."""

    def fails(pair: Pair) -> bool:
        p, q = probabilities(pair)
        return bool((np.abs(p - q) > threshold).any())

    pair = drawn(seed=seed, shape=(3, 5))
    if fails(pair):
        assert fails(shrink.shrink(pair, fails))
