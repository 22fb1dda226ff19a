"""The fixed problems are the same in every run, and what was given on them can be compared bit for bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kl_cases.family import Shape
from kl_cases.recipes import TestProfile
from kl_conformance.cells import effort
from kl_conformance.cells.effort import LONG, shapes
from kl_conformance.cells.fixed_problems import fixed_problems, problem_set
from kl_conformance.frameworks.framework import Modules
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Array, Miniature, term
from kl_conformance.runs.selection import columns_of
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reports.runfile.records import Verdict

POINTWISE = catalogue.requirement("values/pointwise")


def test_the_fixed_problems_are_the_same_every_time() -> None:
    """Asked twice, the corpus and the grid hold the same pairs in the same order."""
    first, second = (
        [each.pair.id for each in fixed_problems(POINTWISE, subject(), TestProfile.QUICK)] for _ in "ab"
    )
    assert first == second
    assert len(first) > 10


def test_the_problem_set_knows_what_is_asked() -> None:
    """Another profile, family, corner or requirement has another problem set; the same has the same."""
    own = problem_set(POINTWISE, TestProfile.QUICK)
    assert own == problem_set(POINTWISE, TestProfile.QUICK)
    others = {
        problem_set(POINTWISE, TestProfile.STANDARD),
        problem_set(replace(POINTWISE, families=POINTWISE.families[1:]), TestProfile.QUICK),
        problem_set(replace(POINTWISE, corners=("zero-target",)), TestProfile.QUICK),
        problem_set(replace(POINTWISE, shapes=((2, 2),)), TestProfile.QUICK),
        problem_set(catalogue.requirement("support/zero-over-zero"), TestProfile.QUICK),
    }
    assert own not in others
    assert len(others) == 5


def test_the_seed_moves_the_search_and_nothing_else() -> None:
    """Two runs with other seeds gave the same bits on the fixed problems, and asked others beside."""
    one, other = (evaluate("values/pointwise", subject(), seed=seed) for seed in (1, 2))
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
    plain = evaluate("values/pointwise", subject())
    other = evaluate("values/pointwise", subject(Miniature(term=_nudged)))
    assert plain.fixed is not None
    assert other.fixed is not None
    assert other.verdict is Verdict.PASS
    assert plain.fixed.problems == other.fixed.problems
    assert plain.fixed.bits != other.fixed.bits


def test_where_a_fixed_problem_is_broken_there_is_nothing_to_compare() -> None:
    """The fixed problems end at the first that is broken."""
    result = evaluate("values/pointwise", subject(Miniature(term=lambda p, log_q: np.abs(term(p, log_q)))))
    assert result.verdict is Verdict.FAIL
    assert result.fixed is None


@pytest.mark.parametrize("profile", TestProfile)
def test_every_requirement_has_a_problem_set(profile: TestProfile) -> None:
    """Every requirement's problems have a name of 16 hexadecimal digits in every profile."""
    for requirement in catalogue.REQUIREMENTS.values():
        assert len(problem_set(requirement, profile)) == 16


def test_drawn_rows_in_which_all_is_masked_have_others_beside_them() -> None:
    """Every pair of the grid has rows that must be right beside the one of nothing, and so decides."""
    requirement = catalogue.requirement("support/whole-row-masked")
    drawn = [
        each.pair for each in fixed_problems(requirement, subject(), TestProfile.QUICK) if each.case is None
    ]
    assert len(drawn) == len(requirement.shapes)
    assert all(list(requirement.check(subject(), pair)) for pair in drawn)


def _known(like: str, dtype: str) -> Subject:
    """Return a known implementation in a format; its framework is not needed to know what it would be asked."""
    known = loading.implementation(like)
    column = next(each for each in columns_of(known) if (each.device, each.dtype) == ("cpu", dtype))
    return Subject(known, registry.framework(known.framework), Modules(), column)


def _compiling(name: str = "optax.losses.kl_divergence", dtype: str = "float32") -> Subject:
    """Return who compiles every new shape, known by its name or brought under another."""
    known = _known("optax.losses.kl_divergence", dtype)
    own = replace(known.implementation, name=name)
    return Subject(own, known.framework, known.modules, known.column)


@pytest.mark.parametrize(
    ("dtype", "profile", "asked"),
    [
        ("float32", TestProfile.STANDARD, True),
        ("float16", TestProfile.STANDARD, False),
        ("float16", TestProfile.THOROUGH, True),
    ],
)
def test_what_takes_seconds_a_shape_is_asked_cases_of_its_own_dtype(
    dtype: str, profile: TestProfile, asked: bool
) -> None:
    """torch.compile runs a C++ compiler for each shape: a case met in float32 is asked there, or by thorough."""
    known = _known("torch.nn.functional.kl_div", dtype)
    subject = Subject(
        replace(known.implementation, name="my_kl"), known.framework, known.modules, known.column
    )
    cases = {each.case for each in fixed_problems(catalogue.requirement("modes/compiled"), subject, profile)}
    assert ("values/half-target-single-model" in cases) is asked
    everywhere = fixed_problems(catalogue.requirement("modes/inference"), subject, profile)
    assert any(each.case for each in everywhere)


def _asked(subject: Subject, profile: TestProfile) -> set[Shape]:
    """Return every shape that is drawn for somebody."""
    return {shape for each in catalogue.REQUIREMENTS.values() for shape in shapes(each, subject, profile)}


def test_where_each_shape_is_compiled_every_kind_of_size_is_asked_once() -> None:
    """No axis and one to three, one row and several, one class, an odd number of them, and more than 1024."""
    few = _asked(_compiling(), TestProfile.STANDARD)
    assert {len(shape) for shape in few} >= {0, 1, 2, 3}
    flat = {shape for shape in few if len(shape) == 2}
    assert any(rows == 1 < classes for rows, classes in flat)
    assert any(rows > 1 == classes for rows, classes in flat)
    assert any(rows % 2 == classes % 2 == 1 < classes for rows, classes in flat)
    assert any(rows > 1 and classes > 1024 for rows, classes in flat)


@pytest.mark.parametrize(("second", "first"), effort.ALIKE.items())
def test_the_second_of_two_formats_alike_is_asked_fewer_sizes(second: str, first: str) -> None:
    """One code serves both: either is asked an odd size, and whatever sizes are the question."""
    again, once = (_asked(_compiling(dtype=each), TestProfile.STANDARD) for each in (second, first))
    assert len(again) < len(once)
    assert (3, 5) in again
    odd = catalogue.requirement("gradients/odd")
    sizes = [shapes(odd, _compiling(dtype=each), TestProfile.STANDARD) for each in (second, first)]
    assert sizes == [odd.shapes[:1], (LONG,)]


def test_where_each_is_compiled_gradients_are_asked_in_no_small_shape_of_a_case() -> None:
    """They are compiled in three times as many pieces; other chapters are asked cases of common shapes, too."""

    def small(chapter: str) -> set[Shape]:
        asked = {
            (each.pair.shape, each.pair.shape in shapes(requirement, _compiling(), TestProfile.STANDARD))
            for requirement in catalogue.CHAPTERS[chapter]
            for each in fixed_problems(requirement, _compiling(), TestProfile.STANDARD)
            if each.case
        }
        return {shape for shape, anyway in asked if not anyway}

    assert not small("gradients")
    assert small("reductions")


@pytest.mark.parametrize("profile", [TestProfile.QUICK, TestProfile.STANDARD])
def test_a_kernel_that_is_brought_is_asked_more_sizes_than_a_known_one(profile: TestProfile) -> None:
    """Sizes beside blocks of 32 and 128, classes and rows, are asked of what may work in blocks of its own."""
    known, brought = (_asked(_compiling(name), profile) for name in ("optax.losses.kl_divergence", "my_kl"))
    assert {(3, 33), (129, 3), (8, 31)} <= brought
    assert not {(129, 3), (8, 31)} & known
    assert len(known) < len(brought)


def test_the_thorough_profile_spares_no_shape() -> None:
    """In the thorough profile a known implementation is asked what a kernel is that is brought."""
    assert _asked(_compiling(), TestProfile.THOROUGH) == _asked(_compiling("my_kl"), TestProfile.THOROUGH)
