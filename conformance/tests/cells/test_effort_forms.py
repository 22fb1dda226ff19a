"""The quick profile asks each form at every shape, each problem once, and searches where numbers are the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.fixed_problems import MANY, fixed_problems
from kl_conformance.harness.subject import Subject
from kl_conformance.judging.upstream import UpstreamKind
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import CALL_DRAWS
from kl_conformance_testkit.subjects import evaluate, judgements, pair, subject
from kl_reference.convention import Reduction, Side
from kl_reports.runfile.records import Verdict

Form = tuple[Any, Any]


def forms(asked: Subject, turn: int | None, question: Pair) -> set[Form]:
    """Return the spaces and reductions in which a pair is asked."""
    asked.turn = turn
    found = {(each.target.space, each.reduction) for each in asked.problems(question, *Reduction)}
    asked.turn = None
    return found


@pytest.mark.parametrize(
    "name", ["gradients/model", "gradients/upstream", "layouts/strided", "modes/inference"]
)
def test_every_form_is_asked_at_every_shape(name: str) -> None:
    """Families that take turns leave no form out at any shape, and each is asked in every space and reduction."""
    asked = subject()
    every = set(product(asked.convention.target, asked.offers()))
    grid = [
        each
        for each in fixed_problems(catalogue.requirement(name), asked, TestProfile.QUICK)
        if each.case is None
    ]
    by_shape: dict[Any, set[Form]] = {}
    for each in grid:
        own = forms(asked, each.rotation, each.pair)
        by_shape.setdefault(each.pair.shape, set()).update(own)
        assert {space for space, _ in own} == set(asked.convention.target)
        assert {reduction for _, reduction in own} == set(asked.offers())
        assert len(own) == len(every) // (1 if each.rotation is None else 2)
    assert by_shape
    assert all(own == every for own in by_shape.values())


def test_turns_are_the_quick_profile_s_alone() -> None:
    """In the other profiles every problem is asked in every form."""
    for requirement in catalogue.REQUIREMENTS.values():
        asked = list(fixed_problems(requirement, subject(), TestProfile.STANDARD))
        assert all(each.rotation is None for each in asked)


def test_cases_take_turns_where_the_numbers_are_not_the_question() -> None:
    """A case of a value is asked in every form unless it is large; one of a layout or an order shares them."""
    for requirement in catalogue.REQUIREMENTS.values():
        cases = [
            each
            for each in fixed_problems(requirement, subject(), TestProfile.QUICK)
            if each.case is not None
        ]
        for each in cases:
            shared = len(cases) > 1 and (requirement.draws is CALL_DRAWS or each.pair.p.values.size >= MANY)
            assert (each.rotation is not None) is shared, each.case


def counting(counts: Counter[str]) -> Callable[[Array], Array]:
    """Return what counts answers and leaves them as they are."""

    def after(answer: Array) -> Array:
        counts["calls"] += 1
        return answer

    return after


def test_how_something_is_asked_is_not_searched_quickly() -> None:
    """Another seed asks nothing else of a layout, and something else of a value."""
    for name, drawn in (("layouts/strided", 0), ("values/pointwise", 2)):
        result = evaluate(name, subject())
        assert result.verdict is Verdict.PASS
        assert result.fixed is not None
        assert (result.problems > result.fixed.problems) is bool(drawn)


def test_a_problem_is_asked_once_by_however_many_requirements() -> None:
    """Values and gradients that were asked before are not asked again, until they are forgotten."""
    counts: Counter[str] = Counter()
    asked = subject(Miniature(after=counting(counts)))
    problem = asked.problem(pair([0.25, 0.75], [0.5, 0.5]))
    for _ in range(3):
        asked.evaluate(problem)
        asked.gradient(problem, Side.MODEL)
        asked.gradient(problem, Side.MODEL, UpstreamKind.PATTERN)
    once = counts["calls"]
    asked.clear_cache()
    asked.evaluate(problem)
    asked.gradient(problem, Side.MODEL)
    asked.gradient(problem, Side.MODEL, UpstreamKind.PATTERN)
    assert once
    assert counts["calls"] == 2 * once


def drawing(upstream: Array) -> Array:
    """Draw from the generator everybody draws from, in the backward pass."""
    np.random.random()
    return upstream


def test_gradients_known_already_are_asked_again_where_what_they_leave_behind_is_the_question() -> None:
    """A backward pass that moves the random generator is seen, though its gradients are known."""
    asked = subject(Miniature(upstream=drawing))
    question = pair([0.25, 0.75], [0.5, 0.5])
    for problem, side in product(asked.problems(question), Side):
        asked.gradient(problem, side)
    assert all(each.is_failure for each in judgements("state/surroundings", asked, question))
