"""The fixed problems are the same in every run, and what was given on them can be compared bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kl_cases.problems import Profile
from kl_conformance import catalogue
from kl_conformance.questions import problem_set, questions
from kl_conformance.sketch import Array, Sketch, term
from kl_reports.result import Verdict
from kl_trials.asked import settled, subject

POINTWISE = catalogue.requirement("values/pointwise")


def test_the_fixed_problems_are_the_same_every_time() -> None:
    """Asked twice, the corpus and the grid hold the same pairs in the same order."""
    first, second = ([each.pair.id for each in questions(POINTWISE, subject(), Profile.QUICK)] for _ in "ab")
    assert first == second
    assert len(first) > 10


def test_the_problem_set_knows_what_is_asked() -> None:
    """Another profile, family, corner or requirement has another problem set; the same has the same."""
    own = problem_set(POINTWISE, Profile.QUICK)
    assert own == problem_set(POINTWISE, Profile.QUICK)
    others = {
        problem_set(POINTWISE, Profile.STANDARD),
        problem_set(replace(POINTWISE, families=POINTWISE.families[1:]), Profile.QUICK),
        problem_set(replace(POINTWISE, corners=("zero-target",)), Profile.QUICK),
        problem_set(replace(POINTWISE, shapes=((2, 2),)), Profile.QUICK),
        problem_set(catalogue.requirement("support/zero-over-zero"), Profile.QUICK),
    }
    assert own not in others
    assert len(others) == 5


def test_the_seed_moves_the_search_and_nothing_else() -> None:
    """Two runs with other seeds gave the same bits on the fixed problems, and asked others beside."""
    one, other = (settled("values/pointwise", subject(), seed=seed) for seed in (1, 2))
    assert one.verdict is other.verdict is Verdict.PASS
    assert one.fixed is not None
    assert one.fixed == other.fixed
    assert one.problems > one.fixed.problems


def _nudged(p: Array, log_q: Array) -> Array:
    """Return the terms, each moved to the next number away from zero."""
    terms = term(p, log_q)
    return np.where(np.isfinite(terms) & (terms != 0), np.nextafter(terms, np.copysign(np.inf, terms)), terms)


def test_other_bits_are_seen() -> None:
    """A kernel that rounds otherwise, and holds, has other bits on the same problems."""
    plain = settled("values/pointwise", subject())
    other = settled("values/pointwise", subject(Sketch(term=_nudged)))
    assert plain.fixed is not None
    assert other.fixed is not None
    assert other.verdict is Verdict.PASS
    assert plain.fixed.problems == other.fixed.problems
    assert plain.fixed.bits != other.fixed.bits


def test_where_a_fixed_problem_is_broken_there_is_nothing_to_compare() -> None:
    """The fixed problems end at the first that is broken."""
    result = settled("values/pointwise", subject(Sketch(term=lambda p, log_q: np.abs(term(p, log_q)))))
    assert result.verdict is Verdict.FAIL
    assert result.fixed is None


@pytest.mark.parametrize("profile", Profile)
def test_every_requirement_has_a_problem_set(profile: Profile) -> None:
    """Every requirement's problems have a name of 16 hexadecimal digits in every profile."""
    for requirement in catalogue.REQUIREMENTS.values():
        assert len(problem_set(requirement, profile)) == 16
