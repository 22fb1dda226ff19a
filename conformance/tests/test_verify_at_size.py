"""At the size given with --shape, one wrong element is found and located."""

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

REQUIREMENT, SIZE = "layouts/used-at", (300, 70)


def result_of(after: Callable[[Array], Array], size: tuple[int, int] | None = SIZE) -> Result:
    """Return the result of a miniature with changed answers, at a size."""
    return evaluate(
        REQUIREMENT, subject(replace(Miniature(after=after).implementation(), typical_shape=size), "float32")
    )


def one_term(answer: Array) -> Array:
    """Double one element of an answer of that size."""
    if answer.shape == SIZE:
        answer[211, 33] *= 2
    return answer


def reduced_sum(answer: Array) -> Array:
    """Reduce a sum by 0.1 %."""
    return answer if answer.ndim else np.asarray(answer * np.float32(0.999))


def not_a_number(answer: Array) -> Array:
    """Replace the last element with NaN."""
    if answer.shape == SIZE:
        answer[-1, -1] = np.nan
    return answer


def test_a_correct_kernel_passes_after_two_problems() -> None:
    """The elements are one problem and their sum is another, in every profile."""
    result = result_of(lambda answer: answer)
    assert result.verdict is Verdict.PASS
    assert result.problems == 2
    assert result.headroom is not None


@pytest.mark.parametrize(
    ("fault", "place"), [(one_term, "row 211, class 33 of 300 × 70"), (not_a_number, "row 299, class 69 of 300 × 70")]
)
def test_a_wrong_element_is_named_by_its_row_and_class(fault: Callable[[Array], Array], place: str) -> None:
    """The witness contains this element only."""
    result = result_of(fault)
    assert result.verdict is Verdict.FAIL
    assert place in result.detail
    assert result.witness is not None
    assert len(result.witness["target"]["bits"]) == 1


def test_a_wrong_sum_is_found() -> None:
    """The sum may be wrong although every element is correct."""
    result = result_of(reduced_sum)
    assert result.verdict is Verdict.FAIL
    assert "300 × 70" in result.detail


def test_without_a_size_the_requirement_is_not_applicable() -> None:
    """The reason names the option."""
    result = result_of(one_term, None)
    assert result.verdict is Verdict.UNSUPPORTED
    assert "--shape ROWSxCLASSES" in result.detail


def test_verify_takes_a_size() -> None:
    """A size given to `verify` is tested."""

    def function(p: Array, q: Array) -> Array:
        with np.errstate(all="ignore"):
            return one_term(np.asarray(p * np.log(p / q)))

    found = verify(function, "scipy.special.rel_entr", dtype="float32", profile="quick", seed=1, shape=SIZE)
    assert REQUIREMENT in {each.requirement for each in found.findings}


@pytest.mark.parametrize("text", ["2048", "2048x", "axb", "0x5", "2x3x4", "-1x4"])
def test_an_invalid_shape_is_an_error(text: str) -> None:
    """The message contains the text and an example."""
    with pytest.raises(ValueError, match=f"{text!r} is not ROWSxCLASSES, such as 2048x131072"):
        parse_shape(text)


def test_the_command_line_reports_an_invalid_shape(tmp_path: Path) -> None:
    """The message is one sentence, and the exit code is 2."""
    done = run_cli("verify", SLOW, "--like", "scipy.special.rel_entr", "--shape", "2048", at=tmp_path)
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "the shape '2048' is not ROWSxCLASSES, such as 2048x131072" in done.err


def test_a_shape_is_rows_and_classes() -> None:
    """An empty text is no shape."""
    assert parse_shape("2048x131072") == (2048, 131072)
    assert parse_shape("") is None
