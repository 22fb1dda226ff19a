"""Formats are asked less: the second of two alike for its numbers or with a shorter search, in quick float32 alone."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance import verify
from kl_conformance.cells import effort
from kl_conformance.cells.effort import ALIKE, NUMBERS
from kl_conformance.harness.modes import EAGER
from kl_conformance.implementations import loading, registry
from kl_conformance.runs.plan import Plan
from kl_conformance.runs.selection import Selection, builtin_dtypes
from kl_conformance.runs.session import Session
from kl_conformance.runs.shards import shards
from kl_conformance_testkit.command import CORRECT, run_cli
from kl_reference.dtype import Dtype
from kl_reports.runfile.file import read

ALL = [dtype.label for dtype in Dtype]


@pytest.mark.parametrize(
    ("dtypes", "profile", "brief"),
    [
        ((), TestProfile.QUICK, {"float64", "bfloat16"}),
        (ALL, TestProfile.QUICK, {"float64", "bfloat16"}),
        (("float32", "float64"), TestProfile.QUICK, {"float64"}),
        (("float64", "bfloat16"), TestProfile.QUICK, set[str]()),
        (("float32", "bfloat16"), TestProfile.QUICK, set[str]()),
        ((), TestProfile.STANDARD, {"float64", "bfloat16"}),
        ((), TestProfile.THOROUGH, set[str]()),
    ],
)
def test_the_second_of_two_alike_is_asked_briefly(
    dtypes: tuple[str, ...], profile: TestProfile, brief: set[str]
) -> None:
    """Only where the first is asked, too, and never in the thorough profile."""
    assert set(effort.reduced_effort(dtypes, profile)) == brief


def test_the_numbers_of_every_format_are_asked() -> None:
    """Of a kernel every chapter is planned in one format of each size, and the numbers in all of them."""
    known = loading.implementation("torch.nn.functional.kl_div")
    implementation = replace(known, name="my_kl")
    every_mode = Selection(
        modes=(EAGER, *registry.framework("torch").compiled_modes), profile=TestProfile.QUICK
    )
    few = replace(every_mode, reduced=effort.reduced_effort((), TestProfile.QUICK))
    planned = Plan.of(few, [implementation]).cells
    whole = Plan.of(every_mode, [implementation]).cells
    seen = {(cell.column.mode, cell.column.dtype, cell.requirement.chapter) for cell in planned}
    every = {cell.requirement.chapter for cell in whole}
    for mode, dtype in product({each.column.mode for each in whole}, ALL):
        chapters = {chapter for *own, chapter in seen if own == [mode, dtype]}
        # A mode that is named is asked whole.
        assert chapters == (set(NUMBERS) if dtype in ALIKE and mode == EAGER else every)
    assert len(Plan.of(few, [known]).cells) == len(whole)


def test_the_quick_profile_asks_single_precision() -> None:
    """Of what is known: all formats where one or a mode is named, or another profile, and what takes no other."""
    known = loading.implementation("torch.nn.functional.kl_div")
    double = replace(known, dtypes=(Dtype.FLOAT64, Dtype.FLOAT16))
    quick = Selection(profile=TestProfile.QUICK)
    assert builtin_dtypes(quick, [known]) == ("float32",)
    assert builtin_dtypes(quick, [double]) == ("float64",)
    assert set(builtin_dtypes(quick, [known, double])) == {"float64", "float32"}
    assert builtin_dtypes(replace(quick, modes=("compile",)), [known]) == ()
    assert builtin_dtypes(replace(quick, dtypes=("float64",)), [known]) == ("float64",)
    assert builtin_dtypes(Selection(), [known]) == ()


def test_workers_are_given_these_formats() -> None:
    """In the quick profile, a kernel that is brought keeping all of its own."""
    quick = Selection(("scipy.special.rel_entr", CORRECT), profile=TestProfile.QUICK)
    asked = {each.name: {own.dtype for own in each.header.columns.values()} for each in shards(quick)}
    assert asked.pop("scipy") == {"float32"}
    assert asked.popitem()[1] == {"float32", "float64"}


def test_the_screen_says_so(tmp_path: Path) -> None:
    """And how to ask the others; where they are named each worker asks those that are its own, and in full."""
    line = ("run", "-k", "signs/direction", "--profile", "quick", "--seed", "1", "-o", "run.jsonl.gz")
    few = "in float32 (--dtype tests other dtypes)"
    assert f"seed 1, {few}." in run_cli(*line, "--framework", "scipy", at=tmp_path).err
    both = run_cli(*line, "--framework", "scipy", "--dtype", "float32", "--dtype", "float64", at=tmp_path).err
    judged = dict(
        re.findall(r"(scipy[ \d/]*): (\d+) of \d+ cells evaluated\n", both)
    )  # of as many as there are cores
    assert sum(map(int, judged.values())) == 6
    named = run_cli(*line, "--framework", "scipy", "--dtype", "float64", at=tmp_path)
    assert "seed 1." in named.err
    assert {each.dtype for each in read(tmp_path / "run.jsonl.gz").header.columns.values()} == {"float64"}
    assert "seed 1." in run_cli(*line, CORRECT, at=tmp_path).err


def test_a_verification_asks_so() -> None:
    """`verify` in Python and on the command line leave out the same."""
    found = verify(CORRECT, profile="quick", seed=1, dtype=("float32", "float64"))
    assert found.conforms, str(found)
    columns = found.run.header.columns
    asked = {(columns[each.column].dtype, each.requirement.partition("/")[0]) for each in found.run.results}
    assert ("float32", "layouts") in asked
    assert ("float64", "values") in asked
    assert ("float64", "layouts") not in asked


def test_standard_asks_all_requirements_and_searches_less() -> None:
    """In the standard profile nothing is left out, and the second of two alike has fewer drawn problems."""
    selection = Selection(
        dtypes=("float32", "float64"), profile=TestProfile.STANDARD, seed=1, reduced=("float64",)
    )
    implementation = loading.implementation(CORRECT)
    session, problems = Session(selection), dict[str, int]()
    planned = Plan.of(selection, [implementation]).cells
    assert {cell.column.dtype for cell in planned if cell.requirement.chapter == "layouts"} == {
        "float32",
        "float64",
    }
    for cell in planned:
        if cell.requirement.id == "signs/pointwise":
            problems[cell.column.dtype] = session.evaluate(cell).problems
    assert problems["float64"] < problems["float32"]
