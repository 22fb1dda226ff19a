"""A kernel is verified by what it is like, and what it has no argument for is not asked of it."""

from __future__ import annotations

import json
from pathlib import Path
from textwrap import dedent
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import kl_conformance
from kl_conformance.diagnosis.confirmation import ScriptResult, execute
from kl_conformance.implementations import loading
from kl_conformance.implementations.adapter import UncallableError, adapted
from kl_conformance.implementations.source import defined
from kl_conformance.verification import Verification, assert_conforms, verify
from kl_conformance_testkit import command
from kl_conformance_testkit.subjects import correct_kernel
from kl_reference.convention import Reduction, Space

KL_DIV = loading.implementation("torch.nn.functional.kl_div")
REL_ENTR = "scipy.special.rel_entr"


def shifted(p: Any, q: Any) -> Any:
    """Return the same with 1e-10 inside the logarithm."""
    with np.errstate(all="ignore"):
        return p * (np.log(p + p.dtype.type(1e-10)) - np.log(q))


def asked(kernel: Any, **how: Any) -> Verification:
    """Verify a NumPy kernel like SciPy's in float32, quickly."""
    return verify(kernel, REL_ENTR, dtype="float32", profile="quick", seed=1, **how)


def test_arithmetic_that_would_accuse_the_innocent_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the caller's thread flushes subnormal numbers, nothing is asked of anybody."""

    def refuse() -> None:
        raise FloatingPointError("this thread flushes subnormal numbers")

    def called(*given: Any) -> Any:
        raise AssertionError(f"was asked {given}")

    monkeypatch.setattr("kl_conformance.verification.require_ieee", refuse)
    with pytest.raises(FloatingPointError, match="flushes subnormal numbers"):
        asked(called)


def test_a_wrong_kernel_is_told_apart_with_a_small_witness() -> None:
    """An epsilon inside the logarithm is found, on at most four numbers a side."""
    found = asked(shifted)
    assert not found.conforms
    pointwise = next(each for each in found.findings if each.requirement == "values/pointwise")
    assert pointwise.column.dtype == "float32"
    assert pointwise.witness is not None
    assert pointwise.witness.target is not None
    assert pointwise.witness.target.total <= 4
    assert pointwise.sentence in " ".join(str(found).split())
    assert '["shifted"]' in pointwise.reproducer
    assert "✗ shifted" in str(found)


def test_a_right_kernel_conforms() -> None:
    """Nothing is found in the plain formula, and one screen says so."""
    found = asked(correct_kernel)
    assert found.conforms, str(found)
    assert not found.findings
    assert str(found).startswith("✓ correct_kernel")
    assert_conforms(correct_kernel, REL_ENTR, dtype="float32", profile="quick", seed=1)


def test_an_assertion_carries_the_whole_verdict() -> None:
    """In somebody's own tests the failure message is the screen."""
    with pytest.raises(AssertionError, match="values/pointwise"):
        assert_conforms(shifted, REL_ENTR, dtype="float32", profile="quick", seed=1)


def test_a_signature_says_what_is_asked() -> None:
    """Without a reduction argument only the default is asked, without log_target no log-targets."""

    def plain(model: Any, target: Any) -> Any:
        return model, target

    def rich(model: Any, target: Any, reduction: str = "mean", log_target: bool = False) -> Any:
        return model, target, reduction, log_target

    narrow, wide = (adapted(each, KL_DIV) for each in (plain, rich))
    assert narrow.convention.reductions == {"mean": Reduction.MEAN}
    assert narrow.convention.target == (Space.PROBABILITY,)
    assert wide.convention.reductions == KL_DIV.convention.reductions
    assert wide.convention.target == KL_DIV.convention.target
    assert not narrow.legacy
    assert narrow.like == KL_DIV.name
    assert not adapted(plain, KL_DIV, strict=True).like


class _Module:
    """What a module looks like from outside: any argument, handed on to ``forward``."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def __call__(self, *tensors: Any, **keywords: Any) -> Any:
        return self.forward(*tensors, **keywords)

    def forward(self, model: Any, target: Any) -> Any:
        """Return what was handed over."""
        return self.reduction, model, target


def test_a_module_keeps_the_reduction_it_was_made_with() -> None:
    """An object is asked for its own reduction, a class for every one it can be made with."""
    made = adapted(_Module("sum"), KL_DIV)
    assert made.convention.reductions == {"sum": Reduction.SUM}
    assert adapted(_Module, KL_DIV).convention.reductions == KL_DIV.convention.reductions


def one(only: Any) -> Any:
    """Take one tensor."""
    return only


def warm(model: Any, target: Any, temperature: float) -> Any:
    """Demand more than two tensors."""
    return model, target, temperature


@pytest.mark.parametrize(
    ("kernel", "words"),
    [
        (3, "is of type int, which is not callable"),
        (one, "does not take two positional tensors (model, target)"),
        (warm, "requires temperature, which"),
    ],
)
def test_what_cannot_be_called_alike_is_refused_in_a_sentence(kernel: Any, words: str) -> None:
    """The message says what the kernel takes, and what would be handed over."""
    with pytest.raises(UncallableError) as refused:
        adapted(kernel, KL_DIV, "mine")
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"like": "scipy.rel_entr"}, "'scipy.rel_entr'"),
        ({"profile": "fast"}, "'fast'"),
        ({"dtype": "float8"}, "'float8'"),
        ({"device": "tpu"}, "'tpu'"),
        ({"framework": "cupy"}, "'cupy'"),
    ],
)
def test_an_unknown_name_is_given_back_with_the_known_ones(how: dict[str, Any], words: str) -> None:
    """Every argument that is a name is checked before anything is asked."""
    given: dict[str, Any] = {"like": REL_ENTR, "profile": "quick"}
    with pytest.raises(ValueError, match="known") as refused:
        verify(correct_kernel, **(given | how))
    assert words in str(refused.value)


KERNELS = """
import numpy as np
def right(p, q):
    with np.errstate(all="ignore"):
        term = p * (np.log(p) - np.log(q))
    zero = term.dtype.type(0)
    return np.where((p == 0) & (q >= 0), zero, np.where(p < 0, term.dtype.type(np.inf), term))
def halved(p, q):
    return right(p, q) / 2
def three(p, q, r):
    return p
"""


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("right", 0, "✓ right"),
        ("halved", 1, "✗ values/pointwise"),
        ("three", 2, "requires r, which"),
        ("four", 2, "no implementation named"),
    ],
)
def test_the_command_ends_with_its_verdict(tmp_path: Path, name: str, code: int, words: str) -> None:
    """0 it conforms, 1 something is broken, 2 it could not be asked; never a traceback of ours."""
    (tmp_path / "mine.py").write_text(KERNELS)
    line = f"verify mine.py:{name} --like {REL_ENTR} --dtype float32 --profile quick --seed 1"
    done = command.run_cli(*line.split(), at=tmp_path)
    assert done.code == code, done.all
    assert words in done.all
    assert "Traceback" not in done.all


def test_every_form_is_all_of_standard_output(tmp_path: Path) -> None:
    """JSON and JUnit XML can be piped on as they are, and a script in them shows the failure by itself."""
    (tmp_path / "mine.py").write_text(KERNELS)
    line = f"verify mine.py:halved --like {REL_ENTR} --dtype float32 --profile quick --seed 1 --format"
    done = command.run_cli(*line.split(), "json", at=tmp_path)
    assert done.code == 1, done.all
    told = json.loads(done.out)
    assert (told["kernel"], told["conforms"], told["asked"]["seed"]) == ("halved", False, 1)
    scripts = [each["reproducer"] for each in told["findings"] if each["reproducer"]]
    assert scripts
    assert all(execute(each) is ScriptResult.FAILURE for each in scripts[:2])
    assert "cells judged" in done.err
    done = command.run_cli(*line.split(), "junit", at=tmp_path)
    assert done.code == 1, done.all
    assert ElementTree.fromstring(done.out.encode()).attrib["failures"] != "0"


@pytest.mark.parametrize(("name", "code", "words"), [("right", 0, "::notice "), ("halved", 1, "::error ")])
def test_github_gets_workflow_commands(tmp_path: Path, name: str, code: int, words: str) -> None:
    """Each line of standard output is a workflow command that names the kernel's file."""
    (tmp_path / "mine.py").write_text(KERNELS)
    line = f"verify mine.py:{name} --like {REL_ENTR} --dtype float32 --profile quick --seed 1 --format github"
    done = command.run_cli(*line.split(), at=tmp_path)
    assert done.code == code, done.all
    assert done.out
    assert all(each.startswith(f"{words}file=mine.py,title=") for each in done.out.splitlines())


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    """Who asks for a form there is not gets the known ones, and exit code 2."""
    done = command.run_cli("verify", "mine.py:right", "--like", REL_ENTR, "--format", "yaml", at=tmp_path)
    assert done.code == 2
    assert "'text', 'json', 'github', 'junit'" in done.err


def test_the_package_s_face_is_its_api() -> None:
    """What users import comes from the package itself, and only when it is asked for."""
    for name in kl_conformance.__all__:
        assert getattr(kl_conformance, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kl_conformance.nonsense


@pytest.mark.parametrize(
    ("attribute", "known"),
    [("plain", True), ("Made", True), ("assigned", False), ("redefined", False), ("nobody", False)],
)
def test_what_a_file_plainly_defines_is_known_without_importing_it(
    tmp_path: Path, attribute: str, *, known: bool
) -> None:
    """A function or a class is; what is assigned may be anything, and the file may do anything when imported."""
    text = """
        raise SystemExit("imported")
        def plain(p, q): ...
        class Made: ...
        assigned = make()
        def redefined(p, q): ...
        redefined = make(redefined)
    """
    (tmp_path / "some_kernels.py").write_text(dedent(text), encoding="utf-8")
    assert defined(f"some_kernels.py:{attribute}", tmp_path) is known
    assert defined(f"some_kernels:{attribute}", tmp_path) is known
    assert not defined(f"no_such_file.py:{attribute}", tmp_path)


def test_a_kernel_is_imported_by_its_worker_alone(tmp_path: Path) -> None:
    """Importing a framework takes seconds: it is done once for each process that asks."""
    text = """
        from pathlib import Path
        from scipy.special import rel_entr

        with Path("imported").open("a") as log:
            log.write("once\\n")

        def kl(p, q):
            return rel_entr(p, q)
    """
    (tmp_path / "mine.py").write_text(dedent(text), encoding="utf-8")
    asked = ("--like", REL_ENTR, "--dtype", "float64", "--profile", "quick", "--seed", "1")
    done = command.run_cli("verify", "mine.py:kl", *asked, at=tmp_path)
    assert done.code == 0, done.all
    assert (tmp_path / "imported").read_text(encoding="utf-8") == "once\n"
