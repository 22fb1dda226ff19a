"""Cached answers have the bits of computed ones."""

from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from kl_conformance.judging import cache
from kl_conformance.judging.cache import Cache, cached, lru_cache, reference
from kl_reference import Formula, Operand, Problem, Reduction, Side, Space, answer, gradient
from kl_reference.answer import sum_terms
from kl_reference.enclosure import Enclosure
from kl_reference.evaluation.intermediates import Intermediates


def problem_of(classes: int, reduction: Reduction, seed: int = 0) -> Problem:
    """Return a problem of three rows."""
    p, q = np.random.default_rng(seed).dirichlet(np.ones(classes), (2, 3))
    return Problem(
        Operand.of(p.astype(np.float32), Space.PROBABILITY),
        Operand.of(np.log(q).astype(np.float32), Space.LOG),
        reduction=reduction,
    )


def bits(enclosure: Enclosure) -> list[bytes]:
    """Return the bits of every array of an answer."""
    numbers = (getattr(enclosure, field.name) for field in fields(enclosure) if field.name != "scale")
    return [np.asarray(each).tobytes() for each in (*numbers, *enclosure.scale.arrays)]


@pytest.mark.parametrize("classes", [5, 700_000])
def test_all_reductions_share_one_sum_bit_for_bit(classes: int) -> None:
    """The order of the reductions changes no bit, in either tier of the reference."""
    for reduction in (*Reduction, *reversed(Reduction)):
        problem = problem_of(classes, reduction)
        assert bits(reference(problem)) == bits(answer(problem))


def test_a_pair_is_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of a summed pair needs no second sum; other numbers do."""
    sums: list[str] = []

    def counting(problem: Problem, working: Intermediates) -> object:
        sums.append(problem.id)
        return sum_terms(problem, working)

    monkeypatch.setattr(cache, "sum_terms", counting)
    for reduction in (Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN):
        reference(problem_of(6, reduction, seed=1))
    assert len(sums) == 1
    reference(problem_of(6, Reduction.MEAN, seed=2))
    assert len(sums) == 2


def test_the_same_operands_in_another_problem_have_another_answer() -> None:
    """Formula, axis, clip, normalisation, smoothing and both operands belong to the key of an answer."""
    problem = problem_of(3, Reduction.SUM, seed=5)
    other_model = replace(problem, model=problem_of(3, Reduction.SUM, seed=6).model)
    others: list[dict[str, Any]] = [
        {},
        {"formula": Formula.GENERALISED},
        {"axis": 0, "smoothing": 0.25},
        {"clip": (0.25, 1.0)},
        {"normalise": True, "axis": 0},
        {"normalise": True},
        {"smoothing": 0.25},
    ]
    for one in (problem, other_model):
        for terms in others:
            for reduction in (Reduction.ROWS, Reduction.SUM):
                own = replace(one, reduction=reduction, **terms)
                assert bits(reference(own)) == bits(answer(own))
                slopes = cache.reference_gradient(own, Side.TARGET, None)
                assert slopes.value.tobytes() == gradient(own, Side.TARGET).value.tobytes()


def test_all_layouts_share_one_answer() -> None:
    """A problem in another layout has the same answer."""
    problem = problem_of(7, Reduction.SUM, seed=3)
    assert reference(replace(problem, layout="strided")) is reference(problem)


def test_the_value_used_longest_ago_is_removed() -> None:
    """A cache keeps the values used last."""
    values: Cache[int] = lru_cache(2)
    for key in "abac":
        cached(values, key, lambda: 1)
    assert cached(values, "a", lambda: 2) == 1
    assert cached(values, "b", lambda: 2) == 2


def test_a_large_value_displaces_several_small_ones() -> None:
    """A cache of sized values keeps as many as fit, and always the last, even one larger than the cache."""
    values: Cache[str] = lru_cache(10, len)
    for text in ("aaaa", "bbbb", "cc", "dddd"):
        cached(values, text[0], partial(str, text))
    assert [cached(values, letter, lambda: "") for letter in "bcd"] == ["bbbb", "cc", "dddd"]
    assert cached(values, "a", lambda: "e" * 20) == "e" * 20
    assert cached(values, "a", lambda: "h") == "e" * 20
    assert cached(values, "b", lambda: "f") == "f"
    assert cached(values, "a", lambda: "g") == "g"


def test_a_resized_cache_of_answers_gives_the_same_bits() -> None:
    """The size of the cache changes no answer."""
    problem = problem_of(8, Reduction.ROWS, seed=4)
    before = bits(reference(problem))
    cache.resize_answer_cache(1)
    try:
        assert bits(reference(problem)) == before
    finally:
        cache.resize_answer_cache(cache.ANSWER_BYTES)
