"""A package that one implementation needs beside its framework is nobody else's affair."""

from __future__ import annotations

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
from kl_reports.runfile.records import Result, Verdict

OWN = loading.implementation("scipy.special.rel_entr")


def settled(session: Session, *needs: str) -> Result:
    """Return the verdict of one cell, of SciPy's function with further needs."""
    needy = replace(OWN, name=f"needy of {needs}", package="a-distribution", requires=needs)
    column = columns_of(needy)[0]
    return session.evaluate(PlannedCell(catalogue.REQUIREMENTS["signs/pointwise"], needy, column))


def test_what_is_not_installed_is_missing_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its cells are MISSING with the reason and the command that helps; others of the framework are judged."""
    (tmp_path / "breaks_when_imported.py").write_text("import json\nraise OSError('no libfoo')\n", "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    session = Session(Selection(profile=TestProfile.QUICK))
    absent, broken = settled(session, "no_such_package.inner"), settled(session, "breaks_when_imported")
    assert (absent.verdict, broken.verdict) == (Verdict.MISSING, Verdict.MISSING)
    assert absent.detail.startswith("no_such_package.inner is not installed (")
    assert absent.detail.endswith("install it with pip install a-distribution")
    assert "breaks_when_imported fails to import (OSError: no libfoo)" in broken.detail
    assert settled(session).verdict is Verdict.PASS
    assert settled(session, "json").verdict is Verdict.PASS


def test_what_is_brought_is_an_attribute() -> None:
    """Of ``a.b`` the package ``a`` is the attribute, with ``b`` imported; what is absent is tried once."""
    modules = Modules({"np": object()})
    assert modules.require("json.decoder") is json
    assert modules.json.decoder is json.decoder
    for _ in range(2):
        with pytest.raises(AbsentError, match="pip install no_such_package"):
            modules.require("no_such_package")
    assert not hasattr(modules, "no_such_package")


def test_a_process_has_keras_on_one_backend() -> None:
    """Keras on a backend other than the one asked for gives no answer, and says how to ask."""
    asked = loading.implementation("keras.losses.kl_divergence(torch)")
    backend = SimpleNamespace(backend=lambda: "jax")
    modules = Modules({"keras": SimpleNamespace(backend=backend)})
    with pytest.raises(AbsentError, match="Keras runs on jax in this process; unset KERAS_BACKEND"):
        asked.call(modules, cast(Any, None))


@pytest.mark.parametrize("by", ["torch", "jax"])
def test_a_script_says_which_backend_before_keras_is_imported(by: str) -> None:
    """Keras reads its backend when it is imported; it is called by its own name on each."""
    name = f"keras.losses.KLDivergence({by})"
    *_, line = LIBRARIES[by].imports(name)
    assert line.index(f"'KERAS_BACKEND'] = '{by}'") < line.index("import keras")
    column = columns_of(loading.implementation(name))[0]
    operands = {Side.TARGET: "p", Side.MODEL: "q"}
    text = call_of(column, called(loading.implementation(name)), operands, None)
    assert text == "keras.losses.KLDivergence(dtype='float32')(p, q)"


def test_every_framework_loads_without_the_packages_of_its_implementations() -> None:
    """What an implementation needs is not its framework, whose own name another package may not bear."""
    for each in registry.IMPLEMENTATIONS.values():
        assert each.framework not in {need.partition(".")[0] for need in each.requires}
        assert each.package in {each.framework, "paddlepaddle", "tensorflow-probability"} or each.requires


def test_a_column_s_arithmetic_is_measured_once() -> None:
    """Its first result says what was measured, no other does; nor is it measured quickly, or of kernels brought."""
    session = Session(Selection(profile=TestProfile.STANDARD))
    cells = [
        PlannedCell(catalogue.REQUIREMENTS[name], OWN, columns_of(OWN)[0])
        for name in ("signs/self", "signs/gibbs")
    ]
    first, second = (session.evaluate(cell) for cell in cells)
    assert first.arithmetic.startswith("computes in float64")
    assert second.arithmetic == ""
    assert settled(session).arithmetic == ""
    assert Session(Selection(profile=TestProfile.QUICK)).settle(cells[0]).arithmetic == ""
