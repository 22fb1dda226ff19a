"""At the size a kernel is used at, one wrong element is found and named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.runs.selection import parse_shape
from kl_conformance.verification import verify
from kl_conformance_testkit.command import SLOW, run_cli
from kl_conformance_testkit.subjects import evaluate, subject
from kl_reports.runfile.records import Result, Verdict

USED_AT, SIZE = "layouts/used-at", (300, 70)


def asked(after: Callable[[Array], Array], size: tuple[int, int] | None = SIZE) -> Result:
    """Return the verdict of a sketch whose answers are changed, at a size."""
    return evaluate(
        USED_AT, subject(replace(Miniature(after=after).implementation(), typical_shape=size), "float32")
    )


def one_term(answer: Array) -> Array:
    """Double one element of a sheet."""
    if answer.shape == SIZE:
        answer[211, 33] *= 2
    return answer


def sums(answer: Array) -> Array:
    """Leave the sum a little short."""
    return answer if answer.ndim else np.asarray(answer * np.float32(0.999))


def not_a_number(answer: Array) -> Array:
    """Lose the last element."""
    if answer.shape == SIZE:
        answer[-1, -1] = np.nan
    return answer


def test_a_right_kernel_holds_and_is_asked_once() -> None:
    """All elements and one sum are two judgements, whatever the profile."""
    result = asked(lambda answer: answer)
    assert result.verdict is Verdict.PASS
    assert result.problems == 2
    assert result.headroom is not None


@pytest.mark.parametrize(
    ("fault", "place"),
    [(one_term, "row 211, class 33 of 300 × 70"), (not_a_number, "row 299, class 69 of 300 × 70")],
)
def test_a_wrong_element_is_named_by_its_row_and_class(fault: Callable[[Array], Array], place: str) -> None:
    """It is shown alone, with what is right and what was given."""
    result = asked(fault)
    assert result.verdict is Verdict.FAIL
    assert place in result.detail
    assert result.witness is not None
    assert len(result.witness["target"]["bits"]) == 1


def test_a_wrong_sum_is_found() -> None:
    """Where every element is right, their sum may still be wrong."""
    result = asked(sums)
    assert result.verdict is Verdict.FAIL
    assert "300 × 70" in result.detail


def test_without_a_size_nobody_is_asked() -> None:
    """The reason says how to name one."""
    result = asked(one_term, None)
    assert result.verdict is Verdict.UNSUPPORTED
    assert "--shape ROWSxCLASSES" in result.detail


def test_verify_takes_a_size() -> None:
    """A size given to `verify` is asked."""

    def function(p: Array, q: Array) -> Array:
        with np.errstate(all="ignore"):
            made = np.asarray(p * np.log(p / q))
        return one_term(made)

    found = verify(
        function, like="scipy.special.rel_entr", dtype="float32", profile="quick", seed=1, shape=SIZE
    )
    assert USED_AT in {each.requirement for each in found.findings}


@pytest.mark.parametrize("text", ["2048", "2048x", "axb", "0x5", "2x3x4", "-1x4"])
def test_a_shape_that_is_none_is_refused(text: str) -> None:
    """The message gives what was written and an example."""
    with pytest.raises(ValueError, match=f"{text!r} is not ROWSxCLASSES, such as 2048x131072"):
        parse_shape(text)


def test_the_command_line_refuses_it_too(tmp_path: Path) -> None:
    """One sentence, and exit code 2."""
    done = run_cli("verify", SLOW, "--like", "scipy.special.rel_entr", "--shape", "2048", at=tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "the shape '2048' is not ROWSxCLASSES, such as 2048x131072" in done.err


def test_a_shape_is_rows_and_classes() -> None:
    """Nothing written is no shape."""
    assert parse_shape("2048x131072") == (2048, 131072)
    assert parse_shape("") is None
