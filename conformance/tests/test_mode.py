"""Compiled columns: every call of theirs is compiled, and what a compiler refuses is a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kl_cases.problems import Profile
from kl_conformance import catalogue, registry
from kl_conformance.cell import Cell
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.implementation import Implementation
from kl_conformance.mode import EAGER, modes, ran, spared
from kl_conformance.plan import Planned, Selection
from kl_conformance.session import Session
from kl_conformance.sketch import Sketch
from kl_conformance.subject import Subject
from kl_conformance.transform import Function, Transform
from kl_reports.result import Column, Result, Verdict
from kl_trials.asked import MODULES

COLUMN = Column("sketch", "numpy", "1", "cpu", "float64", "fast")


class Compiling(NumPy):
    """NumPy with a compiler that counts, and refuses what it is told to."""

    transforms = frozenset({Transform.COMPILED})
    compilers = ("it",)
    compiled_modes: Mapping[str, str] = MappingProxyType({"fast": "it"})

    def __init__(self, *, refuses: bool = False, off: float = 0.0) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.refuses = refuses
        self.off = off

    def compiled(self, modules: Any, compiler: str, function: Function) -> Function:
        """Return the function, which notes the shape when it is first called with it."""
        if self.refuses:
            raise RuntimeError(f"{compiler} cannot be lowered")

        def made(target: Any, model: Any) -> Any:
            self.shapes.append(target.shape)
            return function(target, model) + self.off

        return made


def sketch() -> Implementation:
    """Return a right implementation that promises to be compiled."""
    return replace(Sketch().implementation(), transforms=frozenset({Transform.COMPILED}))


def settled(framework: Compiling, requirement: str = "values/pointwise") -> Result:
    """Return the verdict of a cell of the compiled column."""
    own = ran(sketch(), framework, MODULES, "fast")
    asked = Subject(own, framework, MODULES, COLUMN)
    return Cell(catalogue.requirement(requirement), asked, Profile.QUICK).settle()


def test_every_call_goes_through_the_compiler() -> None:
    """A right function compiled right is right, and none of its answers came from elsewhere."""
    framework = Compiling()
    assert settled(framework).verdict is Verdict.PASS
    assert framework.shapes


def test_a_compiler_s_fault_is_the_column_s() -> None:
    """What is wrong only when compiled is broken only there."""
    assert settled(Compiling(off=1e-3)).verdict is Verdict.FAIL
    eager = ran(sketch(), Compiling(off=1e-3), MODULES, EAGER)
    asked = Subject(eager, Compiling(off=1e-3), MODULES, replace(COLUMN, mode=EAGER))
    assert (
        Cell(catalogue.requirement("values/pointwise"), asked, Profile.QUICK).settle().verdict is Verdict.PASS
    )


def test_what_a_compiler_refuses_is_broken() -> None:
    """A compiler that raises leaves a verdict with its words, and no failure of the harness."""
    result = settled(Compiling(refuses=True))
    assert result.verdict is Verdict.FAIL
    assert "it cannot be lowered" in result.detail


def test_compiled_columns_are_of_those_who_promise_it() -> None:
    """A stateful metric has no compiled column, a loss has one for each compiler of its framework."""
    names = (
        "keras.metrics.KLDivergence",
        "keras.losses.KLDivergence",
        "torch.nn.KLDivLoss",
        "scipy.stats.entropy",
    )
    found = []
    for name in names:
        own = registry.implementation(name)
        found.append(modes(own, registry.framework(own.framework)))
    assert found == [("eager",), ("eager", "graph", "xla"), ("eager", "compile"), ("eager",)]


def test_a_compiled_column_is_asked_what_compiling_can_change() -> None:
    """Answers and gradients are asked of compiled calls; what is not says where it is asked."""
    asked = {each.chapter for each in catalogue.REQUIREMENTS.values() if spared(each, "fast") is None}
    assert asked == {"values", "support", "reductions", "gradients"}
    assert all(spared(each, EAGER) is None for each in catalogue.REQUIREMENTS.values())
    own = registry.implementation("scipy.special.rel_entr")
    cell = Planned(catalogue.requirement("state/fresh"), own, replace(COLUMN, implementation=own.name))
    result = Session(Selection(profile=Profile.QUICK)).settle(cell)
    assert result.verdict is Verdict.UNSUPPORTED
    assert "column eager" in result.detail
