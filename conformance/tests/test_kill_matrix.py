"""The kill matrix: its wrong kernels are wrong, its right ones right, and its command tells them apart."""

from __future__ import annotations

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
from kl_conformance import catalogue, host, judge, registry
from kl_conformance.subject import Subject
from kl_reference.dtype import Dtype
from kl_reports.result import Result, Verdict
from studies.mutants import catalogue as mutants
from studies.mutants.kernel import Kind, Proof, Right, Wrong, implementation
from studies.mutants.report import Matrix, page, record
from studies.mutants.runner import Plan, Ruling
from studies.mutants.validation import differs
from studies.mutants.worker import Answer, Question, column

HOUSES = Path(__file__).resolve().parents[2]
MATRIX = HOUSES / "conformance" / "studies" / "mutants" / "study.py"
ORDINARY = Recipe("dirichlet-flat", (3, 5), Dtype.FLOAT32, seed=1)


def framework(kernel: Wrong | Right) -> str:
    """Return the framework whose tensors a kernel takes."""
    return registry.implementation(kernel.like).framework


def asked(kernels: dict[str, Any]) -> list[Any]:
    """Return kernels as parameters, skipped where their framework is not installed."""
    return [
        pytest.param(
            kernel,
            id=name,
            marks=pytest.mark.skipif(
                importlib.util.find_spec(framework(kernel)) is None,
                reason=f"{framework(kernel)} is not installed",
            ),
        )
        for name, kernel in kernels.items()
    ]


@cache
def proofs(name: str) -> dict[str, Proof]:
    """Return the proofs against all wrong kernels of a framework, each made in a process of its own."""
    command = [sys.executable, "-m", "studies.mutants.validation", name]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {kernel: Proof(*each) for kernel, each in json.loads(done.stdout).items()}


def environment() -> dict[str, str]:
    """Return a child's environment, with the studies and a single thread."""
    child = host.environment() | host.threads()
    houses = [str(HOUSES / house) for house in ("conformance", "cases", "reports", "reference")]
    return child | {"PYTHONPATH": ":".join([*houses, child.get("PYTHONPATH", "")])}


@pytest.mark.parametrize("kernel", asked(mutants.wrong()))
def test_a_wrong_kernel_is_wrong(kernel: Wrong) -> None:
    """Its own witness shows it, by the definition and without any part of the suite."""
    proof = proofs(framework(kernel))[kernel.name]
    assert differs(proof), proof


@pytest.mark.parametrize("kernel", asked(mutants.right()))
def test_a_right_kernel_is_right(kernel: Right) -> None:
    """On an ordinary input it gives p·(log p − log q) as float64 computes it, within the tolerance."""
    own = implementation(kernel)
    asking = registry.framework(own.framework)
    subject = Subject(own, asking, asking.load(), column(kernel.name, kernel.like, "float32"))
    pair = build(ORDINARY)
    evaluation = subject.evaluate(subject.problem(pair))
    assert not judge.lies(evaluation).broken
    assert math.isfinite(float(evaluation.got.sum()))


def test_there_are_kernels_enough() -> None:
    """At least 120 wrong kernels of every kind, and at least 15 right ones, each with a name of its own."""
    wrong, right = mutants.wrong(), mutants.right()
    kinds = Counter(kernel.kind for kernel in wrong.values())
    assert len(wrong) >= 120
    assert len(right) >= 15
    assert {kind: kinds[kind] for kind in Kind if kinds[kind] < 8} == {}
    assert not set(wrong) & set(right)
    frameworks = Counter(framework(kernel) for kernel in wrong.values())
    assert min(frameworks["jax"], frameworks["scipy"]) >= 10


def test_an_unknown_kernel_is_refused() -> None:
    """A name that nobody bears is refused, and those that are borne are listed."""
    with pytest.raises(ValueError, match=r"'no-such-kernel'; known: .*numpy-bits"):
        mutants.kernel("no-such-kernel")


@pytest.mark.parametrize(
    "kernel", [*mutants.wrong().values(), *mutants.right().values()], ids=lambda each: each.name
)
def test_a_kernel_is_said_in_full(kernel: Wrong | Right) -> None:
    """A kernel has a slug for a name and a sentence, and follows a known implementation."""
    assert kernel.name == kernel.name.lower().replace(" ", "-")
    assert kernel.sentence.endswith(".")
    assert kernel.like in registry.IMPLEMENTATIONS


def ruling(kernel: Wrong | Right, *stopping: str) -> Ruling:
    """Return a ruling in which these requirements, and no others, stopped a kernel."""
    answers = tuple(
        Answer(
            Question("float32", name),
            Result(name, 1, kernel.name, Verdict.FAIL if name in stopping else Verdict.PASS, "seen"),
        )
        for name in catalogue.REQUIREMENTS
    )
    return Ruling(kernel, answers, TestProfile.QUICK)


def test_the_page_names_survivors_and_false_alarms() -> None:
    """A wrong kernel that nothing stopped and a right one that something did are named; conventions stop nobody."""
    stopped, survivor, accused = (
        mutants.kernel(name) for name in ("numpy-bits", "numpy-swapped", "numpy-guarded")
    )
    rulings = (
        ruling(stopped, "values/pointwise", "signs/self"),
        ruling(survivor, "errors/misuse"),
        ruling(accused, "values/sum"),
    )
    matrix = Matrix("python matrix.py", Plan(TestProfile.QUICK, (0,), ("float32",)), rulings, 60.0)
    text = page(matrix)
    assert "Stopped: **1 of 2** (50.0 %)" in text
    assert "Survivors: `numpy-swapped`." in text
    assert "False alarms: `numpy-guarded`." in text
    assert record(matrix)["survivors"] == ["numpy-swapped"]
    assert record(matrix)["alarms"] == ["numpy-guarded"]


@pytest.mark.parametrize("kernel", asked({"torch-difference": mutants.kernel("torch-difference")}))
def test_the_command_tells_wrong_from_right(kernel: Right, tmp_path: Path) -> None:
    """One command tries kernels in processes of their own, stops the wrong ones and no other."""
    wrong = ["numpy-bits", "numpy-one-buffer", "log-epsilon-1e-8"]
    right = ["numpy-guarded", kernel.name]
    command = [sys.executable, str(MATRIX), "--profile", "quick", "--seeds", "1", "--dtype", "float32"]
    command += ["-o", str(tmp_path / "matrix.json"), "--only", *wrong, *right]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "matrix.json").read_text(encoding="utf-8"))
    stops = {each["name"]: len(each["stops"]) for each in found["kernels"]}
    assert [name for name in wrong if not stops[name]] == []
    assert [name for name in right if stops[name]] == []
    assert "3 of 3" in done.stdout
