"""The text summary: completeness first, levels apart, every new failure with its witness."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_reports.analysis.scores import completeness, passed_of_total, scores, state, state_counts
from kl_reports.formats.summary import exit_code, summary
from kl_reports.runfile.records import CutOff, Result, Run, Verdict


def with_verdict(run: Run, requirement: str, verdict: Verdict) -> Run:
    """Return a run in which one cell of a requirement has another verdict."""
    place = next(place for place, cell in enumerate(run.results) if cell.requirement == requirement)
    changed = replace(run.results[place], verdict=verdict, deviation="dev-1")
    return replace(run, results=(*run.results[:place], changed, *run.results[place + 1 :]))


@pytest.fixture
def calm(make_run: Callable[..., Run]) -> Run:
    """An example run in which every cell passes."""
    return make_run(["cpu"], calm=True)


def first_score(run: Run) -> str:
    """Return the score of the implementation of the first column, as text."""
    return scores(run)[0].sentence


@pytest.mark.parametrize("verdict", Verdict)
def test_only_new_failures_and_fixed_records_make_the_exit_code_one(calm: Run, verdict: Verdict) -> None:
    """A run ends with 1 exactly when a cell has one of five verdicts."""
    new = {"FAIL", "FIXED", "NONDETERMINISTIC", "CRASHED", "TIMED_OUT"}
    assert exit_code(calm) == 0
    assert exit_code(with_verdict(calm, "values/sum", verdict)) == (verdict.name in new)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict.PASS, "MUST 17 of 17 passed. {}"),
        (Verdict.FAIL, "MUST 16 of 17 passed, 1 failed. {}"),
        (Verdict.NONDETERMINISTIC, "MUST 16 of 17 passed, 1 failed. {}"),
        (Verdict.CRASHED, "MUST 16 of 17 passed, 1 crashed. {}"),
        (Verdict.TIMED_OUT, "MUST 16 of 17 passed, 1 timed out. {}"),
        (Verdict.EXPECTED, "MUST 16 of 17 passed, 1 known deviation. {}"),
        (Verdict.FIXED, "MUST 16 of 17 passed, 1 fixed. {}"),
        (Verdict.MISSING, "MUST 17 of 17 passed. {} 1 cell not run."),
        (Verdict.UNDECIDED, "MUST 17 of 17 passed. {}"),
        (Verdict.UNSUPPORTED, "MUST 17 of 17 passed. {}"),
    ],
)
def test_a_requirement_is_counted_once_by_its_state(calm: Run, verdict: Verdict, sentence: str) -> None:
    """A requirement passed if every judged cell passed; one failure or known deviation is enough not to pass."""
    others = "SHOULD 1 of 1 passed. CONVENTION 2 of 2 passed."
    assert first_score(with_verdict(calm, "values/sum", verdict)) == sentence.format(others)


@given(st.lists(st.tuples(st.sampled_from(["a/b", "a/c", "d/e"]), st.sampled_from(Verdict))))
def test_the_numbers_of_a_score_add_up(cells: list[tuple[str, Verdict]]) -> None:
    """The numbers after the total add up to it, and only requirements with a cell that ran are in the total."""
    results = [Result(requirement, 1, "column", verdict) for requirement, verdict in cells]
    counts = state_counts(results)
    passed, total, *others = map(int, re.findall(r"\d+", passed_of_total(counts)))
    assert passed + sum(others) == total == len({name for name, verdict in cells if verdict.has_run})
    assert passed <= sum(verdict is Verdict.PASS for _, verdict in cells)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((Verdict.EXPECTED, Verdict.CRASHED, Verdict.NONDETERMINISTIC), Verdict.FAIL),
        ((Verdict.PASS, Verdict.TIMED_OUT, Verdict.CRASHED), Verdict.CRASHED),
        ((Verdict.PASS, Verdict.FIXED, Verdict.EXPECTED), Verdict.EXPECTED),
        ((Verdict.PASS, Verdict.FIXED), Verdict.FIXED),
        ((Verdict.UNDECIDED, Verdict.PASS, Verdict.MISSING), Verdict.PASS),
        ((Verdict.UNDECIDED, Verdict.UNSUPPORTED), Verdict.UNDECIDED),
        ((Verdict.MISSING, Verdict.UNSUPPORTED), None),
    ],
)
def test_the_worst_cell_decides_the_state(verdicts: tuple[Verdict, ...], expected: Verdict | None) -> None:
    """Failures come before known deviations, and these before cells that passed; cells that did not run count not."""
    assert state(verdicts) is expected


def test_levels_are_never_mixed(calm: Run) -> None:
    """A failed SHOULD or CONVENTION requirement leaves the MUST score unchanged."""
    should = first_score(with_verdict(calm, "values/dtype-range", Verdict.FAIL))
    assert should == "MUST 17 of 17 passed. SHOULD 0 of 1 passed, 1 failed. CONVENTION 2 of 2 passed."
    contested = first_score(with_verdict(calm, "support/infinite", Verdict.FAIL))
    assert contested == "MUST 17 of 17 passed. SHOULD 1 of 1 passed. CONVENTION 1 of 2 passed, 1 failed."


def test_a_cell_that_did_not_run_is_never_passed(calm: Run) -> None:
    """The score of an implementation without a cell that ran has no numbers but those not run."""
    results = tuple(replace(cell, verdict=Verdict.MISSING, detail="not installed") for cell in calm.results)
    missing = replace(calm, results=results)
    assert first_score(missing) == "No cell ran. 80 cells not run."
    assert not completeness(missing).complete


def test_an_incomplete_run_says_so_first(run: Run, calm: Run) -> None:
    """A summary begins with what ran and passed; then come absent devices and other reasons for cells not run."""
    assert summary(calm).startswith("Complete: 880 of 880 cells passed.\n")
    lines = summary(run).splitlines()
    assert lines[0] == (
        "840 of 869 cells passed, 12 known deviations, 1 fixed, 12 failed, 1 not deterministic, 1 crashed, "
        "1 timed out, 1 undecided; 12 not applicable."
    )
    assert lines[1:3] == ["  no GPU here: CUDA columns not run (879 cells)", ""]
    other = replace(calm.results[0], verdict=Verdict.MISSING, detail="no compiler here")
    lines = summary(replace(calm, results=(other, *calm.results[1:]))).splitlines()
    assert lines[0] == "Incomplete: 879 of 879 cells passed; 1 not run."
    assert lines[1] == "  1 cell not run: no compiler here"
    cut = summary(replace(calm, finished=None, cut_off=(CutOff("x.jsonl.gz", 3, 8),)))
    assert cut.startswith("Cut off: 880 of 880 cells passed.\n  x.jsonl.gz was cut")
    assert "kl-conformance merge" in cut


def test_every_finding_is_described_with_its_numbers(run: Run) -> None:
    """A finding has the cell, the requirement, the inputs, the answer, the expected value and the allowed error."""
    text = summary(run)
    for part in (
        "New failures and fixed records: 16 cells",
        "FAIL support/zero-over-zero (MUST): p = 0, q = 0 (a masked class) contributes exactly 0.",
        "torch.nn.functional.kl_div 2.13.0 cpu float16 eager: failed, infinitely more than is allowed",
        "P = [0.5, 0.25, 0.25, 0.0] (probability, 1 × 4)",
        "Q = [-0.6931472, -1.3862944, -1.3862944, minus infinity] (log-probability, 1 × 4)",
        "got NaN, expected 0.0, allowed error 1.2e-07",
        "CRASHED values/pointwise",
        "FIXED values/pointwise",
        "Tested torch 2.13.0, tensorflow 2.20.0, jax 0.10.2 and scipy 1.17.1 on cpu and cuda",
        "What to do next",
        "kl-conformance explain values/exact-sum",
    ):
        assert part in text


def test_a_run_without_failures_is_summarised_plainly(calm: Run) -> None:
    """It has the sentence that there are no new failures, and no next steps."""
    assert "No new failures" in summary(calm)
    assert "What to do next" not in summary(calm)


def test_many_failures_are_counted(calm: Run) -> None:
    """After twenty-five cells the rest are counted."""
    failed = replace(calm, results=tuple(replace(cell, verdict=Verdict.FAIL) for cell in calm.results))
    assert "… and 855 more cells, on the page and in the run file." in summary(failed)
    assert len(summary(failed).splitlines()) < 80


def test_foreign_text_cannot_act_on_a_terminal(hostile_run: Run) -> None:
    """No control character, reordering or lone surrogate is printed, and every line has a limit."""
    text = summary(hostile_run)
    text.encode()
    assert {unicodedata.category(letter) for letter in text} & {"Cc", "Cs"} == {"Cc"}
    assert {letter for letter in text if unicodedata.category(letter) == "Cc"} == {"\n"}
    assert not set(text) & set("\u202e\u2066\u200f")
    assert max(map(len, text.splitlines())) < 2500
