"""A package that one implementation requires affects no other implementation."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.diagnosis.dialect import call_of
from kl_conformance.diagnosis.libraries import LIBRARIES
from kl_conformance.errors import AbsentError
from kl_conformance.frameworks.framework import Modules
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements import catalogue
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_conformance_testkit.witness import called
from kl_reference.convention import Side
from kl_reports.runfile.records import Absence, Result, Verdict

OWN = loading.implementation("scipy.special.rel_entr")


def evaluated(session: Session, *requires: str) -> Result:
    """Return the result of one cell of SciPy's function with additional required modules."""
    own = replace(OWN, name=f"requires {requires}", package="a-distribution", requires=requires)
    column = columns_of(own)[0]
    return session.evaluate(PlannedCell(catalogue.REQUIREMENTS["signs/pointwise"], own, column))


def test_only_cells_that_require_a_missing_package_are_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells are MISSING with the reason and the command that helps; others of the framework are judged."""
    (tmp_path / "breaks_when_imported.py").write_text("import json\nraise OSError('no libfoo')\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    session = Session(Selection(profile=TestProfile.QUICK))
    absent, defective = (evaluated(session, "no_such_package.inner"), evaluated(session, "breaks_when_imported"))
    assert (absent.verdict, defective.verdict) == (Verdict.MISSING, Verdict.MISSING)
    assert absent.absence is defective.absence is Absence.NOT_INSTALLED
    assert absent.detail.startswith("no_such_package.inner is not installed (")
    assert absent.detail.endswith("install it with pip install a-distribution")
    assert "breaks_when_imported fails to import (OSError: no libfoo)" in defective.detail
    assert evaluated(session).verdict is Verdict.PASS
    assert evaluated(session, "json").verdict is Verdict.PASS


def test_a_cell_on_an_absent_device_has_the_code_of_its_absence() -> None:
    """It is MISSING for lack of a device, whatever the text of the reason."""
    column = replace(columns_of(OWN)[0], device="cuda")
    planned = PlannedCell(catalogue.REQUIREMENTS["signs/pointwise"], OWN, column)
    result = Session(Selection(profile=TestProfile.QUICK)).evaluate(planned)
    assert (result.verdict, result.absence) == (Verdict.MISSING, Absence.NO_DEVICE)


def test_a_required_package_becomes_an_attribute() -> None:
    """For ``a.b`` the attribute is ``a``, with ``b`` imported; a failed import is not repeated."""
    modules = Modules({"np": object()})
    assert modules.require("json.decoder") is json
    assert modules.json.decoder is json.decoder
    for _ in range(2):
        with pytest.raises(AbsentError, match="pip install no_such_package"):
            modules.require("no_such_package")
    assert not hasattr(modules, "no_such_package")


def test_a_process_has_keras_on_one_backend() -> None:
    """Keras on another backend than the one under test raises; the message describes how to test it."""
    tested = loading.implementation("keras.losses.kl_divergence(torch)")
    backend = SimpleNamespace(backend=lambda: "jax")
    modules = Modules({"keras": SimpleNamespace(backend=backend)})
    with pytest.raises(AbsentError, match="Keras runs on jax in this process; unset KERAS_BACKEND"):
        tested.call(modules, cast(Any, None))


@pytest.mark.parametrize("by", ["torch", "jax"])
def test_a_script_selects_the_backend_before_it_imports_keras(by: str) -> None:
    """Keras reads its backend when it is imported; it is called by its own name on each."""
    name = f"keras.losses.KLDivergence({by})"
    *_, line = LIBRARIES[by].imports(name, by)
    assert line.index(f"'KERAS_BACKEND'] = '{by}'") < line.index("import keras")
    column = columns_of(loading.implementation(name))[0]
    operands = {Side.TARGET: "p", Side.MODEL: "q"}
    text = call_of(column, called(loading.implementation(name)), operands, None)
    assert text == "keras.losses.KLDivergence(dtype='float32')(p, q)"


def test_every_framework_loads_without_the_packages_of_its_implementations() -> None:
    """The required modules of an implementation do not include its framework; other packages are required."""
    for each in registry.IMPLEMENTATIONS.values():
        assert each.framework not in {module.partition(".")[0] for module in each.requires}
        assert each.package in {each.framework, "paddlepaddle", "tensorflow-probability"} or each.requires


def test_a_column_s_arithmetic_is_measured_once() -> None:
    """Only its first result has the measurement; the quick profile and user kernels have none."""
    session = Session(Selection(profile=TestProfile.STANDARD))
    cells = [
        PlannedCell(catalogue.REQUIREMENTS[name], OWN, columns_of(OWN)[0]) for name in ("signs/self", "signs/gibbs")
    ]
    first, second = (session.evaluate(cell) for cell in cells)
    assert first.arithmetic.startswith("computes in float64")
    assert second.arithmetic == ""
    assert evaluated(session).arithmetic == ""
    assert Session(Selection(profile=TestProfile.QUICK)).evaluate(cells[0]).arithmetic == ""
