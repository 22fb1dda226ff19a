"""A selection is equal after a round trip through its file, and resolves to a plan."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.implementations import loading
from kl_conformance.requirements.catalogue import CHAPTERS
from kl_conformance.runs.plan import Plan, resolve
from kl_conformance.runs.selection import Selection
from kl_conformance_testkit.command import run_suite

FULL = Selection(
    implementations=("a.py:é", "torch.nn.KLDivLoss"),
    frameworks=("torch",),
    devices=("cpu",),
    dtypes=("float32", "float64"),
    modes=("eager", "compile"),
    profile=TestProfile.QUICK,
    seed=2**32 - 1,
    like="torch.nn.functional.kl_div",
    strict=True,
    shape=(8, 131072),
    reduced=("float64",),
    column_keys=("one-column",),
)


@pytest.mark.parametrize("selection", [Selection(), FULL], ids=["default", "full"])
def test_a_selection_from_its_json_is_equal(selection: Selection) -> None:
    """Every field has its value and its type."""
    assert Selection.from_json(json.loads(json.dumps(selection.to_json()))) == selection


def test_every_field_is_in_the_full_selection() -> None:
    """The round trip covers a new field, too."""
    default = Selection()
    assert all(getattr(FULL, each.name) != getattr(default, each.name) for each in fields(Selection))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"dtypes": "float32"}, "the field 'dtypes' of the selection is 'float32', expected a list of names"),
        ({"column_keys": [1]}, "'column_keys' of the selection is [1], expected a list of names"),
        ({"profile": "fast"}, "'fast', expected one of quick, standard, thorough"),
        ({"seed": True}, "'seed' of the selection is True, expected an integer"),
        ({"like": None}, "'like' of the selection is None, expected a name"),
        ({"strict": 1}, "'strict' of the selection is 1, expected true or false"),
        ({"shape": [8]}, "'shape' of the selection is [8], expected null or [rows, classes]"),
        ({"shape": [0, 8]}, "expected null or [rows, classes]"),
        ({"dtype": []}, "unknown field of a selection 'dtype'; did you mean 'dtypes'?"),
    ],
    ids=range(9),
)
def test_a_bad_value_is_named(changed: dict[str, Any], message: str) -> None:
    """The message contains the field, its value and the expected type."""
    with pytest.raises(ValueError, match="selection") as error:
        Selection.from_json(FULL.to_json() | changed)
    assert message in str(error.value)


def test_an_invalid_selection_is_an_error() -> None:
    """Another type is an error, and so is a missing field."""
    with pytest.raises(ValueError, match="expected an object"):
        Selection.from_json([])
    with pytest.raises(ValueError, match="no field 'seed'"):
        Selection.from_json({name: value for name, value in FULL.to_json().items() if name != "seed"})


def test_a_session_reads_its_selection_from_a_file(tmp_path: Path) -> None:
    """The file replaces the options; an invalid file is an error of usage."""
    selection = Selection(("scipy.special.rel_entr",), dtypes=("float64",), profile=TestProfile.QUICK)
    (tmp_path / "selection.json").write_text(json.dumps(selection.to_json()), encoding="utf-8")
    options = ("--collect-only", "-q", "-k", "signs")
    done = run_suite("--kl-selection", "selection.json", *options, at=tmp_path)
    assert done.code == 0, done.all
    keys = [cell.key for cell in resolve(selection).chapter("signs")]
    assert keys
    assert all(f"::test_signs[{key}]" in done.out for key in keys)
    (tmp_path / "bad.json").write_text(json.dumps(selection.to_json() | {"seed": "x"}), encoding="utf-8")
    done = run_suite("--kl-selection", "bad.json", *options, at=tmp_path)
    assert done.code == 4, done.all
    assert "bad.json: the field 'seed' of the selection is 'x', expected an integer" in done.err


def test_a_plan_has_the_selected_shape_and_columns() -> None:
    """The plan of a name and of its implementation are equal."""
    selection = Selection(("scipy.stats.entropy",), dtypes=("float32",), shape=(8, 16))
    plan = resolve(selection)
    assert plan == Plan.of(selection, [loading.implementation("scipy.stats.entropy")])
    assert [column.dtype for column in plan.columns] == ["float32"]
    assert {cell.implementation.typical_shape for cell in plan.cells} == {(8, 16)}
    assert [cell for chapter in CHAPTERS for cell in plan.chapter(chapter)] == list(plan.cells)
    assert not resolve(replace(selection, devices=("cuda",))).cells
