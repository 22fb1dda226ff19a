"""In a compiled column every call is compiled, and a function that the compiler refuses is a failure."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import MODE_CHAPTERS, effort_of, skipped_mode
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Modules
from kl_conformance.frameworks.numpy import NumPy
from kl_conformance.frameworks.transform import Function, Transform
from kl_conformance.harness.modes import EAGER, in_mode, modes
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Miniature
from kl_conformance.runs.plan import PlannedCell, resolve
from kl_conformance.runs.selection import Selection, columns_of
from kl_conformance.runs.session import Session
from kl_conformance_testkit.subjects import MODULES, evaluate, fixed
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column, Result, Verdict

COLUMN = Column("miniature", "numpy", "1", "cpu", "float64", "fast")


class Compiling(NumPy):
    """NumPy with a compiler that records shapes, and may refuse or change answers."""

    transforms = frozenset({Transform.COMPILED})
    compilers = ("it",)
    compiled_modes: Mapping[str, str] = MappingProxyType({"fast": "it"})

    def __init__(self, *, refuses: bool = False, off: float = 0.0) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.refuses = refuses
        self.off = off

    def compiled(self, modules: Any, compiler: str, function: Function) -> Function:
        """Return the function, which records the shapes of its calls."""
        if self.refuses:
            raise RuntimeError(f"{compiler} cannot be lowered")

        def compiled_function(target: Any, model: Any) -> Any:
            self.shapes.append(target.shape)
            return function(target, model) + self.off

        return compiled_function


def compilable() -> Implementation:
    """Return a correct implementation that declares that it can be compiled."""
    return replace(Miniature().implementation(), transforms=frozenset({Transform.COMPILED}))


def compiled_result(framework: Compiling, requirement: str = "values/pointwise") -> Result:
    """Return the result of a cell of the compiled column."""
    own = in_mode(compilable(), framework, MODULES, "fast")
    return evaluate(requirement, Subject(own, framework, MODULES, COLUMN))


def test_every_call_is_compiled() -> None:
    """A correct function that is compiled correctly passes, and the compiler saw its calls."""
    framework = Compiling()
    assert compiled_result(framework).verdict is Verdict.PASS
    assert framework.shapes


def test_a_fault_of_the_compiler_is_a_failure_of_its_column() -> None:
    """A function that is wrong only when compiled fails only there."""
    assert compiled_result(Compiling(off=1e-3)).verdict is Verdict.FAIL
    eager = in_mode(compilable(), Compiling(off=1e-3), MODULES, EAGER)
    tested = Subject(eager, Compiling(off=1e-3), MODULES, replace(COLUMN, mode=EAGER))
    assert evaluate("values/pointwise", tested).verdict is Verdict.PASS


def test_a_function_that_the_compiler_refuses_fails() -> None:
    """The exception of a compiler is a failure with its message, and none of the suite."""
    result = compiled_result(Compiling(refuses=True))
    assert result.verdict is Verdict.FAIL
    assert "it cannot be lowered" in result.detail


def test_implementations_that_declare_it_have_compiled_columns() -> None:
    """A stateful metric has none, and a loss one for each compiler of its framework."""
    names = ("keras.metrics.KLDivergence", "keras.losses.KLDivergence", "torch.nn.KLDivLoss", "scipy.stats.entropy")
    found = []
    for name in names:
        own = loading.implementation(name)
        found.append(modes(own, registry.framework(own.framework)))
    assert found == [("eager",), ("eager", "graph", "xla"), ("eager", "compile"), ("eager",)]


def test_a_compiled_column_has_the_chapters_that_compiling_can_change() -> None:
    """Answers and gradients are tested compiled; the reason of the other cells names the column to look at."""
    chapters = {each.chapter for each in catalogue.REQUIREMENTS.values() if skipped_mode(each.chapter, "fast") is None}
    assert chapters == {"values", "support", "reductions", "gradients"}
    assert all(skipped_mode(each.chapter, EAGER) is None for each in catalogue.REQUIREMENTS.values())
    own = loading.implementation("scipy.special.rel_entr")
    cell = PlannedCell(catalogue.requirement("state/fresh"), own, replace(COLUMN, implementation=own.name))
    result = Session(Selection(profile=TestProfile.QUICK)).evaluate(cell)
    assert result.verdict is Verdict.UNSUPPORTED
    assert "mode eager" in result.detail


def test_deprecated_arguments_are_tested_in_eager_columns() -> None:
    """Python reads them once, before a call is compiled."""
    assert compiled_result(Compiling(), "reductions/legacy").verdict is Verdict.UNSUPPORTED
    eager = Subject(compilable(), Compiling(), MODULES, replace(COLUMN, mode=EAGER))
    assert evaluate("reductions/legacy", eager).verdict is Verdict.PASS


class Slow(Compiling):
    """A compiler that takes seconds for every shape."""

    slow_transforms = frozenset({Transform.COMPILED})


def sizes(framework: Compiling, chapter: str, profile: TestProfile) -> set[tuple[int, ...]]:
    """Return the shapes of both sides of the fixed problems of a chapter, in a compiled column."""
    own = Subject(in_mode(compilable(), framework, MODULES, "fast"), framework, MODULES, COLUMN)
    pairs = (problem.pair for each in catalogue.CHAPTERS[chapter] for problem in fixed(each, own, profile))
    return {each.values.shape for pair in pairs for each in (pair.p, pair.q)}


def test_derivatives_that_a_compiler_cannot_take_do_not_apply() -> None:
    """torch.compile supports first derivatives in reverse mode, and no others."""
    own = loading.implementation("torch.nn.functional.kl_div")
    framework = registry.framework("torch")
    column = replace(COLUMN, implementation=own.name, framework="torch", dtype="float32", mode="compile")
    for mode, applies in (("compile", False), (EAGER, True)):
        subject = Subject(in_mode(own, framework, Modules(), mode), framework, Modules(), replace(column, mode=mode))
        for name in ("gradients/second-order", "gradients/forward-mode"):
            assert (catalogue.requirement(name).applies(subject) is None) is applies
        assert catalogue.requirement("gradients/model").applies(subject) is None


def test_the_quick_profile_has_few_shapes_where_each_takes_seconds() -> None:
    """A slow compiler gets fewer shapes than a fast one, and as many in the thorough profile."""
    for chapter in MODE_CHAPTERS:
        few, many = (sizes(framework, chapter, TestProfile.QUICK) for framework in (Slow(), Compiling()))
        assert few < many
        assert {(3, 5), (8, 31)} & few, chapter
        assert sizes(Slow(), chapter, TestProfile.THOROUGH) == sizes(Compiling(), chapter, TestProfile.THOROUGH)


def test_cases_of_other_dtypes_decide_a_cell_that_has_no_others() -> None:
    """A compiled column omits the cases of other dtypes only where its own problems decide a requirement."""
    requirement = replace(catalogue.requirement("gradients/boundary"), families=())
    framework = Compiling()
    subject = Subject(in_mode(compilable(), framework, MODULES, "fast"), framework, MODULES, COLUMN)
    assert not list(fixed(requirement, subject, TestProfile.QUICK))
    result = Cell(requirement, subject, effort_of(requirement, subject, TestProfile.QUICK)).evaluate()
    assert result.verdict is Verdict.PASS
    assert result.problems


class Settable(NumPy):
    """NumPy with a setting, which records the setting of every call."""

    setting_modes: Mapping[str, frozenset[Dtype]] = MappingProxyType({"x32": frozenset({Dtype.FLOAT32})})

    def __init__(self) -> None:
        self.mode = EAGER
        self.seen: set[tuple[str, str]] = set()

    @contextmanager
    def mode_context(self, modules: Modules, mode: str) -> Generator[None]:
        """Set the mode until the block ends."""
        before, self.mode = self.mode, mode
        yield
        self.mode = before

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Record the mode."""
        self.seen.add(("log_softmax", self.mode))
        return super().log_softmax(modules, tensor)


def test_a_setting_applies_to_every_call() -> None:
    """The call and the log_softmax before it are made under the setting, which ends afterwards."""
    framework = Settable()
    plain = Miniature().implementation()

    def recording(modules: Any, call: Call) -> Any:
        framework.seen.add(("call", framework.mode))
        return plain.call(modules, call)

    own = in_mode(replace(plain, call=recording), framework, MODULES, "x32")
    subject = Subject(own, framework, MODULES, replace(COLUMN, dtype="float32", mode="x32"))
    for name in ("values/pointwise", "values/from-logits"):
        assert evaluate(name, subject).verdict is Verdict.PASS
    assert framework.seen == {("call", "x32"), ("log_softmax", "x32")}
    assert framework.mode == EAGER


def test_jax_without_float64_has_no_float64_column() -> None:
    """JAX as installed supports three of the four dtypes, which have columns in mode x32."""
    found = columns_of(loading.implementation("jax.scipy.special.rel_entr"))
    assert {each.dtype for each in found if each.mode == "x32"} == {"float32", "float16", "bfloat16"}
    assert {each.dtype for each in found if each.mode == EAGER} == {dtype.label for dtype in Dtype}
    assert not resolve(Selection(frameworks=("jax",), modes=("x32",), dtypes=("float64",))).columns
