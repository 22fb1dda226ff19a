"""Sharing intermediate results between reductions and gradients changes no bit of an answer."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from kl_reference import Dtype, Formula, Operand, Problem, Reduction, Side, Space, answer, gradient
from kl_reference.enclosure import Enclosure
from kl_reference.evaluation.blocks import BLOCK
from kl_reference.evaluation.intermediates import Intermediates

RNG = np.random.default_rng(7)
TERMS: list[dict[str, Any]] = [
    {},
    {"formula": Formula.GENERALISED},
    {"formula": Formula.CROSS_ENTROPY, "axis": 0},
    {"clip": (1e-3, 1.0)},
    {"normalise": True},
    {"smoothing": 0.1},
]
SHAPES = [((3, 5), (3, 5)), ((4,), (4,)), ((), ()), ((3, 5), (1, 5)), ((2, 1, 4), (3, 4)), ((2, 0), (2, 0))]


def operand(shape: tuple[int, ...], space: Space, dtype: Dtype) -> Operand:
    """Return measures with some zeros, their logarithms, or logits."""
    drawn = RNG.random(shape)
    measure = np.where(drawn < 0.2, 0.0, drawn)
    with np.errstate(divide="ignore"):
        return Operand.of(measure if space is Space.PROBABILITY else np.log(measure), space, dtype)


def problems(dtype: Dtype) -> Iterator[Problem]:
    """Yield problems in all spaces, formulas and shapes; invalid combinations are skipped."""
    for (p, q), target, model, terms in product(SHAPES, Space, Space, TERMS):
        try:
            made = Problem(operand(p, target, dtype), operand(q, model, dtype), **terms)
            answer(made)
        except ValueError:
            continue
        yield made


def same(one: Enclosure, other: Enclosure) -> None:
    """Assert that every array of two enclosures has the same bits."""
    pairs = zip(
        (one.value, one.tail, one.radius, *one.scale.arrays),
        (other.value, other.tail, other.radius, *other.scale.arrays),
        strict=True,
    )
    for mine, theirs in pairs:
        assert mine.shape == theirs.shape
        assert mine.tobytes() == theirs.tobytes()
    assert one.scale.count == other.scale.count


@pytest.mark.parametrize("dtype", [Dtype.FLOAT64, Dtype.FLOAT16])
def test_every_reduction_and_gradient_has_the_bits_it_has_alone(dtype: Dtype) -> None:
    """In any order of evaluation, and for every upstream gradient."""
    tested = 0
    for problem in problems(dtype):
        shared = Intermediates(problem)
        each = [replace(problem, reduction=reduction) for reduction in Reduction]
        for one in RNG.permutation(np.array(each, dtype=object))[:3]:
            side, above = RNG.choice(np.array(Side)), RNG.choice([1.0, -0.75])
            same(gradient(one, side, np.array(above), shared), gradient(one, side, np.array(above)))
            same(answer(one, shared), answer(one))
            tested += 1
    assert tested > 500


def test_terms_and_slopes_are_evaluated_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """All reductions share one block of terms; the terms of a problem of several blocks are not cached."""
    counts = {"term": 0}
    made = answer.__globals__["term"]

    def counting(*given: Any) -> Any:
        counts["term"] += 1
        return made(*given)

    monkeypatch.setitem(answer.__globals__, "term", counting)
    for size, times in ((5, 1), (BLOCK // 3 + 1, 2 * len(Reduction))):
        p, q = (Operand.of(RNG.dirichlet(np.ones(size), 3), Space.PROBABILITY) for _ in Side)
        counts["term"], shared = 0, Intermediates(Problem(p, q))
        for reduction in Reduction:
            answer(replace(shared.problem, reduction=reduction), shared)
        assert counts["term"] == times
