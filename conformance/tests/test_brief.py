"""A verification asks the second of two formats alike less: its numbers alone, or with a shorter search."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from kl_cases.problems import Profile
from kl_conformance import catalogue, plan, registry, verify
from kl_conformance.mode import EAGER
from kl_conformance.plan import ALIKE, NUMBERS, Planned, Selection
from kl_conformance.session import Session
from kl_reference.dtype import Dtype
from kl_reports.result import Verdict
from kl_trials.command import RIGHT

ALL = [dtype.label for dtype in Dtype]


@pytest.mark.parametrize(
    ("dtypes", "profile", "brief"),
    [
        ((), Profile.QUICK, {"float64", "bfloat16"}),
        (ALL, Profile.QUICK, {"float64", "bfloat16"}),
        (("float32", "float64"), Profile.QUICK, {"float64"}),
        (("float64", "bfloat16"), Profile.QUICK, set[str]()),
        (("float32", "bfloat16"), Profile.QUICK, set[str]()),
        ((), Profile.STANDARD, {"float64", "bfloat16"}),
        ((), Profile.THOROUGH, set[str]()),
    ],
)
def test_the_second_of_two_alike_is_asked_briefly(
    dtypes: tuple[str, ...], profile: Profile, brief: set[str]
) -> None:
    """Only where the first is asked, too, and never in the thorough profile."""
    assert set(plan.brief(dtypes, profile)) == brief


def test_the_numbers_of_every_format_are_asked() -> None:
    """Of a kernel every chapter is planned in one format of each size, and the numbers in all of them."""
    known = registry.implementation("torch.nn.functional.kl_div")
    implementation = replace(known, name="my_kl")
    asked = [(implementation, column) for column in plan.columns(implementation)]
    planned = plan.planned(asked, numbers=plan.brief((), Profile.QUICK))
    whole = plan.planned(asked)
    seen = {(cell.column.mode, cell.column.dtype, cell.requirement.chapter) for cell in planned}
    every = {cell.requirement.chapter for cell in whole}
    for mode, dtype in product({each.column.mode for each in whole}, ALL):
        chapters = {chapter for *own, chapter in seen if own == [mode, dtype]}
        # A mode that is named is asked whole.
        assert chapters == (set(NUMBERS) if dtype in ALIKE and mode == EAGER else every)
    assert len(plan.planned([(known, column) for _, column in asked], numbers=tuple(ALIKE))) == len(whole)


def test_a_quick_run_says_what_it_does_not_ask_of_the_second_format() -> None:
    """Its cells beside the numbers are MISSING, with the reason, and are judged where it alone is asked."""
    known = registry.implementation("scipy.special.rel_entr")
    column = next(each for each in plan.columns(known) if each.dtype == "float64")
    odd, pointwise = (
        Planned(catalogue.requirement(name), known, column) for name in ("layouts/odd", "values/pointwise")
    )
    beside = Session(Selection(profile=Profile.QUICK, brief=plan.brief((), Profile.QUICK)))
    alone = Session(Selection(profile=Profile.QUICK, brief=plan.brief(("float64",), Profile.QUICK)))
    spared = beside.settle(odd)
    assert spared.verdict is Verdict.MISSING
    assert "profile quick asks float64 chapters values" in spared.detail
    assert spared.detail.endswith("the others of float32")
    assert beside.settle(pointwise).verdict is Verdict.PASS
    assert alone.settle(odd).verdict is Verdict.PASS


def test_a_verification_asks_so() -> None:
    """`verify` in Python and on the command line leave out the same."""
    found = verify(RIGHT, profile="quick", seed=1, dtype=("float32", "float64"))
    assert found.conforms, str(found)
    columns = found.run.header.columns
    asked = {(columns[each.column].dtype, each.requirement.partition("/")[0]) for each in found.run.results}
    assert ("float32", "layouts") in asked
    assert ("float64", "values") in asked
    assert ("float64", "layouts") not in asked


def test_standard_asks_all_requirements_and_searches_less() -> None:
    """In the standard profile nothing is left out, and the second of two alike has fewer drawn problems."""
    selection = Selection(dtypes=("float32", "float64"), profile=Profile.STANDARD, seed=1, brief=("float64",))
    implementation = registry.implementation(RIGHT)
    session, problems = Session(selection), dict[str, int]()
    asked = [each for each in plan.columns(implementation) if selection.wants(each)]
    planned = plan.planned(((implementation, column) for column in asked), numbers=selection.numbers)
    assert {cell.column.dtype for cell in planned if cell.requirement.chapter == "layouts"} == {
        "float32",
        "float64",
    }
    for cell in planned:
        if cell.requirement.id == "signs/pointwise":
            problems[cell.column.dtype] = session.settle(cell).problems
    assert problems["float64"] < problems["float32"]
