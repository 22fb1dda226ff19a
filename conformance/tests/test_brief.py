"""A quick verification asks the second of two formats alike for its numbers alone, and says nothing of the rest."""

from __future__ import annotations

import pytest

from kl_cases.problems import Profile
from kl_conformance import plan, registry, verify
from kl_conformance.plan import ALIKE, NUMBERS
from kl_reference.dtype import Dtype
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
        ((), Profile.STANDARD, set[str]()),
        ((), Profile.THOROUGH, set[str]()),
    ],
)
def test_the_second_of_two_alike_is_asked_briefly(
    dtypes: tuple[str, ...], profile: Profile, brief: set[str]
) -> None:
    """Only where the first is asked, too, and only in the quick profile."""
    assert set(plan.brief(dtypes, profile)) == brief


def test_the_numbers_of_every_format_are_asked() -> None:
    """A verification plans every chapter in one format of each size, and the numbers in all of them."""
    implementation = registry.implementation("torch.nn.functional.kl_div")
    asked = [(implementation, column) for column in plan.columns(implementation)]
    planned = plan.planned(asked, brief=plan.brief((), Profile.QUICK))
    whole = plan.planned(asked)
    seen = {(cell.column.dtype, cell.requirement.chapter) for cell in planned}
    for dtype in ALL:
        chapters = {chapter for own, chapter in seen if own == dtype}
        every = {cell.requirement.chapter for cell in whole}
        assert chapters == (set(NUMBERS) if dtype in ALIKE else every)


def test_a_verification_asks_so() -> None:
    """`verify` in Python and on the command line leave out the same."""
    found = verify(RIGHT, profile="quick", seed=1, dtype=("float32", "float64"))
    assert found.conforms, str(found)
    columns = found.run.header.columns
    asked = {(columns[each.column].dtype, each.requirement.partition("/")[0]) for each in found.run.results}
    assert ("float32", "layouts") in asked
    assert ("float64", "values") in asked
    assert ("float64", "layouts") not in asked
