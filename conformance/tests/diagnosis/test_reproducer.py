"""A reproducer does not import this suite, has 15 lines at most, and shows its failure in a clean process."""

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_conformance.diagnosis.confirmation import NOT_REPRODUCED, ScriptResult, confirmed, execute, with_reproducers
from kl_conformance.diagnosis.dialect import runs
from kl_conformance.diagnosis.libraries import LIBRARIES, NUMPY_LAYOUTS
from kl_conformance.diagnosis.reproducer import LINES, reproducer
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import description, loading, registry
from kl_conformance.implementations.source import CLASS, FUNCTION, kernel_source
from kl_conformance.judging.upstream import Upstream, UpstreamKind
from kl_conformance.runs import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection
from kl_conformance_testkit.subjects import MODULES, evaluate, subject
from kl_conformance_testkit.witness import called, example_witness
from kl_reference.convention import Formula, Side
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column, Result, Run, Verdict

REL_ENTR = "scipy.special.rel_entr"
KERNELS = """
import numpy as np

def correct(p, q):
    with np.errstate(all="ignore"):
        term = p * (np.log(p) - np.log(q))
    zero = term.dtype.type(0)
    return np.where((p == 0) & (q >= 0), zero, np.where(p < 0, term.dtype.type(np.inf), term))

def halved(p, q):
    return correct(p, q) / 2

def nan_at_zero(p, q):
    with np.errstate(all="ignore"):
        return p * (np.log(p) - np.log(q))

def in_one_axis(p, q):
    return correct(p, q).ravel()

def as_if_dense(p, q):
    def dense(x):
        base = x
        while isinstance(base.base, np.ndarray):
            base = base.base
        return base.ravel()[: x.size].reshape(x.shape)
    return correct(dense(p), dense(q))

seen = []
def wrong_later(p, q):
    seen.append(p)
    return correct(p, q) * (2 if len(seen) > 3 else 1)

class Made:
    def __call__(self, p, q):
        return halved(p, q)

made = Made()
nameless = lambda p, q: halved(p, q)
MINE = Implementation = len
declared = Implementation("x")
"""


@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A folder with NumPy kernels in a file."""
    (tmp_path / "mine.py").write_text(KERNELS, encoding="utf-8")
    return tmp_path


def verdict_on(
    kernels: Path, name: str, requirement: str, dtype: str = "float32"
) -> tuple[Result, Callable[[], str], Run]:
    """Return the result of a kernel of the file, a function that returns its script, and a run of that one cell."""
    location = f"{kernels / 'mine.py'}:{name}"
    own = loading.implementation(location, REL_ENTR, framework="numpy")
    column = subject(own, dtype)
    result = evaluate(requirement, column)

    def script() -> str:
        return reproducer(requirement, column.column, result.witness or {}, kernel_source(location, kernels))

    planned = resolve(Selection(implementations=(REL_ENTR,), dtypes=("float32",))).cells
    head = replace(
        header.header(Selection(), planned),
        columns={column.column.key: column.column},
        implementations={own.name: description.convention(own)},
        planned=(result.cell,),
    )
    return result, script, Run(head, (result,), "2026-01-01T00:00:00+00:00")


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("halved", "values/pointwise"),
        ("nan_at_zero", "support/zero-target"),
        ("in_one_axis", "values/pointwise"),
        ("as_if_dense", "layouts/strided"),
        ("made", "values/pointwise"),
        ("nameless", "values/pointwise"),
    ],
)
def test_a_reproducer_shows_the_failure(kernels: Path, name: str, requirement: str, dtype: str) -> None:
    """A wrong number, a NaN, a wrong shape and a misread layout are reproduced without the suite."""
    result, script, _ = verdict_on(kernels, name, requirement, dtype)
    assert result.verdict is Verdict.FAIL
    text = script()
    assert text.count("\n") <= LINES
    assert "kl_" not in text
    assert execute(text) is ScriptResult.FAILURE


def test_a_correct_kernel_passes_the_same_script(kernels: Path) -> None:
    """The script fails because of the kernel: with a correct kernel in its place it passes."""
    _, script, _ = verdict_on(kernels, "halved", "values/pointwise")
    text = script()
    assert execute(text.replace('["halved"]', '["correct"]')) is ScriptResult.CORRECT


def test_a_finding_that_is_not_reproduced_has_a_sentence_instead(kernels: Path) -> None:
    """A kernel that is wrong only after other calls has no script; the detail says that earlier calls matter."""
    result, script, run = verdict_on(kernels, "wrong_later", "values/pointwise")
    assert result.verdict is Verdict.FAIL
    assert script()
    (seen,) = confirmed(run, f"{kernels / 'mine.py'}:wrong_later").results
    assert seen.detail.endswith(NOT_REPRODUCED)
    assert "reproducer" not in (seen.witness or {})


def test_a_finding_has_the_script_that_failed(kernels: Path) -> None:
    """The script in a run file was executed."""
    _, script, run = verdict_on(kernels, "halved", "values/pointwise")
    (seen,) = confirmed(run, f"{kernels / 'mine.py'}:halved").results
    assert (seen.witness or {})["reproducer"] == script()


def test_without_a_short_script_the_result_is_empty(kernels: Path) -> None:
    """State, damaged witnesses, unknown frameworks and unknown calls have no script."""
    result, _, run = verdict_on(kernels, "halved", "values/pointwise")
    (user,) = run.header.columns.values()
    column = replace(user, implementation=REL_ENTR)
    witness = dict(result.witness or {})
    assert reproducer("values/pointwise", column, witness)
    assert not reproducer("values/pointwise", user, witness)
    assert not reproducer("state/threads", column, witness)
    assert not reproducer("values/pointwise", replace(column, framework="abacus"), witness)
    several = {"call": witness["call"] | {"function": ""}}
    for damage in (several, {"call": "kl(p, q)"}, {"right": ["f64:0"]}, {"target": None}, {"at": ["x"]}):
        assert not reproducer("values/pointwise", column, {**witness, **damage})
    passing = {**witness, "got": witness["right"]}
    assert not reproducer("values/pointwise", column, passing)


@pytest.mark.parametrize(
    ("name", "requirement"),
    [
        ("scipy.special.kl_div", "values/extreme"),
        ("scipy.special.kl_div", "signs/generalised"),
        ("scipy.stats.entropy", "errors/class-mismatch"),
        ("scipy.stats.entropy", "values/extreme"),
    ],
)
def test_known_deviations_of_scipy_are_reproduced_without_the_suite(name: str, requirement: str) -> None:
    """A short script shows the known deviations of SciPy."""
    own = loading.implementation(name)
    selection = Selection(implementations=(name,), dtypes=("float64",))
    planned = [each for each in resolve(selection).cells if each.requirement.id == requirement]
    (column,) = (each.column for each in planned)
    result = evaluate(requirement, Subject(own, registry.framework("scipy"), MODULES, column))
    assert result.verdict is Verdict.EXPECTED
    (seen,) = with_reproducers(Run(header.header(selection, planned), (result,), None)).results
    assert execute(str((seen.witness or {})["reproducer"])) is ScriptResult.FAILURE


@pytest.mark.parametrize(
    ("location", "call"),
    [
        ("mine.py:correct", FUNCTION),
        ("mine.py:Made", CLASS),
        ("mine.py:made", FUNCTION),
        ("mine:nameless", FUNCTION),
        ("mine.py:declared", None),
        ("mine.py:np", None),
        ("mine.py:absent", None),
        ("absent.py:correct", None),
        ("absent.module:correct", None),
    ],
)
def test_a_kernel_is_found_without_running_its_file(
    kernels: Path, location: str, call: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The source text shows whether it is a function, a class or an object; otherwise the result is None."""
    # Other tests load modules of this name, and their folders stay on the path.
    monkeypatch.setattr(sys, "path", [each for each in sys.path if not (Path(each) / "mine.py").exists()])
    text = f"{KERNELS}\nraise SystemExit('was run')\n"
    (kernels / "mine.py").write_text(text, encoding="utf-8")
    found = kernel_source(location, kernels)
    assert (None if found is None else found.call) == call


@given(st.lists(st.sampled_from([0.0, -0.0, 0.1, float("inf"), 5e-324]), max_size=40))
def test_runs_of_numbers_are_evaluated_bit_for_bit(numbers: list[float]) -> None:
    """A list written with products of lists is the same list, the sign of zero included."""
    back = eval(runs(numbers), {"inf": float("inf")})
    assert [float(each).hex() for each in back] == [each.hex() for each in numbers]


@pytest.mark.parametrize("layout", NUMPY_LAYOUTS)
def test_a_layout_keeps_every_number(layout: str) -> None:
    """The code of a layout changes no number."""
    values = np.arange(24.0, dtype=np.float32).reshape(2, 3, 4)
    x = np.repeat(values[:1], 2, 0) if layout == "expanded" else values
    result = eval(LIBRARIES["numpy"].with_layout("x", layout), {"x": x, "np": np, "nan": float("nan")})
    assert np.array_equal(result, x)
    assert result.dtype == x.dtype
    assert result.strides != x.strides or layout in {"offset"}


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("dtype", Dtype)
def test_every_library_writes_every_dtype(library: str, dtype: Dtype) -> None:
    """A tensor of many numbers is one expression with its dtype and shape."""
    text = LIBRARIES[library].array(np.full((4, 9), 0.25), dtype, "cpu")
    compile(text, library, "eval")
    assert "[0.25] * 36" in text
    assert "(4, 9)" in text
    assert re.search(r"\b(float64|float32|float16|bfloat16)\b", text)


@pytest.mark.parametrize(
    ("kind", "upstream"),
    [(UpstreamKind.ONES, "ones_like(value)"), (UpstreamKind.HUGE, "-80.0"), (UpstreamKind.EXPANDED, None)],
)
def test_the_upstream_gradient_is_the_witness_s(kind: UpstreamKind, upstream: str | None) -> None:
    """If every gradient is 0, the numbers do not determine the upstream gradient; a field of the witness does."""
    sides = {"space": "probability", "shape": [2], "bits": ["f16:0400", "f16:3c00"]}
    kl_div = loading.implementation("jax.scipy.special.kl_div")
    call = called(kl_div).differentiated(Side.MODEL, Upstream(kind))
    witness = example_witness(sides, sides, call) | {
        "formula": Formula.GENERALISED.value,
        "dtype": "float16",
        "got": ["f64:7ff0000000000000", "f64:0000000000000000"],
        "allowed": ["f64:3fd6802900000000"] * 2,
    }
    column = Column(kl_div.name, "jax", "1", "cpu", "float16", "eager")
    script = reproducer("gradients/upstream", column, witness)
    assert (upstream in script) if upstream else script == ""


def test_a_permutation_of_a_vector_is_not_written() -> None:
    """A vector has no second axis to permute."""
    sides = {"space": "probability", "shape": [2], "bits": ["f32:3f000000", "f32:3f000000"]}
    kl = loading.implementation(REL_ENTR)
    witness = example_witness(sides, sides, called(kl))
    witness["layout"] = dict.fromkeys(("target", "model"), "permuted-3d")
    column = Column(kl.name, "scipy", "1", "cpu", "float32", "eager")
    script = reproducer("layouts/permuted-3d", column, witness)
    assert script
    assert "moveaxis" not in script
    assert execute(script) is ScriptResult.CORRECT  # SciPy is correct here: the script passes


def test_too_many_numbers_for_a_line_are_not_evaluated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A row of 5,000 classes has no short script, and the reference does not evaluate it."""

    def evaluated(problem: object) -> None:
        raise AssertionError(f"evaluated {problem}")

    monkeypatch.setattr("kl_conformance.diagnosis.reproducer.reference", evaluated)
    many = {"space": "probability", "shape": [5000], "bits": ["f32:39d1b717"] * 5000}
    kl = loading.implementation(REL_ENTR)
    witness = example_witness(many, many, called(kl))
    column = Column(kl.name, "scipy", "1", "cpu", "float32", "eager")
    assert reproducer("values/pointwise", column, witness) == ""
