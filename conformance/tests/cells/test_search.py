"""The search finds what is broken, and makes it small without changing the question."""

from __future__ import annotations

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


def test_a_fault_that_is_there_is_found() -> None:
    """A pair in which some q exceeds its p by a factor of ten is found among a few dozen."""

    def broken(pair: Pair) -> bool:
        p, q = probabilities(pair)
        return bool((q > 10 * p).any())

    found = search.search(REQUIREMENT, Dtype.FLOAT64, SHAPES, 30, 0, broken)
    assert found is not None
    assert broken(found)


def test_a_fault_that_is_not_there_is_not_found() -> None:
    """Where nothing is broken the search ends after as many examples as it was given, empty-handed."""
    asked: list[Pair] = []

    def broken(pair: Pair) -> bool:
        asked.append(pair)
        return False

    assert search.search(REQUIREMENT, Dtype.FLOAT64, SHAPES, 7, 0, broken) is None
    assert len(asked) == 7


def test_a_seed_repeats_a_search() -> None:
    """The same seed draws the same pairs, another seed others."""

    def ids(seed: int) -> list[str]:
        asked: list[str] = []

        def broken(pair: Pair) -> bool:
            asked.append(pair.id)
            return False

        search.search(REQUIREMENT, Dtype.FLOAT32, SHAPES, 10, seed, broken)
        return asked

    assert ids(3) == ids(3)
    assert ids(3) != ids(4)


def test_everybody_is_asked_the_same_draws() -> None:
    """Who is asked after another is asked the very pairs that one was, drawn and built once."""

    def asked() -> list[Pair]:
        seen: list[Pair] = []

        def broken(pair: Pair) -> bool:
            seen.append(pair)
            return False

        search.search(REQUIREMENT, Dtype.FLOAT32, SHAPES, 6, 3, broken)
        return seen

    first, second = asked(), asked()
    assert len(first) == 6
    assert all(one is other for one, other in zip(first, second, strict=True))


def test_a_seed_repeats_a_verdict() -> None:
    """Two settlements of a cell with one seed agree to the last bit of the witness."""
    broken = REQUIREMENT.miniature
    first, second = (evaluate(REQUIREMENT.id, subject(broken), seed=5) for _ in range(2))
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


@pytest.mark.parametrize(
    ("broken", "numbers"), [(_has_large, 1), (_sums_wrong, 3), (_needs_two_rows, 2), (_between, 1)]
)
@pytest.mark.parametrize("shape", [(31,), (8, 31), (3, 4, 5), (2, 1025)])
def test_a_fault_shrinks_to_the_numbers_it_needs(
    broken: Callable[[Pair], bool], numbers: int, shape: tuple[int, ...]
) -> None:
    """A witness has no class and no row more than the fault needs: four numbers at most."""
    if broken is _needs_two_rows and len(shape) == 1:
        return
    pair = drawn("dirichlet-sparse", shape)
    assert broken(pair)
    small = shrink.shrink(pair, broken)
    assert broken(small)
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
def test_no_zero_is_put_in_where_none_was(seed: int, family: str) -> None:
    """A zero probability is another question, and no witness of this one."""
    pair = drawn(family, (3, 5), seed)
    if not (pair.p.values.all() and pair.q.values.all()):
        return
    small = shrink.shrink(pair, lambda candidate: candidate.classes >= 2)
    assert small.p.values.all()
    assert small.q.values.all()


def test_zeros_that_were_there_may_stay() -> None:
    """A question about zeros keeps one."""
    pair = drawn("sparse", (3, 5))
    small = shrink.shrink(pair, lambda candidate: bool((candidate.p.values == 0).any()))
    assert small.p.values.ravel().tolist() == [0.0]


def test_a_shrink_keeps_axis_and_origin() -> None:
    """A witness is a smaller pair of the same making."""
    pair = drawn().moved(0)
    small = shrink.shrink(pair, lambda candidate: candidate.classes >= 2)
    assert small.axis == pair.axis
    assert small.origin == pair.origin
    assert small.classes == 2


def test_a_broadcast_side_stays_broadcast() -> None:
    """Shrinking never makes a broadcast side full: broadcasting may be what is broken."""
    model = Measure(np.full((1, 6), 1 / 6), Space.PROBABILITY)
    pair = Pair(Measure(np.full((4, 6), 1 / 6), Space.PROBABILITY), model)
    small = shrink.shrink(pair, lambda candidate: candidate.rows >= 2)
    assert small.p.values.shape == (2, 1)
    assert small.q.values.shape == (1, 1)


def test_a_shrink_ends_when_its_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some frameworks compile for every shape: what is smallest when time is up is the witness."""
    monkeypatch.setattr(search, "SECONDS", 0.0)
    pair = drawn()
    assert shrink.shrink(pair, lambda candidate: True).shape == pair.shape


@given(st.integers(0, 1000), st.floats(0.01, 0.5))
@settings(max_examples=20, deadline=None)
def test_what_is_shrunk_is_still_broken(seed: int, threshold: float) -> None:
    """Whatever the fault, the witness shows it."""

    def broken(pair: Pair) -> bool:
        p, q = probabilities(pair)
        return bool((np.abs(p - q) > threshold).any())

    pair = drawn(seed=seed, shape=(3, 5))
    if broken(pair):
        assert broken(shrink.shrink(pair, broken))
