"""Built-in implementations get fewer problems than user kernels, in some profiles."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kl_cases.corpus import find_case
from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import DRAWS, LONG_SHAPE, REDUCED_COST, SIMILAR_DTYPES, effort_of, reduced_dtypes
from kl_conformance.cells.fixed_problems import FixedProblem, omitted_problems
from kl_conformance.frameworks.framework import Modules
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.judging.judge import passed
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.requirement import Requirement
from kl_conformance.runs.plan import PlannedCell, resolve
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_conformance.runs.shards import Shard, shards
from kl_conformance_testkit.subjects import fixed
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.records import Verdict

NAME = "torch.nn.functional.kl_div"


def implementation(dtype: str = "float32", name: str = NAME) -> Subject:
    """Return a built-in implementation, or the same as a user kernel of another name; it is never called."""
    known = loading.implementation(NAME)
    column = next(each for each in columns_of(known) if (each.device, each.dtype) == ("cpu", dtype))
    return Subject(replace(known, name=name), registry.framework("torch"), Modules(), column)


def every(*names: str) -> Iterator[Requirement]:
    """Yield the requirements of several families at several shapes, and the named ones."""
    yield from (each for each in catalogue.REQUIREMENTS.values() if len(each.families) > 1 and not each.shapes)
    yield from map(catalogue.requirement, names)


def drawn(requirement: Requirement, subject: Subject, profile: TestProfile) -> set[tuple[str, Shape]]:
    """Return the families and shapes of the grid."""
    return {(each.family, each.shape) for each in effort_of(requirement, subject, profile).grid}


def shapes(requirement: Requirement, subject: Subject, profile: TestProfile) -> tuple[Shape, ...]:
    """Return the shapes of the grid and of the search."""
    return effort_of(requirement, subject, profile).shapes


def test_each_family_has_a_shape_and_each_shape_a_family() -> None:
    """In the quick profile every family is tested at some shape, and some family at every shape."""
    for requirement in every("gradients/model", "gradients/logits", "modes/vmap"):
        few, all_of_them = (
            drawn(requirement, each, TestProfile.QUICK) for each in (implementation(), implementation(name="my_kl"))
        )
        assert few <= all_of_them
        for place in (0, 1):
            assert {each[place] for each in few} == {each[place] for each in all_of_them}, requirement.id
        sizes = len({family for family, _ in all_of_them}), len({shape for _, shape in all_of_them})
        assert len(few) <= sum(sizes)


def test_the_largest_shapes_of_a_built_in_implementation_rotate() -> None:
    """In the standard profile large shapes get half of the call forms; small shapes and user kernels get all."""
    requirement = catalogue.requirement("layouts/odd")
    rotations = {
        name: {
            each.pair.shape: each.rotation
            for each in fixed(requirement, implementation(name=name), TestProfile.STANDARD)
            if each.case is None
        }
        for name in (NAME, "my_kl")
    }
    shared = {shape: rotation % 2 for shape, rotation in rotations[NAME].items() if rotation is not None}
    assert shared.keys() == {(1, 65535), (1, 65537), (65537, 3)}
    assert set(shared.values()) == {0, 1}
    assert set(rotations["my_kl"].values()) == {None}
    assert rotations["my_kl"].keys() == rotations[NAME].keys()


def test_the_other_profiles_draw_every_family_at_every_shape() -> None:
    """Every family is tested at every shape, as in the quick profile of a user kernel."""
    for requirement in every():
        whole = drawn(requirement, implementation(name="my_kl"), TestProfile.STANDARD)
        assert drawn(requirement, implementation(), TestProfile.STANDARD) == whole


def cases(found: Iterator[FixedProblem]) -> set[Any]:
    """Return the dtypes of the cases."""
    return {find_case(each.case).dtype for each in found if each.case is not None}


@pytest.mark.parametrize("name", ["values/pointwise", "values/extreme", "gradients/model"])
def test_the_quick_profile_has_the_cases_of_its_own_dtype(name: str) -> None:
    """So for built-in implementations; the standard profile and user kernels have cases of all dtypes."""
    requirement, own, other = (
        catalogue.requirement(name),
        implementation("float16"),
        implementation("float16", "my_kl"),
    )
    assert cases(fixed(requirement, own, TestProfile.QUICK)) <= {own.dtype, None}
    assert len(cases(fixed(requirement, other, TestProfile.QUICK))) > 1
    assert len(cases(fixed(requirement, own, TestProfile.STANDARD))) > 1


@pytest.mark.parametrize(("second", "first"), SIMILAR_DTYPES.items())
def test_the_second_of_two_similar_dtypes_has_the_quick_shapes(second: str, first: str) -> None:
    """In the standard profile, with long rows as well, where sums could stagnate."""
    for requirement in every("gradients/model", "layouts/odd"):
        quick, standard = (
            set(shapes(requirement, implementation(second), each)) for each in (TestProfile.QUICK, TestProfile.STANDARD)
        )
        assert standard == quick | (set() if requirement.shapes else {LONG_SHAPE})
        assert set(shapes(requirement, implementation(second, "my_kl"), TestProfile.STANDARD)) == set(
            shapes(requirement, implementation(first), TestProfile.STANDARD)
        )


def test_user_kernels_are_searched_longer_in_the_standard_profile() -> None:
    """Built-in implementations have fewer draws there, and as many in the other profiles."""
    for requirement in catalogue.REQUIREMENTS.values():
        draws = DRAWS[requirement.fault_source]
        few, many = (
            effort_of(requirement, each, TestProfile.STANDARD).draws
            for each in (implementation(), implementation(name="my_kl"))
        )
        assert few < many == draws[TestProfile.STANDARD]
        for profile in (TestProfile.QUICK, TestProfile.THOROUGH):
            assert effort_of(requirement, implementation(), profile).draws == draws[profile]
        assert (
            effort_of(requirement, implementation(), TestProfile.STANDARD, reduced=True).draws
            == draws[TestProfile.QUICK]
        )


class Cleared(NumPy):
    """NumPy that counts how often its compiled functions are cleared."""

    times = 0

    def clear_cache(self, modules: Modules) -> None:
        """Count."""
        Cleared.times += 1


def test_compiled_functions_are_cleared_before_the_next_dtype(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each dtype, whatever its number of columns and cells."""
    monkeypatch.setitem(registry.FRAMEWORKS, "scipy", Cleared())
    session = Session(Selection(profile=TestProfile.QUICK))
    requirement = catalogue.requirement("signs/direction")
    builtin = [loading.implementation(f"scipy.special.{name}") for name in ("rel_entr", "kl_div")]
    for dtype in ("float32", "float64"):
        for implementation in builtin:
            column = next(each for each in columns_of(implementation) if each.dtype == dtype)
            result = session.evaluate(PlannedCell(requirement, implementation, column))
            assert result.verdict in {Verdict.PASS, Verdict.EXPECTED, Verdict.UNSUPPORTED}
    assert Cleared.times == 2


def cells(shard: Shard) -> float:
    """Return the number of cells of a shard, with the cost of a reduced one less than 1."""
    dtypes = Counter(shard.header.columns[CellId.parse(each).column].dtype for each in shard.header.planned)
    return sum(number * (REDUCED_COST if dtype in SIMILAR_DTYPES else 1.0) for dtype, number in dtypes.items())


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "scipy"])
@pytest.mark.parametrize("profile", [TestProfile.QUICK, TestProfile.STANDARD])
def test_workers_take_about_as_long(profile: TestProfile, framework: str) -> None:
    """Each column is in one shard, and two shards differ by one column at most."""
    whole = Selection(frameworks=(framework,), profile=profile, reduced=reduced_dtypes((), profile))
    (alone,) = shards(whole, cores=1)
    for cores in (2, 3):
        found = shards(whole, cores=cores)
        keys = [key for each in found for key in each.header.columns]
        assert sorted(keys) == sorted(alone.header.columns)
        assert sorted(cell for each in found for cell in each.header.planned) == sorted(alone.header.planned)
        for each in found:
            assert {column.key for column in resolve(each.selection).columns} == set(each.header.columns)
        if cores == 2 and len(found) == 2:
            assert max(map(cells, found)) - min(map(cells, found)) <= len(catalogue.REQUIREMENTS)


def test_a_compiling_framework_is_divided_by_dtype() -> None:
    """Columns of a dtype share compiled functions; a single dtype is divided all the same."""
    standard = Selection(frameworks=("jax",), reduced=reduced_dtypes((), TestProfile.STANDARD))
    dtypes = [{column.dtype for column in each.header.columns.values()} for each in shards(standard, cores=2)]
    assert dtypes == [{"float32", "float64"}, {"float16", "bfloat16"}]
    quick = shards(Selection(frameworks=("jax",), profile=TestProfile.QUICK), cores=2)
    assert [{column.dtype for column in each.header.columns.values()} for each in quick] == [{"float32"}] * 2


@pytest.mark.parametrize("name", ["torch.nn.functional.kl_div", "my_kl"])
def test_where_a_shape_takes_seconds_cases_have_the_shapes_of_the_grid(name: str) -> None:
    """So for built-in implementations; user kernels get cases of any shape."""
    requirement, own = catalogue.requirement("modes/compiled"), implementation(name=name)
    found = {each.pair.shape for each in fixed(requirement, own, TestProfile.STANDARD) if each.case}
    assert (found <= set(shapes(requirement, own, TestProfile.STANDARD))) == (name != "my_kl")
    assert (3, 5) in found


def omitted(requirement: Requirement, subject: Subject, profile: TestProfile) -> list[FixedProblem]:
    """Return the problems that a profile leaves out."""
    return list(omitted_problems(requirement, subject.dtype, effort_of(requirement, subject, profile)))


@pytest.mark.parametrize(("enough", "problems"), [(1, 1), (3, 3), (9, 4)])
def test_omitted_problems_are_evaluated_until_one_decides(enough: int, problems: int) -> None:
    """No more are evaluated: each may have a shape of its own."""
    seen: list[Pair] = []

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        seen.append(pair)
        vacuous = None if len(seen) >= enough else "too early"
        yield replace(passed(subject.problem(pair), subject.named), vacuous=vacuous)

    plain = catalogue.requirement("gradients/odd")
    shapes = ((1, 2), (1, 3), (1, 4), (1, 5))
    requirement = replace(plain, id="gradients/none", check=check, shapes=shapes, families=plain.families[:1])
    effort = replace(effort_of(requirement, implementation(), TestProfile.STANDARD), shapes=(), grid=(), draws=0)
    result = Cell(requirement, implementation(), effort, 0).evaluate()
    assert result.problems == len(seen) == problems
    assert result.verdict is (Verdict.PASS if enough <= 4 else Verdict.UNDECIDED)


def test_other_shapes_of_the_requirement_and_all_cases_are_omitted_problems() -> None:
    """At 33 classes bfloat16 may decide nothing of a gradient: then these are evaluated."""
    requirement, compiled = catalogue.requirement("gradients/odd"), implementation("bfloat16")
    compiled.compiles = True
    assert shapes(requirement, compiled, TestProfile.QUICK) == requirement.shapes[:1]
    others = omitted(requirement, compiled, TestProfile.QUICK)
    assert [each.pair.shape for each in others if each.case is None] == list(requirement.shapes[1:])
    assert any(each.case for each in others)
    assert not any(each.case is None for each in omitted(requirement, implementation(), TestProfile.STANDARD))
