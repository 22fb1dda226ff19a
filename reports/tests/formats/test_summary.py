"""A run said in sentences: completeness first, levels apart, every piece of news with its witness."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest

from kl_reports.analysis.scores import completeness, scores
from kl_reports.formats.summary import exit_code, summary
from kl_reports.runfile.records import CutOff, Run, Verdict


def with_verdict(run: Run, requirement: str, verdict: Verdict) -> Run:
    """Return a run in which one cell of a requirement got another verdict."""
    place = next(place for place, cell in enumerate(run.results) if cell.requirement == requirement)
    changed = replace(run.results[place], verdict=verdict, deviation="dev-1")
    return replace(run, results=(*run.results[:place], changed, *run.results[place + 1 :]))


@pytest.fixture
def calm(make_run: Callable[..., Run]) -> Run:
    """A made-up run in which everything holds."""
    return make_run(["cpu"], calm=True)


def first_score(run: Run) -> str:
    """Return the verdict sentence of the implementation the first column belongs to."""
    return scores(run)[0].sentence


@pytest.mark.parametrize("verdict", Verdict)
def test_news_and_nothing_else_makes_the_exit_code_one(calm: Run, verdict: Verdict) -> None:
    """A run ends with 1 exactly when some cell has news."""
    news = {"FAIL", "FIXED", "NONDETERMINISTIC", "CRASHED", "TIMED_OUT"}
    assert exit_code(calm) == 0
    assert exit_code(with_verdict(calm, "values/sum", verdict)) == (verdict.name in news)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict.PASS, "MUST 17/17 held. SHOULD 1/1 held. CONVENTION 2/2 held."),
        (Verdict.FAIL, "MUST 16/17 held, 1 broken. SHOULD 1/1 held. CONVENTION 2/2 held."),
        (Verdict.NONDETERMINISTIC, "MUST 16/17 held, 1 broken. SHOULD 1/1 held. CONVENTION 2/2 held."),
        (Verdict.CRASHED, "MUST 16/17 held, 1 crashed or timed out. SHOULD 1/1 held. CONVENTION 2/2 held."),
        (Verdict.EXPECTED, "MUST 17/17 held; 1 recorded deviation. SHOULD 1/1 held. CONVENTION 2/2 held."),
        (Verdict.FIXED, "MUST 17/17 held. SHOULD 1/1 held. CONVENTION 2/2 held. 1 cell fixed."),
        (Verdict.MISSING, "MUST 17/17 held. SHOULD 1/1 held. CONVENTION 2/2 held. 1 cell never ran."),
        (Verdict.UNSUPPORTED, "MUST 17/17 held. SHOULD 1/1 held. CONVENTION 2/2 held."),
    ],
)
def test_an_implementation_is_told_in_one_sentence(calm: Run, verdict: Verdict, sentence: str) -> None:
    """A requirement is held when every cell of it that was judged holds; the rest is said beside it."""
    assert first_score(with_verdict(calm, "values/sum", verdict)) == sentence


def test_levels_are_never_mixed(calm: Run) -> None:
    """A broken SHOULD or CONVENTION leaves the MUST score as it is."""
    should = first_score(with_verdict(calm, "values/dtype-range", Verdict.FAIL))
    assert should == "MUST 17/17 held. SHOULD 0/1 held, 1 broken. CONVENTION 2/2 held."
    contested = first_score(with_verdict(calm, "support/infinite", Verdict.FAIL))
    assert contested == "MUST 17/17 held. SHOULD 1/1 held. CONVENTION 1/2 held, 1 broken."


def test_what_never_ran_is_never_held(calm: Run) -> None:
    """An implementation none of whose cells ran holds nothing, and says so."""
    results = tuple(replace(cell, verdict=Verdict.MISSING, detail="not installed") for cell in calm.results)
    missing = replace(calm, results=results)
    assert first_score(missing) == "Nothing was judged. 80 cells never ran."
    assert not completeness(missing).complete


def test_an_incomplete_run_says_so_first(run: Run, calm: Run) -> None:
    """The first words of a summary are how much of the run there is, and why the rest is not there."""
    assert summary(calm).startswith("Complete: all 880 planned cells ran.\n")
    lines = summary(run).splitlines()
    assert (
        lines[0] == "Not all of it ran: 881 of 1,760 planned cells ran; 879 missing, 1 crashed, 1 timed out."
    )
    assert lines[1] == "  879 cells missing: no CUDA device on this machine"
    cut = summary(replace(calm, finished=None, cut_off=(CutOff("x.jsonl.gz", 3, 8),)))
    assert cut.startswith(
        "Incomplete, the run was cut off: 880 of 880 planned cells ran.\n  x.jsonl.gz was cut"
    )
    assert "kl-conformance merge" in cut


def test_every_finding_is_told_with_its_numbers(run: Run) -> None:
    """News names the cell, what must hold, the inputs in short, what was got, what is right and allowed."""
    text = summary(run)
    for part in (
        "16 cells with news:",
        "FAIL support/zero-over-zero (MUST): p = 0, q = 0 (a masked class) contributes exactly 0.",
        "torch.nn.functional.kl_div 2.13.0 cpu float16 eager: broken, infinitely more than is allowed",
        "P = [0.5, 0.25, 0.25, 0.0] (probability, 1 × 4)",
        "Q = [-0.6931472, -1.3862944, -1.3862944, minus infinity] (log-probability, 1 × 4)",
        "got NaN, expected 0.0, allowed error 1.2e-07",
        "CRASHED values/pointwise",
        "FIXED values/pointwise",
        "Asked torch 2.13.0, tensorflow 2.20.0, jax 0.10.2 and scipy 1.17.1 on cpu and cuda",
        "What to do next",
        "kl-conformance explain values/exact-sum",
    ):
        assert part in text


def test_nothing_new_is_said_plainly(calm: Run) -> None:
    """A run without news says that nothing new is broken, and asks for nothing."""
    assert "Nothing new is broken" in summary(calm)
    assert "What to do next" not in summary(calm)


def test_too_much_news_is_counted(calm: Run) -> None:
    """After twenty-five cells the rest are counted."""
    broken = replace(calm, results=tuple(replace(cell, verdict=Verdict.FAIL) for cell in calm.results))
    assert "… and 855 more cells, on the page and in the run file." in summary(broken)
    assert len(summary(broken).splitlines()) < 80


def test_foreign_text_cannot_act_on_a_terminal(hostile_run: Run) -> None:
    """No control, no reordering and no lone surrogate gets out, and no line grows without end."""
    text = summary(hostile_run)
    text.encode()
    assert {unicodedata.category(letter) for letter in text} & {"Cc", "Cs"} == {"Cc"}
    assert {letter for letter in text if unicodedata.category(letter) == "Cc"} == {"\n"}
    assert not set(text) & set("\u202e\u2066\u200f")
    assert max(map(len, text.splitlines())) < 2500
