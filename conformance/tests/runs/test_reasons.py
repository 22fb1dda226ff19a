"""A failure without a wrong number is described once, in a sentence that says what to do."""

import re
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
import pytest

from kl_cases.recipes import Recipe, build
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
from kl_reports.analysis.kernel import failures
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
    """Raise for three axes or more, with their number in the message."""
    if np.ndim(p) > 2:
        raise ValueError(f"expected 2 axes at most, got {np.ndim(p)}")
    return correct_kernel(p, q)


def nothing(p: Any, q: Any) -> Any:
    """Return nothing."""
    correct_kernel(p, q)


def terms_and_sum(p: Any, q: Any) -> Any:
    """Return the terms and their sum."""
    return correct_kernel(p, q), correct_kernel(p, q).sum()


def extra_axis(p: Any, q: Any) -> Any:
    """Return the terms with an additional axis."""
    return correct_kernel(p, q)[None]


def verified(kernel: Any, dtype: str = "float32") -> Verification:
    """Verify a NumPy kernel that follows SciPy's, in profile quick."""
    return verify(kernel, REL_ENTR, dtype=dtype.split(","), profile="quick", seed=1)


SAME = "Every failure is the same, and no number is wrong: "


@pytest.mark.parametrize(
    ("kernel", "dtype", "cause"),
    [
        (always, "float32", f"{SAME}it raised RuntimeError: no kernel image is available."),
        (
            single_only,
            "float32,float64",
            f"{SAME}it raised TypeError: expected float32, got float64; only in float64. `--dtype float32` tests "
            "only float32.",
        ),
        (
            single_only,
            "float64",
            f"{SAME}it raised TypeError: expected float32, got float64. If it does not support float64, "
            "`--dtype float32` tests only float32.",
        ),
        (nothing, "float32", f"{SAME}it returned None, expected a numpy.ndarray."),
        (terms_and_sum, "float32", f"{SAME}it returned a tuple of 2, expected a numpy.ndarray."),
    ],
)
def test_one_reason_is_one_sentence(kernel: Kernel, dtype: str, cause: str) -> None:
    """A kernel that always fails for one reason gets this reason, the dtypes and a hint, and no likely cause."""
    found = verified(kernel, dtype)
    assert found.cause == cause
    assert len(failures(found.run)) >= 20
    screen = str(found)
    assert "Likely cause" not in screen
    assert screen.count("requirements (f") == 1
    assert screen.count("P = ") <= 1
    assert len(screen.splitlines()) < 50
    assert github(found.run, found.cause, "kernel.py").count("::error") == 1


def test_an_error_for_some_shapes_is_one_reason() -> None:
    """An error for three axes is one finding, however many requirements use three axes."""
    found = verified(flat_only)
    assert found.cause == f"{SAME}it raised ValueError: expected 2 axes at most, got 3."
    (reason,) = reasons(failures(found.run))
    assert len(reason.results) > 1


def test_one_message_with_other_numbers_is_one_reason() -> None:
    """Messages that differ only in a number are one reason, with the text of the first."""
    three, four = (raised(f"got {number} axes") for number in (3, 4))
    (reason,) = reasons({"a": [three], "b": [four]})
    assert (reason.event, reason.varied) == ("it raised ValueError: got 3 axes", True)
    other = raised("got no axes")
    assert len(reasons({"a": [three], "b": [other]})) == 2


def test_a_wrong_shape_everywhere_is_no_fingerprint() -> None:
    """An additional axis is described as such, whichever known fault fails the same requirements."""
    found = verified(extra_axis)
    assert "Likely cause" not in str(found)
    assert re.search(r"\bshape \(1, .* \(", found.cause)


def test_a_missing_backward_pass_is_one_reason() -> None:
    """Gradients that raise are one finding; the values pass."""

    def call(modules: Any, call: Call) -> Any:
        del modules
        return correct_kernel(*call.arguments)

    def gradient(*arguments: Any) -> Any:
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
    assert all(name.startswith(("gradients/", "layouts/", "state/")) for name in failures(found.run))


def test_a_kernel_that_prints_and_warns_conforms() -> None:
    """Output and suppressed warnings are no failures."""

    def printing(p: Any, q: Any) -> Any:
        print("computed")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.warn("the fast path was not taken", stacklevel=1)
        return correct_kernel(p, q)

    assert verified(printing).conforms


class Leaf:
    """A tensor that can be detached from its graph."""

    def detach(self) -> Self:
        """Return itself."""
        return self


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (np.zeros(3), "returned a numpy.ndarray, expected a test_reasons.Leaf"),
        (0.5, "returned a float, expected a test_reasons.Leaf"),
        (None, "returned None, expected a test_reasons.Leaf"),
        ([Leaf()], "returned a list of 1, expected a test_reasons.Leaf"),
    ],
)
def test_an_answer_that_is_no_tensor_is_named_with_the_expected_type(
    returned: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message contains both types."""
    monkeypatch.setattr(Leaf, "__module__", "test_reasons")

    def returning(answer: Any) -> Implementation:
        def function(modules: Any, call: Call) -> Any:
            return answer

        return checked(Implementation("my_kl", "numpy", "numpy", Convention(), function))

    tested = subject()
    call = replace(
        tested.build_call(tested.problem(build(Recipe("dirichlet-flat", (2, 3), Dtype.FLOAT32, 0)))), target=Leaf()
    )
    with pytest.raises(MisgivenError, match=message):
        returning(returned).call(None, call)
    leaf = Leaf()
    assert returning(leaf).call(None, call) is leaf


def exited(verdict: Verdict, reason: str) -> Result:
    """Return the result of a cell whose process ended during a call."""
    call = "the call in progress was kl() of shapes [1, 4]."
    kind = Kind.TIMED_OUT if verdict is Verdict.TIMED_OUT else Kind.CRASHED
    detail, happened = f"Its process {reason}; {call}", f"its process {reason}"
    return Result("values/sum", 1, "column", verdict, detail, kind=kind, happened=happened, last_call=call)


def raised(message: str) -> Result:
    """Return the result of a cell whose call raised an error."""
    happened = f"it raised ValueError: {message}"
    return Result("values/sum", 1, "column", Verdict.FAIL, kind=Kind.RAISED, happened=happened)


def test_an_exit_is_a_reason_and_a_wrong_number_is_not() -> None:
    """A crash and a timeout are reasons; a wrong number is a finding of its own."""
    crash = exited(Verdict.CRASHED, "was ended by signal 11 (SIGSEGV)")
    hang = exited(Verdict.TIMED_OUT, "returned no answer within 60 s")
    number = Result("values/sum", 1, "column", Verdict.FAIL, kind=Kind.NUMBER)
    shape = replace(number, kind=Kind.SHAPE, happened="it returned shape (1,), expected ()")
    found = {"a": [crash], "b": [number, crash], "c": [shape], "d": [hang]}
    assert numeric(found) == ["b", "c"]
    assert [len(each.results) for each in reasons(found)] == [2, 1, 1]


def test_an_error_is_no_evidence_of_a_fault() -> None:
    """Requirements in which a call raised an error do not count for the likely cause of a wrong number."""
    found = verified(flat_only).run
    results = tuple(
        replace(each, verdict=Verdict.FAIL, detail="returned 1, expected 2.", kind=Kind.NUMBER, happened="")
        if each.requirement == "support/nan"
        else each
        for each in found.results
    )
    refuses = Fault("refuses", "layout", "Refuses three axes.", frozenset(failures(found)))
    cleans = Fault("cleans", "special value", "Takes NaN for 0.", frozenset({"support/nan"}))
    changed = replace(found, results=results)
    assert likely_cause(changed, (refuses,)) == ""
    expected = "Likely cause: takes NaN for 0 (a known fault with 1 of 1 failed requirements in common)."
    assert likely_cause(changed, (refuses, cleans)) == expected
