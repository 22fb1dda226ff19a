"""A run file of format 1 is read as one of format 2."""

from pathlib import Path
from typing import Any

import pytest

from kl_reports.analysis.reasons import reasons
from kl_reports.analysis.witness import show
from kl_reports.formats.summary import summary
from kl_reports.page.page import page
from kl_reports.runfile import codec, upgrade
from kl_reports.runfile.budget import BudgetItem
from kl_reports.runfile.file import read, write
from kl_reports.runfile.records import FORMAT, CutOff, Fixed, Kind, Result, Run
from kl_reports_testkit.html_tree import tree

FORMAT_1 = Path(__file__).with_name("run-1.jsonl.gz")  # two merged runs, one of them cut off
UNIT = "2.98e-08 = u·S, with u of float32 and S the condition of the answer, or its size without one"


@pytest.fixture
def first() -> Run:
    """A run read from a file of format 1."""
    return read(FORMAT_1)


def test_sentences_become_fields(first: Run) -> None:
    """Environment, cut-off files, budget and kinds of failure."""
    header = first.header
    assert header.format == FORMAT
    assert header.differing == {"python": {"torch": "3.11.7", "tensorflow": "3.12.1"}}
    assert header.shared == {"platform": "Linux", "torch": "2.13.0", "tensorflow": "2.20.0"}
    assert (first.remarks, first.cut_off) == ((), (CutOff("tensorflow.jsonl.gz", 3, 12),))
    assert first.results[0].budget == (
        BudgetItem(6.0, "conditioning", "log and exp to 4 u, and two roundings more", UNIT),
        BudgetItem(0.25, "output rounding", "the result is rounded once", UNIT),
    )
    kinds = {result.kind: result.happened for result in first.results}
    assert kinds == {
        None: "",
        Kind.CRASHED: "its process was ended by signal 11 (SIGSEGV)",
        Kind.TIMED_OUT: "its process gave no answer within 60 s",
        Kind.HARNESS: "",
        Kind.RAISED: "it raised ValueError: input and target differ",
        Kind.NO_TENSOR: "it returned a list of 2, expected a torch.Tensor",
        Kind.SHAPE: "it returned shape (2, 3), expected (2,)",
        Kind.NUMBER: "",
    }
    (wrong,) = (result for result in first.results if result.kind is Kind.NUMBER)
    assert wrong.explanation == "log q taken for q"
    assert first.results[0].last_call.startswith("it was asked kl_div() of shapes [1, 4]")
    found = {"a": [result for result in first.results if result.verdict.is_news]}
    assert len(reasons(found)) == 5


def test_a_witness_of_format_1_has_its_call_in_fields(first: Run) -> None:
    """Function, arguments, side, layouts and the upstream gradient are fields; the text is unchanged."""
    plain = next(result.witness for result in first.results if result.kind is Kind.RAISED)
    assert plain is not None
    assert plain["call"] == {
        "function": "kl_div",
        "keywords": {"input": "model", "reduction": "'batchmean'"},
        "spaces": {"target": "target"},
        "side": None,
        "text": "kl_div(input=model, target=target, reduction='batchmean')",
    }
    found = next(result.witness for result in first.results if result.kind is Kind.NUMBER)
    assert found is not None
    assert (found["call"]["side"], found["call"]["function"]) == ("model", "kl_div")
    assert found["layout"] == {"target": "transposed", "model": "strided"}
    shown = show(found)
    assert shown.call.startswith("gradient by the model of kl_div(input=log-probability")
    assert (shown.side, shown.layout) == ("model", "transposed/strided")


@pytest.mark.parametrize(
    ("text", "function", "keywords", "side"),
    [
        ("kl(target=probability, model=log-probability, axis=-1)", "kl", {"axis": "-1"}, None),
        ("gradients by both sides of kl(target=logits), that by the model", "", {}, "model"),
        ("second derivative by the target of kl(target=logits)", "kl", {}, "target"),
        ("kl(target=logits), asked for later", "", {}, None),
        ("kl(", "", {}, None),
    ],
)
def test_the_text_of_a_call_is_parsed(text: str, function: str, keywords: dict[str, str], side: str | None) -> None:
    """The function is empty if the text is not exactly one plain call; the text is unchanged."""
    call = upgrade.witness({"call": text})["call"]
    found = call["function"], call["keywords"], call["side"], call["text"]
    assert found == (function, keywords, side, text)


@pytest.mark.parametrize(
    ("note", "upstream"),
    [
        ("the upstream gradient is huge", {"kind": "huge", "layout": "contiguous"}),
        ("the upstream gradient lies transposed", {"kind": "pattern", "layout": "transposed"}),
        ("the upstream gradient is 0, and its answer is not", {"kind": "zero", "layout": "contiguous"}),
        ("must be exact", None),
    ],
)
def test_the_upstream_gradient_was_a_note(note: str, upstream: dict[str, str] | None) -> None:
    """The note becomes kind and layout of the upstream gradient."""
    assert upgrade.witness({"note": note})["upstream"] == upstream


def test_a_headroom_that_format_1_left_out_is_none() -> None:
    """Where nothing was measured on the fixed problems, format 1 had no such key."""
    data = {"kind": "result", "requirement": "a/b", "revision": 1, "column": "c", "verdict": "PASS"}
    line = upgrade.line({**data, "seconds": "f64:0000000000000000", "fixed": {"problems": 2, "bits": "0f"}})
    result = codec.decode(Result, line)
    assert result.fixed == Fixed(2, None, "0f")


@pytest.mark.parametrize(
    ("detail", "absence"),
    [
        ("torch 2.13.0 sees no CUDA device on this machine", {"absence": "NO_DEVICE"}),
        ("jax 0.10.2 sees no GPU on this machine", {"absence": "NO_DEVICE"}),
        ("the run was cut off before this cell", {}),
    ],
)
def test_an_absent_device_was_a_sentence(detail: str, absence: dict[str, str]) -> None:
    """Format 1 described it in the detail of a cell that was not run."""
    assert upgrade.failure("MISSING", detail) == absence


@pytest.mark.parametrize("odd", [None, 7, "x", [], {}, [1], {"a": 1}])
def test_fields_of_other_types_are_left_to_the_reader(odd: Any) -> None:
    """The upgrade raises no error, whatever the type of a field."""
    keys = ("verdict", "detail", "budget", "witness", "environment", "sentence")
    for kind in ("header", "result", "remark", "footer", "other"):
        upgrade.line({"kind": kind, **dict.fromkeys(keys, odd)})
    upgrade.witness(dict.fromkeys(("call", "layout", "note"), odd))


def test_a_run_of_format_1_is_shown_and_written_as_any_other(first: Run, tmp_path: Path) -> None:
    """Page and summary show what format 1 has in sentences, and the run is written in the current format."""
    text = summary(first)
    assert "tensorflow.jsonl.gz was cut off after 3 of 12 cells" in text
    assert tree(first).one("h1").line.startswith("Cut off: tensorflow.jsonl.gz. ")
    assert "6.2 = 6.0 conditioning + 0.2 output rounding, in units of 2.98e-08" in page(first)
    write(tmp_path / "second.jsonl.gz", first)
    assert read(tmp_path / "second.jsonl.gz") == first


def test_the_question_of_an_faq_entry_has_its_new_name() -> None:
    """An FAQ entry of format 1 has the field ``question``, and a guide of another shape is unchanged."""
    entry = {"asked": "Why?", "answer": "Because."}
    old = {"kind": "header", "guide": {"questions": [entry, 3], "evidence": {}}}
    questions = [{"question": "Why?", "answer": "Because."}, 3]
    assert upgrade.line(old)["guide"] == {"questions": questions, "evidence": {}}
    assert [upgrade.guide(odd) for odd in (None, {"questions": 3}, {})] == [None, {"questions": 3}, {}]
