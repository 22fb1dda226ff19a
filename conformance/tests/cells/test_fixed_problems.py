"""The fixed problems are the same in every run, and their answers can be compared bit for bit."""

from dataclasses import replace

import numpy as np
import pytest

from kl_cases.family import Shape
from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import LONG_SHAPE, SIMILAR_DTYPES, effort_of
from kl_conformance.cells.fixed_problems import problem_set
from kl_conformance.frameworks.framework import Modules
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Array, Miniature, term
from kl_conformance.runs.selection import columns_of
from kl_conformance_testkit.subjects import evaluate, fixed, subject
from kl_reports.runfile.records import Verdict

POINTWISE = catalogue.requirement("values/pointwise")


def test_the_fixed_problems_are_the_same_every_time() -> None:
    """Twice, the corpus and the grid yield the same pairs in the same order."""
    first, second = ([each.pair.id for each in fixed(POINTWISE, subject(), TestProfile.QUICK)] for _ in "ab")
    assert first == second
    assert len(first) > 10


def test_the_problem_set_depends_on_the_problems() -> None:
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
    """Two runs with different seeds have the same bits on the fixed problems, and drawn problems as well."""
    one, other = (evaluate("values/pointwise", subject(), seed=seed) for seed in (1, 2))
    assert one.verdict is other.verdict is Verdict.PASS
    assert one.fixed is not None
    assert one.fixed == other.fixed
    assert one.problems > one.fixed.problems


def _nudged(p: Array, log_q: Array) -> Array:
    """Return the terms, each moved to the next number away from zero."""
    terms = term(p, log_q)
    return np.where(np.isfinite(terms) & (terms != 0), np.nextafter(terms, np.copysign(np.inf, terms)), terms)


def test_different_rounding_has_different_bits() -> None:
    """A correct kernel that rounds differently has other bits on the same problems."""
    plain = evaluate("values/pointwise", subject())
    other = evaluate("values/pointwise", subject(Miniature(term=_nudged)))
    assert plain.fixed is not None
    assert other.fixed is not None
    assert other.verdict is Verdict.PASS
    assert plain.fixed.problems == other.fixed.problems
    assert plain.fixed.bits != other.fixed.bits


def test_a_failed_cell_has_no_fingerprint() -> None:
    """The fixed problems end at the first that fails."""
    result = evaluate("values/pointwise", subject(Miniature(term=lambda p, log_q: np.abs(term(p, log_q)))))
    assert result.verdict is Verdict.FAIL
    assert result.fixed is None


@pytest.mark.parametrize("profile", TestProfile)
def test_every_requirement_has_a_problem_set(profile: TestProfile) -> None:
    """It is a hash of 16 hexadecimal digits in every profile."""
    for requirement in catalogue.REQUIREMENTS.values():
        assert len(problem_set(requirement, profile)) == 16


def test_masked_rows_come_with_other_rows() -> None:
    """Every pair of the grid has rows that are not masked, and so decides."""
    requirement = catalogue.requirement("support/whole-row-masked")
    drawn = [each.pair for each in fixed(requirement, subject(), TestProfile.QUICK) if each.case is None]
    assert len(drawn) == len(requirement.shapes)
    assert all(list(requirement.check(subject(), pair)) for pair in drawn)


def _builtin(name: str, dtype: str) -> Subject:
    """Return a built-in implementation in a dtype, without its framework: it is never called."""
    known = loading.implementation(name)
    column = next(each for each in columns_of(known) if (each.device, each.dtype) == ("cpu", dtype))
    return Subject(known, registry.framework(known.framework), Modules(), column)


def _compiling(name: str = "optax.losses.kl_divergence", dtype: str = "float32") -> Subject:
    """Return an implementation whose every new shape is compiled; a user kernel under another name."""
    known = _builtin("optax.losses.kl_divergence", dtype)
    own = replace(known.implementation, name=name)
    return Subject(own, known.framework, known.modules, known.column)


@pytest.mark.parametrize(
    ("dtype", "profile", "tested"),
    [
        ("float32", TestProfile.STANDARD, True),
        ("float16", TestProfile.STANDARD, False),
        ("float16", TestProfile.THOROUGH, True),
    ],
)
def test_where_a_shape_takes_seconds_cases_have_the_dtype_of_the_column(
    dtype: str, profile: TestProfile, tested: bool
) -> None:
    """torch.compile runs a C++ compiler for each shape: a case in float32 is tested there, or in thorough."""
    known = _builtin("torch.nn.functional.kl_div", dtype)
    subject = Subject(replace(known.implementation, name="my_kl"), known.framework, known.modules, known.column)
    cases = {each.case for each in fixed(catalogue.requirement("modes/compiled"), subject, profile)}
    assert ("values/half-target-single-model" in cases) is tested
    everywhere = fixed(catalogue.requirement("modes/inference"), subject, profile)
    assert any(each.case for each in everywhere)


def _shapes(subject: Subject, profile: TestProfile) -> set[Shape]:
    """Return the shapes of all requirements."""
    every = (effort_of(each, subject, profile) for each in catalogue.REQUIREMENTS.values())
    return {shape for effort in every for shape in effort.shapes}


def test_where_each_shape_is_compiled_every_kind_of_size_is_tested() -> None:
    """No axis and one to three, one row and several, one class, an odd number of them, and more than 1024."""
    few = _shapes(_compiling(), TestProfile.STANDARD)
    assert {len(shape) for shape in few} >= {0, 1, 2, 3}
    flat = {shape for shape in few if len(shape) == 2}
    assert any(rows == 1 < classes for rows, classes in flat)
    assert any(rows > 1 == classes for rows, classes in flat)
    assert any(rows % 2 == classes % 2 == 1 < classes for rows, classes in flat)
    assert any(rows > 1 and classes > 1024 for rows, classes in flat)


@pytest.mark.parametrize(("second", "first"), SIMILAR_DTYPES.items())
def test_the_second_of_two_similar_dtypes_has_fewer_sizes(second: str, first: str) -> None:
    """Both have an odd size, and the sizes of requirements about sizes."""
    again, once = (_shapes(_compiling(dtype=each), TestProfile.STANDARD) for each in (second, first))
    assert len(again) < len(once)
    assert (3, 5) in again
    odd = catalogue.requirement("gradients/odd")
    efforts = [effort_of(odd, _compiling(dtype=each), TestProfile.STANDARD) for each in (second, first)]
    assert [each.shapes for each in efforts] == [odd.shapes[:1], (LONG_SHAPE,)]


def test_where_each_shape_is_compiled_gradients_have_no_cases_of_other_shapes() -> None:
    """They are compiled in three times as many pieces; other chapters have cases of common shapes."""

    def small(chapter: str) -> set[Shape]:
        tested = _compiling()
        return {
            each.pair.shape
            for requirement in catalogue.CHAPTERS[chapter]
            for each in fixed(requirement, tested, TestProfile.STANDARD)
            if each.case and each.pair.shape not in effort_of(requirement, tested, TestProfile.STANDARD).shapes
        }

    assert not small("gradients")
    assert small("reductions")


@pytest.mark.parametrize("profile", [TestProfile.QUICK, TestProfile.STANDARD])
def test_user_kernels_have_more_sizes_than_built_in_implementations(profile: TestProfile) -> None:
    """Rows and classes next to blocks of 32 and 128: a user kernel may work in blocks of its own."""
    builtin, user = (_shapes(_compiling(name), profile) for name in ("optax.losses.kl_divergence", "my_kl"))
    assert {(3, 33), (129, 3), (8, 31)} <= user
    assert not {(129, 3), (8, 31)} & builtin
    assert len(builtin) < len(user)


def test_the_thorough_profile_has_every_shape() -> None:
    """Built-in implementations have the shapes of user kernels there."""
    assert _shapes(_compiling(), TestProfile.THOROUGH) == _shapes(_compiling("my_kl"), TestProfile.THOROUGH)
