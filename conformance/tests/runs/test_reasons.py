"""Where no number is wrong, what a kernel did instead is said once, in words a person can act on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_cases.recipes import Recipe, build
from kl_conformance.diagnosis import causes
from kl_conformance.diagnosis.causes import Fault, likely_cause
from kl_conformance.errors import MisgivenError
from kl_conformance.frameworks.call import Call
from kl_conformance.implementations import loading
from kl_conformance.implementations.adapter import checked
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.verification import Verification, verify
from kl_conformance_testkit.subjects import correct_kernel, subject
from kl_reference.convention import Convention, Side
from kl_reference.dtype import Dtype
from kl_reports.analysis.kernel import broken
from kl_reports.analysis.reasons import numeric, reasons
from kl_reports.formats.github import github
from kl_reports.runfile.records import Kind, Result, Verdict

REL_ENTR = "scipy.special.rel_entr"
Kernel = Callable[[Any, Any], Any]


def always(p: Any, q: Any) -> Any:
    """Raise."""
    raise RuntimeError("no kernel image is available")


def single_only(p: Any, q: Any) -> Any:
    """Raise in float64."""
    if p.dtype == np.float64:
        raise TypeError("expected float32, got float64")
    return correct_kernel(p, q)


def flat_only(p: Any, q: Any) -> Any:
    """Raise where there are three axes or more, and say how many."""
    if np.ndim(p) > 2:
        raise ValueError(f"expected 2 axes at most, got {np.ndim(p)}")
    return correct_kernel(p, q)


def nothing(p: Any, q: Any) -> Any:
    """Return nothing."""
    correct_kernel(p, q)


def pair(p: Any, q: Any) -> Any:
    """Return the terms and their sum."""
    return correct_kernel(p, q), correct_kernel(p, q).sum()


def framed(p: Any, q: Any) -> Any:
    """Return the terms with an axis more."""
    return correct_kernel(p, q)[None]


def asked(kernel: Any, dtype: str = "float32") -> Verification:
    """Verify a NumPy kernel like SciPy's, quickly."""
    return verify(kernel, REL_ENTR, dtype=dtype.split(","), profile="quick", seed=1)


SAME = "Every failure is the same, and no number is wrong: "


@pytest.mark.parametrize(
    ("kernel", "dtype", "said"),
    [
        (always, "float32", f"{SAME}it raised RuntimeError: no kernel image is available."),
        (
            single_only,
            "float32,float64",
            f"{SAME}it raised TypeError: expected float32, got float64; in float64 only. With `--dtype float32` "
            "that alone is asked.",
        ),
        (
            single_only,
            "float64",
            f"{SAME}it raised TypeError: expected float32, got float64. If it is not made for float64, "
            "`--dtype float32` asks that format alone.",
        ),
        (nothing, "float32", f"{SAME}it returned None, expected a numpy.ndarray."),
        (pair, "float32", f"{SAME}it returned a tuple of 2, expected a numpy.ndarray."),
    ],
)
def test_one_reason_is_one_sentence(kernel: Kernel, dtype: str, said: str) -> None:
    """Who breaks everything for one reason is told it, in which formats and what to do, and no fault is guessed."""
    found = asked(kernel, dtype)
    assert found.cause == said
    assert len(broken(found.run)) >= 20
    screen = str(found)
    assert "Likely cause" not in screen
    assert screen.count("requirements (f") == 1
    assert screen.count("P = ") <= 1
    assert len(screen.splitlines()) < 50
    assert github(found.run, found.cause, "kernel.py").count("::error") == 1


def test_what_is_refused_of_some_shapes_is_told_once() -> None:
    """Three axes refused are one finding, however many requirements ask about three axes."""
    found = asked(flat_only)
    assert found.cause == f"{SAME}it raised ValueError: expected 2 axes at most, got 3."
    (reason,) = reasons(broken(found.run))
    assert len(reason.results) > 1


def test_one_message_with_other_numbers_is_one_reason() -> None:
    """What differs in a size alone is told in the words of the first, and said to be like the others."""
    three, four = (raised(f"got {number} axes") for number in (3, 4))
    (reason,) = reasons({"a": [three], "b": [four]})
    assert (reason.words, reason.varied) == ("it raised ValueError: got 3 axes", True)
    other = raised("got no axes")
    assert len(reasons({"a": [three], "b": [other]})) == 2


def test_a_wrong_shape_everywhere_is_no_fingerprint() -> None:
    """An axis too many is said as such, whichever known fault breaks the same requirements."""
    found = asked(framed)
    assert "Likely cause" not in str(found)
    assert "it returned shape (1, " in found.cause
    assert "expected (" in found.cause


def test_a_backward_pass_that_is_not_there_is_said() -> None:
    """Gradients that raise are one finding; the numbers held."""

    def call(modules: Any, call: Call) -> Any:
        del modules
        return correct_kernel(*call.arguments)

    def gradient(*asked: Any) -> Any:
        raise NotImplementedError("backward is not written yet")

    kernel = Implementation(
        "forward_only",
        "numpy",
        "numpy",
        loading.implementation(REL_ENTR).convention,
        call,
        dtypes=(Dtype.FLOAT32,),
        gradients=frozenset({Side.MODEL}),
        gradient=gradient,
        like=REL_ENTR,
        compares_distributions=False,
    )
    found = verify(kernel, profile="quick", seed=1)
    assert found.cause == f"{SAME}it raised NotImplementedError: backward is not written yet."
    assert all(name.startswith(("gradients/", "layouts/", "state/")) for name in broken(found.run))


def test_what_prints_and_warns_is_not_accused() -> None:
    """A kernel that talks while it is asked conforms as a silent one does."""

    def talking(p: Any, q: Any) -> Any:
        print("computed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.warn("the fast path was not taken", stacklevel=1)
        return correct_kernel(p, q)

    assert asked(talking).conforms


class Leaf:
    """A tensor that can be detached from its graph."""

    def detach(self) -> Leaf:
        """Return itself."""
        return self


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (np.zeros(3), "returned a numpy.ndarray, expected a test_reasons.Leaf"),
        (0.5, "returned a float, expected a test_reasons.Leaf"),
        (None, "returned None, expected a test_reasons.Leaf"),
        ([Leaf()], "returned a list of 1, expected a test_reasons.Leaf"),
    ],
)
def test_no_tensor_is_named_beside_what_is_due(
    given: Any, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is none of the framework's tensors is said by its type, not by what it lacks."""
    monkeypatch.setattr(Leaf, "__module__", "test_reasons")

    def answering(answer: Any) -> Implementation:
        def give(modules: Any, call: Call) -> Any:
            return answer

        return checked(Implementation("own", "numpy", "numpy", Convention(), give))

    asked = subject()
    call = replace(
        asked.build_call(asked.problem(build(Recipe("dirichlet-flat", (2, 3), Dtype.FLOAT32, 0)))),
        target=Leaf(),
    )
    with pytest.raises(MisgivenError, match=words):
        answering(given).call(None, call)
    leaf = Leaf()
    assert answering(leaf).call(None, call) is leaf


def died(verdict: Verdict, how: str) -> Result:
    """Return the result of a cell whose process did not survive it."""
    call = "it was asked kl() of shapes [1, 4]."
    kind = Kind.TIMED_OUT if verdict is Verdict.TIMED_OUT else Kind.CRASHED
    detail, happened = f"Its process {how}; {call}", f"its process {how}"
    return Result("values/sum", 1, "column", verdict, detail, kind=kind, happened=happened, last_call=call)


def raised(message: str) -> Result:
    """Return the result of a cell whose call raised."""
    words = f"it raised ValueError: {message}"
    return Result("values/sum", 1, "column", Verdict.FAIL, kind=Kind.RAISED, happened=words)


def test_a_death_is_a_reason_and_a_number_is_none() -> None:
    """A crash and a timeout are said as what ended the process; a wrong number is left to its own finding."""
    crash = died(Verdict.CRASHED, "was ended by signal 11 (SIGSEGV)")
    hang = died(Verdict.TIMED_OUT, "gave no answer within 60 s")
    number = Result("values/sum", 1, "column", Verdict.FAIL, kind=Kind.NUMBER)
    shape = replace(number, kind=Kind.SHAPE, happened="it gave shape (1,) where () is due")
    found = {"a": [crash], "b": [number, crash], "c": [shape], "d": [hang]}
    assert numeric(found) == ["b", "c"]
    assert [len(each.results) for each in reasons(found)] == [2, 1, 1]


def test_what_raised_is_no_evidence_of_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside a wrong number, the requirements at which a call raised are left out of the pattern."""
    found = asked(flat_only).run
    results = tuple(
        replace(each, verdict=Verdict.FAIL, detail="gave 1 where 2 is right.", kind=Kind.NUMBER, happened="")
        if each.requirement == "support/nan"
        else each
        for each in found.results
    )
    refuses = Fault("refuses", "layout", "Refuses three axes.", frozenset(broken(found)))
    cleans = Fault("cleans", "special value", "Takes NaN for 0.", frozenset({"support/nan"}))
    monkeypatch.setattr(causes, "known", lambda: (refuses,))
    assert likely_cause(replace(found, results=results)) == ""
    monkeypatch.setattr(causes, "known", lambda: (refuses, cleans))
    said = "Likely cause: takes NaN for 0 (a known fault, which shares 1 of 1 failures)."
    assert likely_cause(replace(found, results=results)) == said
