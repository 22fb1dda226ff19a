"""A kernel is verified like the implementation it follows, without the arguments that it does not take."""

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
    """Return the divergence with 1e-10 added inside the logarithm."""
    with np.errstate(all="ignore"):
        return p * (np.log(p + p.dtype.type(1e-10)) - np.log(q))


def verified(kernel: Any) -> Verification:
    """Verify a NumPy kernel that follows SciPy's, in float32 and profile quick."""
    return verify(kernel, REL_ENTR, dtype="float32", profile="quick", seed=1)


def test_no_kernel_is_called_if_the_arithmetic_does_not_follow_ieee_754(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is evaluated if the caller's thread flushes subnormal numbers."""

    def require() -> None:
        raise FloatingPointError("this thread flushes subnormal numbers")

    def never_called(*arguments: Any) -> Any:
        raise AssertionError(f"called with {arguments}")

    monkeypatch.setattr("kl_conformance.verification.require_ieee", require)
    with pytest.raises(FloatingPointError, match="flushes subnormal numbers"):
        verified(never_called)


def test_a_defective_kernel_fails_with_a_small_witness() -> None:
    """An epsilon inside the logarithm is detected, with at most four numbers on each side."""
    found = verified(shifted)
    assert not found.conforms
    pointwise = next(each for each in found.findings if each.requirement == "values/pointwise")
    assert pointwise.column.dtype == "float32"
    assert pointwise.witness is not None
    assert pointwise.witness.target is not None
    assert pointwise.witness.target.total <= 4
    assert pointwise.sentence in " ".join(str(found).split())
    assert '["shifted"]' in pointwise.reproducer
    assert "✗ shifted" in str(found)


def test_a_correct_kernel_conforms() -> None:
    """The plain formula has no finding."""
    found = verified(correct_kernel)
    assert found.conforms, str(found)
    assert not found.findings
    assert str(found).startswith("✓ correct_kernel")
    assert_conforms(correct_kernel, REL_ENTR, dtype="float32", profile="quick", seed=1)


def test_an_assertion_error_has_the_whole_verdict() -> None:
    """Its message is the text of the verification."""
    with pytest.raises(AssertionError, match="values/pointwise"):
        assert_conforms(shifted, REL_ENTR, dtype="float32", profile="quick", seed=1)


def test_a_signature_determines_what_is_tested() -> None:
    """Without a reduction argument only the default is tested, without log_target no log-targets."""

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
    """A module as its callers see it: it takes any arguments and passes them to ``forward``."""

    def __init__(self, reduction: str = "mean") -> None:
        self.reduction = reduction

    def __call__(self, *tensors: Any, **keywords: Any) -> Any:
        return self.forward(*tensors, **keywords)

    def forward(self, model: Any, target: Any) -> Any:
        """Return the arguments."""
        return self.reduction, model, target


def test_a_module_is_tested_with_its_own_reduction() -> None:
    """An object is tested with its own reduction, a class with every one that it can be created with."""
    module = adapted(_Module("sum"), KL_DIV)
    assert module.convention.reductions == {"sum": Reduction.SUM}
    assert adapted(_Module, KL_DIV).convention.reductions == KL_DIV.convention.reductions


def one_tensor(tensor: Any) -> Any:
    """Take one tensor."""
    return tensor


def three_arguments(model: Any, target: Any, temperature: float) -> Any:
    """Require a third argument."""
    return model, target, temperature


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (3, "is of type int, which is not callable"),
        (one_tensor, "does not take two positional tensors (model, target)"),
        (three_arguments, "requires temperature, which"),
    ],
)
def test_a_kernel_that_cannot_be_called_in_the_same_way_is_an_error(kernel: Any, message: str) -> None:
    """The message contains what the kernel takes, and what it would be called with."""
    with pytest.raises(UncallableError) as error:
        adapted(kernel, KL_DIV, "my_kl")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"like": "scipy.rel_entr"}, "'scipy.rel_entr'"),
        ({"profile": "fast"}, "'fast'"),
        ({"dtype": "float8"}, "'float8'"),
        ({"device": "tpu"}, "'tpu'"),
        ({"framework": "cupy"}, "'cupy'"),
    ],
)
def test_an_unknown_name_is_an_error_with_the_known_names(options: dict[str, Any], name: str) -> None:
    """Every argument that is a name is checked before anything is evaluated."""
    valid: dict[str, Any] = {"like": REL_ENTR, "profile": "quick"}
    with pytest.raises(ValueError, match="known") as error:
        verify(correct_kernel, **(valid | options))
    assert name in str(error.value)


KERNELS = """
import numpy as np
def correct(p, q):
    with np.errstate(all="ignore"):
        term = p * (np.log(p) - np.log(q))
    zero = term.dtype.type(0)
    return np.where((p == 0) & (q >= 0), zero, np.where(p < 0, term.dtype.type(np.inf), term))
def halved(p, q):
    return correct(p, q) / 2
def three(p, q, r):
    return p
"""


@pytest.mark.parametrize(
    ("name", "code", "text"),
    [
        ("correct", 0, "✓ correct"),
        ("halved", 1, "✗ values/pointwise"),
        ("three", 2, "requires r, which"),
        ("four", 2, "no implementation named"),
    ],
)
def test_the_exit_code_of_the_command_is_its_verdict(tmp_path: Path, name: str, code: int, text: str) -> None:
    """0 conforms, 1 a requirement failed, 2 could not be tested; there is no traceback."""
    (tmp_path / "mine.py").write_text(KERNELS)
    line = f"verify mine.py:{name} --like {REL_ENTR} --dtype float32 --profile quick --seed 1"
    done = command.run_cli(*line.split(), at=tmp_path)
    assert done.code == code, done.all
    assert text in done.all
    assert "Traceback" not in done.all


def test_standard_output_contains_the_selected_format_only(tmp_path: Path) -> None:
    """JSON and JUnit XML can be piped to other programs, and a script in them shows the failure."""
    (tmp_path / "mine.py").write_text(KERNELS)
    line = f"verify mine.py:halved --like {REL_ENTR} --dtype float32 --profile quick --seed 1 --format"
    done = command.run_cli(*line.split(), "json", at=tmp_path)
    assert done.code == 1, done.all
    result = json.loads(done.out)
    assert (result["kernel"], result["conforms"], result["asked"]["seed"]) == ("halved", False, 1)
    scripts = [each["reproducer"] for each in result["findings"] if each["reproducer"]]
    assert scripts
    assert all(execute(each) is ScriptResult.FAILURE for each in scripts[:2])
    assert "cells evaluated" in done.err
    done = command.run_cli(*line.split(), "junit", at=tmp_path)
    assert done.code == 1, done.all
    assert ElementTree.fromstring(done.out.encode()).attrib["failures"] != "0"


@pytest.mark.parametrize(("name", "code", "kind"), [("correct", 0, "notice"), ("halved", 1, "error")])
def test_format_github_is_workflow_commands(tmp_path: Path, name: str, code: int, kind: str) -> None:
    """Each line of standard output is a workflow command that names the kernel's file."""
    (tmp_path / "mine.py").write_text(KERNELS)
    line = f"verify mine.py:{name} --like {REL_ENTR} --dtype float32 --profile quick --seed 1 --format github"
    done = command.run_cli(*line.split(), at=tmp_path)
    assert done.code == code, done.all
    assert done.out
    assert all(each.startswith(f"::{kind} file=mine.py,title=") for each in done.out.splitlines())


def test_an_unknown_format_is_an_error(tmp_path: Path) -> None:
    """The message contains the known formats, and the exit code is 2."""
    done = command.run_cli("verify", "mine.py:correct", "--like", REL_ENTR, "--format", "yaml", at=tmp_path)
    assert done.code == 2
    assert "'text', 'json', 'github', 'junit'" in done.err


def test_the_package_exports_its_public_names() -> None:
    """Each is imported from the package itself, on first use."""
    for name in kl_conformance.__all__:
        assert getattr(kl_conformance, name).__name__ == name
    with pytest.raises(AttributeError, match="nonsense"):
        _ = kl_conformance.nonsense


@pytest.mark.parametrize(
    ("attribute", "known"),
    [("plain", True), ("Made", True), ("assigned", False), ("redefined", False), ("undefined", False)],
)
def test_a_plain_definition_is_found_without_importing_its_file(tmp_path: Path, attribute: str, *, known: bool) -> None:
    """Functions and classes are; an assigned value may be anything, and importing the file may do anything."""
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


def test_a_kernel_is_imported_only_by_its_worker(tmp_path: Path) -> None:
    """Importing a framework takes seconds: it is done once per process that evaluates cells."""
    text = """
        from pathlib import Path
        from scipy.special import rel_entr

        with Path("imported").open("a") as log:
            log.write("once\\n")

        def kl(p, q):
            return rel_entr(p, q)
    """
    (tmp_path / "mine.py").write_text(dedent(text), encoding="utf-8")
    options = ("--like", REL_ENTR, "--dtype", "float64", "--profile", "quick", "--seed", "1")
    done = command.run_cli("verify", "mine.py:kl", *options, at=tmp_path)
    assert done.code == 0, done.all
    assert (tmp_path / "imported").read_text(encoding="utf-8") == "once\n"
