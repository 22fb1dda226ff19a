"""The mutation study: its mutants are wrong, its correct kernels correct, and its command separates them."""

import importlib.util
import json
import math
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import Recipe, TestProfile, build
from kl_conformance import processes
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.judging import judge
from kl_conformance.requirements import catalogue
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Result, Verdict
from studies.mutants.catalogue import correct_kernels, kernel_named, mutants
from studies.mutants.kernel import CorrectKernel, FaultKind, Mutant, Proof, implementation
from studies.mutants.report import KillMatrix, render, to_json
from studies.mutants.runner import KernelResult, Plan
from studies.mutants.validation import differs
from studies.mutants.worker import Task, TaskResult, column

ROOT = Path(__file__).resolve().parents[3]
STUDY = ROOT / "conformance" / "studies" / "mutants" / "study.py"
ORDINARY = Recipe("dirichlet-flat", (3, 5), Dtype.FLOAT32, seed=1)


def framework(kernel: Mutant | CorrectKernel) -> str:
    """Return the framework of a kernel."""
    return loading.implementation(kernel.like).framework


def parameters(kernels: dict[str, Any]) -> list[Any]:
    """Return kernels as parameters of a test, skipped if their framework is not installed."""
    return [
        pytest.param(
            kernel,
            id=name,
            marks=pytest.mark.skipif(
                importlib.util.find_spec(framework(kernel)) is None, reason=f"{framework(kernel)} is not installed"
            ),
        )
        for name, kernel in kernels.items()
    ]


@cache
def proofs(name: str) -> dict[str, Proof]:
    """Return the proofs of all mutants of a framework, each made in a process of its own."""
    command = [sys.executable, "-m", "studies.mutants.validation", name]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {kernel: Proof(*each) for kernel, each in json.loads(done.stdout).items()}


def environment() -> dict[str, str]:
    """Return the environment of a child process, with the studies on its path and a single thread."""
    child = processes.environment() | processes.thread_limits()
    packages = [str(ROOT / package) for package in ("conformance", "cases", "reports", "reference")]
    return child | {"PYTHONPATH": ":".join([*packages, child.get("PYTHONPATH", "")])}


@pytest.mark.parametrize("kernel", parameters(mutants()))
def test_a_mutant_is_wrong(kernel: Mutant) -> None:
    """Its own witness proves it, by the definition and without any part of the suite."""
    proof = proofs(framework(kernel))[kernel.name]
    assert differs(proof), proof


@pytest.mark.parametrize("kernel", parameters(correct_kernels()))
def test_a_correct_kernel_is_correct(kernel: CorrectKernel) -> None:
    """On an ordinary input it returns p·(log p − log q) within the tolerance."""
    own = implementation(kernel)
    adapter = registry.framework(own.framework)
    subject = Subject(own, adapter, adapter.load(), column(kernel.name, kernel.like, "float32"))
    pair = build(ORDINARY)
    evaluation = subject.evaluate(subject.problem(pair))
    assert not judge.within_tolerance(evaluation).is_failure
    assert math.isfinite(float(evaluation.answer.sum()))


def test_there_are_kernels_enough() -> None:
    """At least 120 mutants of every kind, and at least 15 correct kernels, each with a unique name."""
    wrong, correct = mutants(), correct_kernels()
    kinds = Counter(kernel.kind for kernel in wrong.values())
    assert len(wrong) >= 120
    assert len(correct) >= 15
    assert {kind: kinds[kind] for kind in FaultKind if kinds[kind] < 8} == {}
    assert not set(wrong) & set(correct)
    frameworks = Counter(framework(kernel) for kernel in wrong.values())
    assert min(frameworks["jax"], frameworks["scipy"]) >= 10


def test_an_unknown_kernel_is_refused() -> None:
    """An unknown name is rejected, and the known names are listed."""
    with pytest.raises(ValueError, match=r"'no-such-kernel'; known: .*numpy-bits"):
        kernel_named("no-such-kernel")


@pytest.mark.parametrize("kernel", [*mutants().values(), *correct_kernels().values()], ids=lambda each: each.name)
def test_a_kernel_is_described(kernel: Mutant | CorrectKernel) -> None:
    """A kernel has a slug for a name and a sentence, and follows a built-in implementation."""
    assert kernel.name == kernel.name.lower().replace(" ", "-")
    assert kernel.sentence.endswith(".")
    assert kernel.like in registry.IMPLEMENTATIONS


def result_of(kernel: Mutant | CorrectKernel, *failed: str) -> KernelResult:
    """Return the result of a kernel that fails these requirements and no others."""
    results = tuple(
        TaskResult(
            Task("float32", name),
            Result(name, 1, kernel.name, Verdict.FAIL if name in failed else Verdict.PASS, "seen"),
        )
        for name in catalogue.REQUIREMENTS
    )
    return KernelResult(kernel, results, TestProfile.QUICK)


def test_the_page_names_survivors_and_false_alarms() -> None:
    """Undetected mutants and rejected correct kernels are named; a failed CONVENTION requirement does not count."""
    detected, survivor, rejected = (kernel_named(name) for name in ("numpy-bits", "numpy-swapped", "numpy-guarded"))
    results = (
        result_of(detected, "values/pointwise", "signs/self"),
        result_of(survivor, "errors/misuse"),
        result_of(rejected, "values/sum"),
    )
    matrix = KillMatrix("python matrix.py", Plan(TestProfile.QUICK, (0,), ("float32",)), results, 60.0)
    text = render(matrix)
    assert "Detected: **1 of 2** (50.0 %)" in text
    assert "Survivors: `numpy-swapped`." in text
    assert "False alarms: `numpy-guarded`." in text
    assert to_json(matrix)["survivors"] == ["numpy-swapped"]
    assert to_json(matrix)["false_alarms"] == ["numpy-guarded"]


@pytest.mark.parametrize("kernel", parameters({"torch-difference": kernel_named("torch-difference")}))
def test_the_command_separates_mutants_from_correct_kernels(kernel: CorrectKernel, tmp_path: Path) -> None:
    """One command tests kernels in processes of their own, detects the mutants and rejects no other kernel."""
    wrong = ["numpy-bits", "numpy-one-buffer", "log-epsilon-1e-8"]
    correct = ["numpy-guarded", kernel.name]
    command = [sys.executable, str(STUDY), "--profile", "quick", "--seeds", "1", "--dtype", "float32"]
    command += ["-o", str(tmp_path / "matrix.json"), "--only", *wrong, *correct]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "matrix.json").read_text(encoding="utf-8"))
    detections = {each["name"]: len(each["detected_by"]) for each in found["kernels"]}
    assert [name for name in wrong if not detections[name]] == []
    assert [name for name in correct if detections[name]] == []
    assert "3 of 3" in done.stdout
