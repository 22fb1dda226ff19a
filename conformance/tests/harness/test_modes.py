"""Compiled columns: every call of theirs is compiled, and what a compiler refuses is a verdict."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.fixed_problems import fixed_problems
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Modules
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.frameworks.transform import Function, Transform
from kl_conformance.harness.modes import CHAPTERS, EAGER, modes, ran, skipped
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Miniature
from kl_conformance.runs.plan import PlannedCell, resolve
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_conformance_testkit.subjects import MODULES
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column, Result, Verdict

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
    return replace(Miniature().implementation(), transforms=frozenset({Transform.COMPILED}))


def settled(framework: Compiling, requirement: str = "values/pointwise") -> Result:
    """Return the verdict of a cell of the compiled column."""
    own = ran(sketch(), framework, MODULES, "fast")
    asked = Subject(own, framework, MODULES, COLUMN)
    return Cell(catalogue.requirement(requirement), asked, TestProfile.QUICK).evaluate()


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
        Cell(catalogue.requirement("values/pointwise"), asked, TestProfile.QUICK).evaluate().verdict
        is Verdict.PASS
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
        own = loading.implementation(name)
        found.append(modes(own, registry.framework(own.framework)))
    assert found == [("eager",), ("eager", "graph", "xla"), ("eager", "compile"), ("eager",)]


def test_a_compiled_column_is_asked_what_compiling_can_change() -> None:
    """Answers and gradients are asked of compiled calls; what is not says where it is asked."""
    asked = {
        each.chapter for each in catalogue.REQUIREMENTS.values() if skipped(each.chapter, "fast") is None
    }
    assert asked == {"values", "support", "reductions", "gradients"}
    assert all(skipped(each.chapter, EAGER) is None for each in catalogue.REQUIREMENTS.values())
    own = loading.implementation("scipy.special.rel_entr")
    cell = PlannedCell(catalogue.requirement("state/fresh"), own, replace(COLUMN, implementation=own.name))
    result = Session(Selection(profile=TestProfile.QUICK)).evaluate(cell)
    assert result.verdict is Verdict.UNSUPPORTED
    assert "column eager" in result.detail


def test_old_arguments_are_asked_of_calls_as_they_are_made() -> None:
    """What Python reads once, when a call is compiled, is no question for the compiled call."""
    assert settled(Compiling(), "reductions/legacy").verdict is Verdict.UNSUPPORTED
    eager = Subject(sketch(), Compiling(), MODULES, replace(COLUMN, mode=EAGER))
    assert (
        Cell(catalogue.requirement("reductions/legacy"), eager, TestProfile.QUICK).evaluate().verdict
        is Verdict.PASS
    )


class Slow(Compiling):
    """A compiler that takes seconds for every shape."""

    slow_transforms = frozenset({Transform.COMPILED})


def sizes(framework: Compiling, chapter: str, profile: TestProfile) -> set[tuple[int, ...]]:
    """Return the shapes of all that a compiled column is asked in one chapter."""
    own = Subject(ran(sketch(), framework, MODULES, "fast"), framework, MODULES, COLUMN)
    asked = (pair for each in catalogue.CHAPTERS[chapter] for pair, *_ in fixed_problems(each, own, profile))
    return {each.values.shape for pair in asked for each in (pair.p, pair.q)}


def test_what_a_compiler_rules_out_is_not_asked() -> None:
    """torch.compile differentiates once and backwards; the other derivatives are not asked of what it compiled."""
    own = loading.implementation("torch.nn.functional.kl_div")
    framework = registry.framework("torch")
    column = replace(COLUMN, implementation=own.name, framework="torch", dtype="float32", mode="compile")
    for mode, asked in (("compile", False), (EAGER, True)):
        subject = Subject(
            ran(own, framework, Modules(), mode), framework, Modules(), replace(column, mode=mode)
        )
        for name in ("gradients/second-order", "gradients/forward-mode"):
            assert (catalogue.requirement(name).applies(subject) is None) is asked
        assert catalogue.requirement("gradients/model").applies(subject) is None


def test_where_a_shape_takes_seconds_few_are_asked_in_haste() -> None:
    """A slow compiler is asked fewer shapes than a fast one in the quick profile, and as many in the thorough one."""
    for chapter in CHAPTERS:
        few, many = (sizes(framework, chapter, TestProfile.QUICK) for framework in (Slow(), Compiling()))
        assert few < many
        assert {(3, 5), (8, 31)} & few, chapter
        assert sizes(Slow(), chapter, TestProfile.THOROUGH) == sizes(
            Compiling(), chapter, TestProfile.THOROUGH
        )


def test_what_decides_nothing_is_asked_in_other_dtypes_cases() -> None:
    """A compiled column is spared the cases of other dtypes only where its own can break a requirement."""
    requirement = replace(catalogue.requirement("gradients/boundary"), families=())
    framework = Compiling()
    subject = Subject(ran(sketch(), framework, MODULES, "fast"), framework, MODULES, COLUMN)
    assert not list(fixed_problems(requirement, subject, TestProfile.QUICK))
    result = Cell(requirement, subject, TestProfile.QUICK).evaluate()
    assert result.verdict is Verdict.PASS
    assert result.problems


class Settable(NumPy):
    """NumPy with a setting, and a note of under which one it is asked."""

    setting_modes: Mapping[str, frozenset[Dtype]] = MappingProxyType({"x32": frozenset({Dtype.FLOAT32})})

    def __init__(self) -> None:
        self.mode = EAGER
        self.seen: set[tuple[str, str]] = set()

    @contextmanager
    def mode_context(self, modules: Modules, mode: str) -> Generator[None]:
        """Set the mode for as long as the region lasts."""
        before, self.mode = self.mode, mode
        yield
        self.mode = before

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Note the mode."""
        self.seen.add(("log_softmax", self.mode))
        return super().log_softmax(modules, tensor)


def test_a_setting_holds_wherever_something_is_asked() -> None:
    """The call and the log_softmax before it are both made under the setting, and nothing is left of it."""
    framework = Settable()
    plain = Miniature().implementation()

    def call(modules: Any, asked: Call) -> Any:
        framework.seen.add(("call", framework.mode))
        return plain.call(modules, asked)

    own = ran(replace(plain, call=call), framework, MODULES, "x32")
    subject = Subject(own, framework, MODULES, replace(COLUMN, dtype="float32", mode="x32"))
    for name in ("values/pointwise", "values/from-logits"):
        result = Cell(catalogue.requirement(name), subject, TestProfile.QUICK).evaluate()
        assert result.verdict is Verdict.PASS
    assert framework.seen == {("call", "x32"), ("log_softmax", "x32")}
    assert framework.mode == EAGER


def test_jax_without_float64_has_no_float64_column() -> None:
    """JAX as it is installed knows three of the four formats, and is asked them in columns of their own."""
    found = columns_of(loading.implementation("jax.scipy.special.rel_entr"))
    assert {each.dtype for each in found if each.mode == "x32"} == {"float32", "float16", "bfloat16"}
    assert {each.dtype for each in found if each.mode == EAGER} == {dtype.label for dtype in Dtype}
    assert not resolve(Selection(frameworks=("jax",), modes=("x32",), dtypes=("float64",))).columns
