"""Effort by dtype: numeric chapters alone or a shorter search in the second of two similar dtypes; float32 in quick."""

import re
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance import verify
from kl_conformance.cells import effort
from kl_conformance.cells.effort import NUMERIC_CHAPTERS, SIMILAR_DTYPES, builtin_dtypes
from kl_conformance.harness.modes import EAGER
from kl_conformance.implementations import loading, registry
from kl_conformance.runs.plan import Plan
from kl_conformance.runs.selection import Selection
from kl_conformance.runs.session import Session
from kl_conformance.runs.shards import shards
from kl_conformance_testkit.command import CORRECT, run_cli
from kl_reference.dtype import Dtype
from kl_reports.runfile.file import read

ALL = [dtype.label for dtype in Dtype]


@pytest.mark.parametrize(
    ("dtypes", "profile", "reduced"),
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
def test_the_second_of_two_similar_dtypes_is_reduced(
    dtypes: tuple[str, ...], profile: TestProfile, reduced: set[str]
) -> None:
    """Only where the first is tested as well, and never in the thorough profile."""
    assert set(effort.reduced_dtypes(dtypes, profile)) == reduced


def test_user_kernels_have_the_numeric_chapters_in_every_dtype() -> None:
    """All chapters are planned in one dtype of each size, and in all modes other than eager."""
    builtin = loading.implementation("torch.nn.functional.kl_div")
    implementation = replace(builtin, name="my_kl")
    every_mode = Selection(modes=(EAGER, *registry.framework("torch").compiled_modes), profile=TestProfile.QUICK)
    few = replace(every_mode, reduced=effort.reduced_dtypes((), TestProfile.QUICK))
    planned = Plan.of(few, [implementation]).cells
    whole = Plan.of(every_mode, [implementation]).cells
    seen = {(cell.column.mode, cell.column.dtype, cell.requirement.chapter) for cell in planned}
    every = {cell.requirement.chapter for cell in whole}
    for mode, dtype in product({each.column.mode for each in whole}, ALL):
        chapters = {chapter for *own, chapter in seen if own == [mode, dtype]}
        assert chapters == (set(NUMERIC_CHAPTERS) if dtype in SIMILAR_DTYPES and mode == EAGER else every)
    assert len(Plan.of(few, [builtin]).cells) == len(whole)


def test_the_quick_profile_tests_built_in_implementations_in_float32() -> None:
    """Where a dtype or a mode is selected, and in the other profiles, in all dtypes."""
    builtin = loading.implementation("torch.nn.functional.kl_div")
    double = replace(builtin, dtypes=(Dtype.FLOAT64, Dtype.FLOAT16))
    quick = TestProfile.QUICK
    assert builtin_dtypes((), (), quick, [builtin]) == ("float32",)
    assert builtin_dtypes((), (), quick, [double]) == ("float64",)
    assert set(builtin_dtypes((), (), quick, [builtin, double])) == {"float64", "float32"}
    assert builtin_dtypes((), ("compile",), quick, [builtin]) == ()
    assert builtin_dtypes(("float64",), (), quick, [builtin]) == ("float64",)
    assert builtin_dtypes((), (), TestProfile.STANDARD, [builtin]) == ()


def test_shards_have_these_dtypes() -> None:
    """In the quick profile; a user kernel has all of its own."""
    quick = Selection(("scipy.special.rel_entr", CORRECT), profile=TestProfile.QUICK)
    found = {each.name: {own.dtype for own in each.header.columns.values()} for each in shards(quick)}
    assert found.pop("scipy") == {"float32"}
    assert found.popitem()[1] == {"float32", "float64"}


def test_the_screen_names_these_dtypes(tmp_path: Path) -> None:
    """And the option for the others; selected dtypes are tested with full effort."""
    line = ("run", "-k", "signs/direction", "--profile", "quick", "--seed", "1", "-o", "run.jsonl.gz")
    few = "in float32 (--dtype tests other dtypes)"
    assert f"seed 1, {few}." in run_cli(*line, "--framework", "scipy", at=tmp_path).err
    both = run_cli(*line, "--framework", "scipy", "--dtype", "float32", "--dtype", "float64", at=tmp_path).err
    judged = dict(re.findall(r"(scipy[ \d/]*): (\d+) of \d+ cells evaluated\n", both))  # of as many as there are cores
    assert sum(map(int, judged.values())) == 6
    named = run_cli(*line, "--framework", "scipy", "--dtype", "float64", at=tmp_path)
    assert "seed 1." in named.err
    assert {each.dtype for each in read(tmp_path / "run.jsonl.gz").header.columns.values()} == {"float64"}
    assert "seed 1." in run_cli(*line, CORRECT, at=tmp_path).err


def test_verify_has_the_same_effort() -> None:
    """`verify` in Python leaves out the same chapters as the command line."""
    found = verify(CORRECT, profile="quick", seed=1, dtype=("float32", "float64"))
    assert found.conforms, str(found)
    columns = found.run.header.columns
    tested = {(columns[each.column].dtype, each.requirement.partition("/")[0]) for each in found.run.results}
    assert ("float32", "layouts") in tested
    assert ("float64", "values") in tested
    assert ("float64", "layouts") not in tested


def test_the_standard_profile_searches_less_in_a_reduced_dtype() -> None:
    """Every requirement is planned, and the second of two similar dtypes has fewer drawn problems."""
    selection = Selection(dtypes=("float32", "float64"), profile=TestProfile.STANDARD, seed=1, reduced=("float64",))
    implementation = loading.implementation(CORRECT)
    session, problems = Session(selection), dict[str, int]()
    planned = Plan.of(selection, [implementation]).cells
    assert {cell.column.dtype for cell in planned if cell.requirement.chapter == "layouts"} == {"float32", "float64"}
    for cell in planned:
        if cell.requirement.id == "signs/pointwise":
            problems[cell.column.dtype] = session.evaluate(cell).problems
    assert problems["float64"] < problems["float32"]
