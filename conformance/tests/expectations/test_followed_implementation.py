"""A kernel that is like a known implementation may do what that one is recorded to do wrong, and nothing else."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.requirements.miniature import Array, Miniature, log_term, term
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reference.convention import Space
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Verdict

MASKED = "support/zero-over-zero"
TORCH = "torch.nn.functional.kl_div"


def as_torch(p: Array, log_q: Array) -> Array:
    """Return the term as torch computes it: 0·(−∞) is NaN."""
    return np.where((p == 0) & (log_q == -np.inf), np.nan, term(p, log_q))


def kernel(sketch: Miniature, like: str) -> Subject:
    """Return a sketch that promises to follow what it is like."""
    return subject(replace(sketch.implementation(), like=like), dtype="float32")


def test_what_it_is_like_is_recorded_to_do_is_permitted() -> None:
    """NaN for a masked class is EXPECTED of a kernel like torch's, with the recorded reason."""
    found = evaluate(MASKED, kernel(Miniature(term=as_torch), TORCH))
    assert found.verdict is Verdict.EXPECTED
    assert found.deviation == "torch-masked-class-nan"
    assert TORCH in found.detail
    assert found.witness


def test_without_a_likeness_nothing_is_permitted() -> None:
    """The same kernel on its own is held to the definition."""
    assert evaluate(MASKED, kernel(Miniature(term=as_torch), "")).verdict is Verdict.FAIL


def test_what_is_permitted_is_not_required() -> None:
    """A kernel like torch's that is right where torch is not has held the requirement."""
    assert evaluate(MASKED, kernel(Miniature(), TORCH)).verdict is Verdict.PASS


def test_another_fault_at_the_same_place_is_broken() -> None:
    """Where torch gives NaN, a number is no likeness."""
    wrong = Miniature(
        term=lambda p, log_q: np.where(p == 0, 1.0, term(p, log_q)).astype(p.dtype),
        log_term=lambda log_p, log_q: np.where(log_p == -np.inf, 1.0, log_term(log_p, log_q)).astype(
            log_p.dtype
        ),
    )
    assert evaluate(MASKED, kernel(wrong, TORCH)).verdict is Verdict.FAIL


def test_a_likeness_with_nobody_is_refused(tmp_path: Path) -> None:
    """An unknown name is given back with the names known."""
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from kl_conformance.requirements.miniature import Sketch\n"
        "MINE = replace(Sketch().implementation(), like='torch.kl')\n"
    )
    with pytest.raises(ValueError, match=r"'torch\.kl'.*torch\.nn\.functional\.kl_div"):
        loading.implementation(f"{tmp_path / 'mine.py'}:MINE")


def interpreted(terms: Callable[[Array, Array], Array]) -> Subject:
    """Return a kernel in bfloat16 that a user brings, with these terms."""
    return subject(Miniature(target=(Space.PROBABILITY,), term=terms), dtype="bfloat16")


def halving(p: Array, log_q: Array) -> Array:
    """Return the term of p, but for a subnormal p that of p without its leading bit."""
    least = Dtype.BFLOAT16.least_normal
    leading = 2.0 ** np.floor(np.log2(np.where(p > 0, p, 1.0)))
    return term(np.where(p < least, p - leading * (p > 0), p).astype(p.dtype), log_q)


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Make it look as if Triton 3.9 were loaded, and asked to interpret."""
    monkeypatch.setitem(sys.modules, "triton", types.ModuleType("triton"))
    monkeypatch.setattr(registry, "installed_version", {"triton": "3.9.0"}.get)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return monkeypatch


def test_what_triton_s_interpreter_does_to_subnormal_numbers_is_no_kernel_s_fault(
    interpreter: pytest.MonkeyPatch,
) -> None:
    """Interpreted, a kernel may see subnormal bfloat16 numbers without their leading bit, and the verdict says why."""
    found = evaluate("values/extreme", interpreted(halving))
    assert (found.verdict, found.deviation) == (Verdict.EXPECTED, "triton-interpreter-subnormals")
    assert "TRITON_INTERPRET=1" in found.detail
    interpreter.setenv("TRITON_INTERPRET", "0")
    assert evaluate("values/extreme", interpreted(halving)).verdict is Verdict.FAIL


def test_an_interpreted_kernel_is_held_to_all_other_numbers(interpreter: pytest.MonkeyPatch) -> None:
    """A tenth too much is broken under the interpreter, too, and so are other dtypes' subnormal numbers."""
    del interpreter
    assert evaluate("values/pointwise", interpreted(lambda p, x: term(p, x) * 1.1)).verdict is Verdict.FAIL
    lost = Miniature(target=(Space.PROBABILITY,), term=lambda p, x: term(np.where(p < 2e-38, 0, p), x))
    assert evaluate("values/extreme", subject(lost, dtype="float32")).verdict is Verdict.FAIL
