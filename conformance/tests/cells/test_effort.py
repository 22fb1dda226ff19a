"""A known implementation is asked less where little is to be asked, and a kernel that is brought never."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from kl_cases.corpus import find_case
from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, TestProfile, build
from kl_conformance.cells.accumulator import CellAccumulator
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import ALIKE, LONG, draws, reduced_effort, shapes
from kl_conformance.cells.fixed_problems import FixedProblem, fixed_problems, omitted_problems
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
from kl_conformance.runs.shards import REDUCED_COST, Shard, shards
from kl_reference.dtype import Dtype
from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.records import Verdict

NAME = "torch.nn.functional.kl_div"


def asked(dtype: str = "float32", name: str = NAME) -> Subject:
    """Return an implementation, known or brought under another name; nobody calls it."""
    known = loading.implementation(NAME)
    column = next(each for each in columns_of(known) if (each.device, each.dtype) == ("cpu", dtype))
    return Subject(replace(known, name=name), registry.framework("torch"), Modules(), column)


def every(*names: str) -> Iterator[Requirement]:
    """Yield requirements whose pairs are drawn, of several families at several shapes."""
    yield from (
        each for each in catalogue.REQUIREMENTS.values() if len(each.families) > 1 and not each.shapes
    )
    yield from map(catalogue.requirement, names)


def drawn(requirement: Requirement, subject: Subject, profile: TestProfile) -> set[tuple[str, Any]]:
    """Return the families and shapes of the grid."""
    grid = (each for each in fixed_problems(requirement, subject, profile) if each.case is None)
    return {(each.pair.origin.partition(" ")[0], each.pair.shape) for each in grid}


def test_each_family_is_asked_somewhere_and_each_shape_of_some_family() -> None:
    """In the quick profile families take turns with the shapes, so that neither is left out."""
    for requirement in every("gradients/model", "gradients/logits", "modes/vmap"):
        few, all_of_them = (
            drawn(requirement, each, TestProfile.QUICK) for each in (asked(), asked(name="my_kl"))
        )
        assert few <= all_of_them
        for place in (0, 1):
            assert {each[place] for each in few} == {each[place] for each in all_of_them}, requirement.id
        sizes = len({family for family, _ in all_of_them}), len({shape for _, shape in all_of_them})
        assert len(few) <= sum(sizes)


def test_of_a_known_implementation_the_largest_shapes_share_the_forms() -> None:
    """In the standard profile, and none is asked by halves that is small, or asked of a kernel that is brought."""
    requirement = catalogue.requirement("layouts/odd")
    turns = {
        name: {
            each.pair.shape: each.turn
            for each in fixed_problems(requirement, asked(name=name), TestProfile.STANDARD)
            if each.case is None
        }
        for name in (NAME, "my_kl")
    }
    shared = {shape: turn % 2 for shape, turn in turns[NAME].items() if turn is not None}
    assert shared.keys() == {(1, 65535), (1, 65537), (65537, 3)}
    assert set(shared.values()) == {0, 1}
    assert set(turns["my_kl"].values()) == {None}
    assert turns["my_kl"].keys() == turns[NAME].keys()


def test_the_other_profiles_draw_every_family_at_every_shape() -> None:
    """So does the quick one of a kernel that is brought."""
    for requirement in every():
        whole = drawn(requirement, asked(name="my_kl"), TestProfile.STANDARD)
        assert drawn(requirement, asked(), TestProfile.STANDARD) == whole


def cases(found: Iterator[FixedProblem]) -> set[Any]:
    """Return the dtypes that cases were met in."""
    return {find_case(each.case).dtype for each in found if each.case is not None}


@pytest.mark.parametrize("name", ["values/pointwise", "values/extreme", "gradients/model"])
def test_a_case_is_asked_quickly_in_the_dtype_it_was_met_in(name: str) -> None:
    """A known implementation is asked it there or in the standard profile; a kernel that is brought everywhere."""
    requirement, own, other = catalogue.requirement(name), asked("float16"), asked("float16", "my_kl")
    assert cases(fixed_problems(requirement, own, TestProfile.QUICK)) <= {own.dtype, None}
    assert len(cases(fixed_problems(requirement, other, TestProfile.QUICK))) > 1
    assert len(cases(fixed_problems(requirement, own, TestProfile.STANDARD))) > 1


@pytest.mark.parametrize(("second", "first"), ALIKE.items())
def test_the_second_of_two_formats_alike_is_asked_what_quick_asks(second: str, first: str) -> None:
    """In the standard profile; and long rows beside it, where its sums could stagnate."""
    for requirement in every("gradients/model", "layouts/odd"):
        quick, standard = (
            set(shapes(requirement, asked(second), each))
            for each in (TestProfile.QUICK, TestProfile.STANDARD)
        )
        assert standard == quick | (set() if requirement.shapes else {LONG})
        assert set(shapes(requirement, asked(second, "my_kl"), TestProfile.STANDARD)) == set(
            shapes(requirement, asked(first), TestProfile.STANDARD)
        )


def test_a_known_implementation_is_searched_as_long_as_it_takes_to_find_what_there_is() -> None:
    """A kernel that is brought is searched longer in the standard profile, and no longer in the others."""
    for requirement in catalogue.REQUIREMENTS.values():
        few, many = (
            draws(requirement, each, TestProfile.STANDARD) for each in (asked(), asked(name="my_kl"))
        )
        assert few < many == requirement.draws[TestProfile.STANDARD]
        for profile in (TestProfile.QUICK, TestProfile.THOROUGH):
            assert draws(requirement, asked(), profile) == requirement.draws[profile]


class Cleared(NumPy):
    """NumPy that notes how often it is to let go of what was compiled."""

    times = 0

    def clear_cache(self, modules: Modules) -> None:
        """Count."""
        Cleared.times += 1


def test_what_was_compiled_for_one_dtype_is_let_go_of_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Once a dtype, however many columns and cells it has."""
    monkeypatch.setitem(registry.FRAMEWORKS, "scipy", Cleared())
    session, sentence = (
        Session(Selection(profile=TestProfile.QUICK)),
        catalogue.requirement("signs/direction"),
    )
    known = [loading.implementation(f"scipy.special.{name}") for name in ("rel_entr", "kl_div")]
    for dtype in ("float32", "float64"):
        for implementation in known:
            column = next(each for each in columns_of(implementation) if each.dtype == dtype)
            result = session.evaluate(PlannedCell(sentence, implementation, column))
            assert result.verdict in {Verdict.PASS, Verdict.EXPECTED, Verdict.UNSUPPORTED}
    assert Cleared.times == 2


def cells(share: Shard) -> float:
    """Return how many cells a worker is to judge, those of the second of two formats counted as the run counts them."""
    dtypes = Counter(share.header.columns[CellId.parse(each).column].dtype for each in share.header.planned)
    return sum(number * (REDUCED_COST if dtype in ALIKE else 1.0) for dtype, number in dtypes.items())


@pytest.mark.parametrize("framework", ["torch", "tensorflow", "scipy"])
@pytest.mark.parametrize("profile", [TestProfile.QUICK, TestProfile.STANDARD])
def test_workers_take_about_as_long(profile: TestProfile, framework: str) -> None:
    """Each column is asked by one of them, and none of two has more than a column more than the other."""
    whole = Selection(frameworks=(framework,), profile=profile, reduced=reduced_effort((), profile))
    (alone,) = shards(whole, cores=1)
    for cores in (2, 3):
        found = shards(whole, cores=cores)
        dealt = [key for each in found for key in each.header.columns]
        assert sorted(dealt) == sorted(alone.header.columns)
        assert sorted(cell for each in found for cell in each.header.planned) == sorted(alone.header.planned)
        for each in found:
            assert {column.key for column in resolve(each.selection).columns} == set(each.header.columns)
        if cores == 2 and len(found) == 2:
            assert max(map(cells, found)) - min(map(cells, found)) <= len(catalogue.REQUIREMENTS)


def test_what_compiles_shares_no_dtype_between_two_workers() -> None:
    """What the columns of a dtype have in common would be compiled twice; but one dtype alone is taken apart."""
    standard = Selection(frameworks=("jax",), reduced=reduced_effort((), TestProfile.STANDARD))
    piles = [{column.dtype for column in each.header.columns.values()} for each in shards(standard, cores=2)]
    assert piles == [{"float32", "float64"}, {"float16", "bfloat16"}]
    quick = shards(Selection(frameworks=("jax",), profile=TestProfile.QUICK), cores=2)
    assert [{column.dtype for column in each.header.columns.values()} for each in quick] == [{"float32"}] * 2


@pytest.mark.parametrize("name", ["torch.nn.functional.kl_div", "my_kl"])
def test_where_a_shape_takes_seconds_a_case_brings_none_of_its_own(name: str) -> None:
    """A known implementation is asked it only in a shape that is asked anyway; a kernel that is brought in any."""
    requirement, own = catalogue.requirement("modes/compiled"), asked(name=name)
    found = {each.pair.shape for each in fixed_problems(requirement, own, TestProfile.STANDARD) if each.case}
    assert (found <= set(shapes(requirement, own, TestProfile.STANDARD))) == (name != "my_kl")
    assert (3, 5) in found


class Undecided(CellAccumulator):
    """What decides nothing until it has seen so much."""

    enough = 0

    def count(self, judgement: Judgement) -> None:
        """Count, and decide late."""
        self.problems += 1
        self.decisive = int(self.problems >= self.enough)


def test_what_was_left_out_is_asked_until_something_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no longer: each may have a shape of its own."""
    requirement = catalogue.requirement("gradients/odd")
    monkeypatch.setattr("kl_conformance.cells.cell.Tally", Undecided)
    pairs = [
        FixedProblem(build(Recipe("dirichlet-flat", (1, size), Dtype.FLOAT32, 0))) for size in (2, 3, 4, 5)
    ]

    def nothing(*_: object) -> Iterator[FixedProblem]:
        yield from ()

    def left(*_: object) -> Iterator[FixedProblem]:
        yield from pairs

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        yield passed(subject.problem(pair), subject.named)

    monkeypatch.setattr("kl_conformance.cells.cell.questions", nothing)
    monkeypatch.setattr("kl_conformance.cells.cell.left_out", left)
    told = replace(requirement, check=check)
    for enough in (1, 3, 9):
        monkeypatch.setattr(Undecided, "enough", enough)
        assert Cell(told, asked(), TestProfile.STANDARD, examples=0).evaluate().problems == min(
            enough, len(pairs)
        )


def test_where_nothing_decides_what_was_left_out_is_asked() -> None:
    """At 33 classes bfloat16 may decide nothing of a gradient; the requirement's other shapes are asked then."""
    requirement, compiled = catalogue.requirement("gradients/odd"), asked("bfloat16")
    compiled.compiles = True
    assert shapes(requirement, compiled, TestProfile.QUICK) == requirement.shapes[:1]
    others = list(omitted_problems(requirement, compiled, TestProfile.QUICK))
    assert [each.pair.shape for each in others if each.case is None] == list(requirement.shapes[1:])
    assert any(each.case for each in others)
    assert not any(each.case is None for each in omitted_problems(requirement, asked(), TestProfile.STANDARD))
