"""The quick profile rotates through the call forms, and every problem is evaluated once."""

from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import LARGE
from kl_conformance.harness.subject import Subject
from kl_conformance.judging.upstream import UpstreamKind
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import FaultSource
from kl_conformance_testkit.subjects import evaluate, fixed, judgements, pair, subject
from kl_reference.convention import Reduction, Side
from kl_reports.runfile.records import Verdict

Form = tuple[Any, Any]


def forms(tested: Subject, rotation: int | None, pair: Pair) -> set[Form]:
    """Return the spaces and reductions of the problems of a pair in a rotation."""
    problems = tested.rotated(rotation).problems(pair, *Reduction)
    return {(each.target.space, each.reduction) for each in problems}


@pytest.mark.parametrize("name", ["gradients/model", "gradients/upstream", "layouts/strided", "modes/inference"])
def test_every_shape_has_every_form(name: str) -> None:
    """Families that rotate leave out no form at any shape, and each has every space and every reduction."""
    tested = subject()
    every = set(product(tested.convention.target, tested.offers()))
    grid = [each for each in fixed(catalogue.requirement(name), tested, TestProfile.QUICK) if each.case is None]
    by_shape: dict[Any, set[Form]] = {}
    for each in grid:
        own = forms(tested, each.rotation, each.pair)
        by_shape.setdefault(each.pair.shape, set()).update(own)
        assert {space for space, _ in own} == set(tested.convention.target)
        assert {reduction for _, reduction in own} == set(tested.offers())
        assert len(own) == len(every) // (1 if each.rotation is None else 2)
    assert by_shape
    assert all(own == every for own in by_shape.values())


def test_a_rotation_leaves_the_subject_unchanged() -> None:
    """The rotated subject shares all caches with the plain one, which has all forms."""
    tested, row = subject(), pair([0.25, 0.75], [0.5, 0.5])
    every = forms(tested, None, row)
    halves = [forms(tested, rotation, row) for rotation in (0, 1)]
    assert (halves[0] | halves[1], halves[0] & halves[1]) == (every, set())
    assert forms(tested, None, row) == every
    problem = tested.problem(row)
    assert tested.rotated(1).evaluate(problem) is tested.evaluate(problem)


def test_only_the_quick_profile_rotates() -> None:
    """In the other profiles every problem is evaluated in every form."""
    for requirement in catalogue.REQUIREMENTS.values():
        assert all(each.rotation is None for each in fixed(requirement, subject(), TestProfile.STANDARD))


def test_cases_rotate_where_faults_depend_on_the_call() -> None:
    """A case about values has every form unless it is large; one about a layout or an order has half."""
    for requirement in catalogue.REQUIREMENTS.values():
        cases = [each for each in fixed(requirement, subject(), TestProfile.QUICK) if each.case is not None]
        for each in cases:
            of_call = requirement.fault_source is FaultSource.CALL
            rotates = len(cases) > 1 and (of_call or each.pair.p.values.size >= LARGE)
            assert (each.rotation is not None) is rotates, each.case


def counting(counts: Counter[str]) -> Callable[[Array], Array]:
    """Return a function that counts answers and returns them unchanged."""

    def after(answer: Array) -> Array:
        counts["calls"] += 1
        return answer

    return after


def test_the_quick_profile_searches_values_only() -> None:
    """It draws no pairs for a layout, and two for a value."""
    for name, drawn in (("layouts/strided", 0), ("values/pointwise", 2)):
        result = evaluate(name, subject())
        assert result.verdict is Verdict.PASS
        assert result.fixed is not None
        assert (result.problems > result.fixed.problems) is bool(drawn)


def test_a_problem_is_evaluated_once_for_all_requirements() -> None:
    """Values and gradients are cached until the cache is cleared."""
    counts: Counter[str] = Counter()
    tested = subject(Miniature(after=counting(counts)))
    problem = tested.problem(pair([0.25, 0.75], [0.5, 0.5]))
    for _ in range(3):
        tested.evaluate(problem)
        tested.gradient(problem, Side.MODEL)
        tested.gradient(problem, Side.MODEL, UpstreamKind.PATTERN)
    once = counts["calls"]
    tested.clear_cache()
    tested.evaluate(problem)
    tested.gradient(problem, Side.MODEL)
    tested.gradient(problem, Side.MODEL, UpstreamKind.PATTERN)
    assert once
    assert counts["calls"] == 2 * once


def drawing(upstream: Array) -> Array:
    """Draw from the global random generator in the backward pass."""
    np.random.random()
    return upstream


def test_cached_gradients_are_computed_again_for_process_state() -> None:
    """A backward pass that moves the random generator is detected though its gradients are cached."""
    tested = subject(Miniature(upstream=drawing))
    row = pair([0.25, 0.75], [0.5, 0.5])
    for problem, side in product(tested.problems(row), Side):
        tested.gradient(problem, side)
    assert all(each.is_failure for each in judgements("state/surroundings", tested, row))
