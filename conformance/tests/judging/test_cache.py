"""What is remembered is what would be answered anew."""

from __future__ import annotations

from dataclasses import fields, replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from kl_conformance.judging import cache
from kl_conformance.judging.cache import Memory, reference
from kl_reference import Formula, Operand, Problem, Reduction, Side, Space, answer, gradient
from kl_reference.answer import sum_terms
from kl_reference.enclosure import Enclosure
from kl_reference.evaluation.intermediates import Intermediates


def asked(classes: int, reduction: Reduction, seed: int = 0) -> Problem:
    """Return a problem of three rows."""
    p, q = np.random.default_rng(seed).dirichlet(np.ones(classes), (2, 3))
    return Problem(
        Operand.of(p.astype(np.float32), Space.PROBABILITY),
        Operand.of(np.log(q).astype(np.float32), Space.LOG),
        reduction=reduction,
    )


def bits(enclosure: Enclosure) -> list[bytes]:
    """Return all that an answer holds."""
    numbers = (getattr(enclosure, field.name) for field in fields(enclosure) if field.name != "scale")
    return [np.asarray(each).tobytes() for each in (*numbers, *enclosure.scale.arrays)]


@pytest.mark.parametrize("classes", [5, 700_000])
def test_one_total_serves_every_reduction_bit_for_bit(classes: int) -> None:
    """Which reduction is asked first changes no bit, in either tier of the reference."""
    for reduction in (*Reduction, *reversed(Reduction)):
        problem = asked(classes, reduction)
        assert bits(reference(problem)) == bits(answer(problem))


def test_a_pair_is_summed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean of what was summed costs no second sum; other numbers do."""
    sums: list[str] = []

    def counting(problem: Problem, working: Intermediates) -> object:
        sums.append(problem.id)
        return sum_terms(problem, working)

    monkeypatch.setattr(cache, "sum_terms", counting)
    for reduction in (Reduction.SUM, Reduction.MEAN, Reduction.BATCHMEAN, Reduction.ROWMEAN):
        reference(asked(6, reduction, seed=1))
    assert len(sums) == 1
    reference(asked(6, Reduction.MEAN, seed=2))
    assert len(sums) == 2


def test_the_same_operands_in_another_problem_are_worked_out_anew() -> None:
    """Another formula, axis, clip, normalisation or smoothing, or another operand, has answers of its own."""
    problem = asked(3, Reduction.SUM, seed=5)
    turned = replace(problem, model=asked(3, Reduction.SUM, seed=6).model)
    others: list[dict[str, Any]] = [
        {},
        {"formula": Formula.GENERALISED},
        {"axis": 0, "smoothing": 0.25},
        {"clip": (0.25, 1.0)},
        {"normalise": True, "axis": 0},
        {"normalise": True},
        {"smoothing": 0.25},
    ]
    for one in (problem, turned):
        for terms in others:
            for reduction in (Reduction.ROWS, Reduction.SUM):
                own = replace(one, reduction=reduction, **terms)
                assert bits(reference(own)) == bits(answer(own))
                slopes = cache.slope(own, Side.TARGET, None)
                assert slopes.value.tobytes() == gradient(own, Side.TARGET).value.tobytes()


def test_where_numbers_lie_is_no_part_of_the_question() -> None:
    """A problem in another layout gets the answer that is there."""
    problem = asked(7, Reduction.SUM, seed=3)
    assert reference(replace(problem, layout="strided")) is reference(problem)


def test_the_oldest_is_forgotten() -> None:
    """A memory keeps so many values, those asked for last."""
    memory: Memory[int] = Memory(2)
    for key in "abac":
        memory.get((key,), lambda: 1)
    assert memory.get(("a",), lambda: 2) == 1
    assert memory.get(("b",), lambda: 2) == 2


def test_what_is_heavy_displaces_what_is_light() -> None:
    """A memory that weighs its values keeps as many as it can carry, and always the last."""
    memory: Memory[str] = Memory(10, len)
    for text in ("aaaa", "bbbb", "cc", "dddd"):
        memory.get((text[0],), partial(str, text))
    kept = [memory.get((letter,), lambda: "") for letter in "bcd"]
    assert kept == ["bbbb", "cc", "dddd"]
    assert memory.get(("a",), lambda: "e" * 20) == "e" * 20
    assert memory.get(("b",), lambda: "f") == "f"
    assert memory.get(("a",), lambda: "g") == "g"
