"""A kernel that follows a built-in implementation may have its known deviations, and no others."""

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


def kernel(miniature: Miniature, like: str) -> Subject:
    """Return a miniature that follows a built-in implementation."""
    return subject(replace(miniature.implementation(), like=like), dtype="float32")


def test_the_known_deviations_of_the_followed_implementation_are_permitted() -> None:
    """NaN for a masked class is EXPECTED of a kernel that follows torch, with the recorded reason."""
    found = evaluate(MASKED, kernel(Miniature(term=as_torch), TORCH))
    assert found.verdict is Verdict.EXPECTED
    assert found.deviation == "torch-masked-class-nan"
    assert TORCH in found.detail
    assert found.witness


def test_a_kernel_that_follows_none_has_no_permitted_deviations() -> None:
    """Without a followed implementation the same kernel is judged by the definition."""
    assert evaluate(MASKED, kernel(Miniature(term=as_torch), "")).verdict is Verdict.FAIL


def test_what_is_permitted_is_not_required() -> None:
    """A kernel that follows torch and is correct where torch is not passes."""
    assert evaluate(MASKED, kernel(Miniature(), TORCH)).verdict is Verdict.PASS


def test_another_result_in_the_same_region_fails() -> None:
    """Where torch returns NaN, a wrong number fails."""
    wrong = Miniature(
        term=lambda p, log_q: np.where(p == 0, 1.0, term(p, log_q)).astype(p.dtype),
        log_term=lambda lp, log_q: np.where(lp == -np.inf, 1.0, log_term(lp, log_q)).astype(lp.dtype),
    )
    assert evaluate(MASKED, kernel(wrong, TORCH)).verdict is Verdict.FAIL


def test_following_an_unknown_implementation_is_an_error(tmp_path: Path) -> None:
    """The message repeats the unknown name and lists the known ones."""
    (tmp_path / "mine.py").write_text(
        "from dataclasses import replace\n"
        "from kl_conformance.requirements.miniature import Miniature\n"
        "MINE = replace(Miniature().implementation(), like='torch.kl')\n"
    )
    with pytest.raises(ValueError, match=r"'torch\.kl'.*torch\.nn\.functional\.kl_div"):
        loading.implementation(f"{tmp_path / 'mine.py'}:MINE")


def interpreted(terms: Callable[[Array, Array], Array]) -> Subject:
    """Return a user kernel in bfloat16 with these terms."""
    return subject(Miniature(target=(Space.PROBABILITY,), term=terms), dtype="bfloat16")


def halving(p: Array, log_q: Array) -> Array:
    """Return the term of p, but for a subnormal p that of p without its leading bit."""
    least = Dtype.BFLOAT16.least_normal
    leading = 2.0 ** np.floor(np.log2(np.where(p > 0, p, 1.0)))
    return term(np.where(p < least, p - leading * (p > 0), p).astype(p.dtype), log_q)


@pytest.fixture
def interpreter(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Simulate that Triton 3.9 is imported and interprets kernels."""
    monkeypatch.setitem(sys.modules, "triton", types.ModuleType("triton"))
    monkeypatch.setattr(registry, "installed_version", {"triton": "3.9.0"}.get)
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    return monkeypatch


def test_the_rounding_of_triton_s_interpreter_is_excused(interpreter: pytest.MonkeyPatch) -> None:
    """Interpreted, subnormal bfloat16 numbers may lose their leading bit, and the verdict gives the reason."""
    found = evaluate("values/extreme", interpreted(halving))
    assert (found.verdict, found.deviation) == (Verdict.EXPECTED, "triton-interpreter-subnormals")
    assert "TRITON_INTERPRET=1" in found.detail
    interpreter.setenv("TRITON_INTERPRET", "0")
    assert evaluate("values/extreme", interpreted(halving)).verdict is Verdict.FAIL


def test_an_interpreted_kernel_is_judged_by_all_other_numbers(interpreter: pytest.MonkeyPatch) -> None:
    """A result 10 % too large fails under the interpreter, too, and so do other dtypes' subnormal numbers."""
    del interpreter
    assert evaluate("values/pointwise", interpreted(lambda p, x: term(p, x) * 1.1)).verdict is Verdict.FAIL
    lost = Miniature(target=(Space.PROBABILITY,), term=lambda p, x: term(np.where(p < 2e-38, 0, p), x))
    assert evaluate("values/extreme", subject(lost, dtype="float32")).verdict is Verdict.FAIL
