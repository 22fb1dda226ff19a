"""Two runs are held against each other like with like, and every cell lands in one bucket."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from kl_reports.comparison.change import Bucket, Change, Observation, Replayed, reclassified
from kl_reports.comparison.compare import IncomparableError, compare, differences, exit_code
from kl_reports.formats.comparison_github import commands
from kl_reports.formats.comparison_json import as_json
from kl_reports.formats.comparison_markdown import markdown
from kl_reports.formats.comparison_text import text
from kl_reports.runfile.records import Column, Fixed, Header, Result, Run, Verdict
from kl_reports_testkit.example_runs import WITNESS, header, result

CELL = "values/sum"
COLUMN = Column("torch.kl_div", "torch", "2.12.0", "cpu", "float32", "eager")
NEWER = replace(COLUMN, version="2.13.0")
GIVEN = Fixed(40, 0.5, "0" * 16)


def head(column: Column, **other: Any) -> Header:
    """Return the header of a run of one cell."""
    about = {"level": "MUST", "sentence": "The sum is right.", "revision": 1, "problems": "abc"}
    plain = replace(
        header(),
        seed=1,
        environment={"": {"platform": "Linux", "torch": column.version}},
        requirements={CELL: about},
        implementations={COLUMN.implementation: {"framework": "torch"}},
        columns={column.key: column},
        planned=(f"{CELL}@{column.key}",),
    )
    return replace(plain, **other)


def run(column: Column, verdict: Verdict, finished: str | None = "2026-01-02", **other: Any) -> Run:
    """Return a run of one cell with that verdict; keywords are fields of its result or of its header."""
    of_header = {key: other.pop(key) for key in list(other) if key in Header.__dataclass_fields__}
    fields: dict[str, Any] = {"fixed": GIVEN, "headroom": 0.5}
    if verdict is Verdict.FAIL:
        fields = {"fixed": None, "headroom": 9.0, "witness": WITNESS}
    made = replace(Result(CELL, 1, column.key, verdict), **(fields | other))
    return Run(head(column, **of_header), (made,), finished)


def only(old: Run, new: Run) -> Change:
    """Return the one cell of a comparison."""
    (change,) = compare(old, new).changes
    return change


V = Verdict
B = Bucket


@pytest.mark.parametrize(
    ("before", "after", "bucket"),
    [
        (V.PASS, V.PASS, B.UNCHANGED),
        (V.PASS, V.FAIL, B.REGRESSED),
        (V.PASS, V.EXPECTED, B.REGRESSED),
        (V.PASS, V.CRASHED, B.REGRESSED),
        (V.PASS, V.TIMED_OUT, B.REGRESSED),
        (V.FAIL, V.PASS, B.FIXED),
        (V.EXPECTED, V.PASS, B.FIXED),
        (V.EXPECTED, V.FIXED, B.FIXED),
        (V.CRASHED, V.PASS, B.FIXED),
        (V.FAIL, V.FAIL, B.UNCHANGED),
        (V.FAIL, V.EXPECTED, B.UNCHANGED),
        (V.PASS, V.MISSING, B.MISSING),
        (V.FAIL, V.MISSING, B.MISSING),
        (V.MISSING, V.PASS, B.NOT_COMPARABLE),
        (V.MISSING, V.FAIL, B.NOT_COMPARABLE),
        (V.MISSING, V.MISSING, B.UNCHANGED),
        (V.UNSUPPORTED, V.PASS, B.NOT_COMPARABLE),
        (V.UNSUPPORTED, V.UNSUPPORTED, B.UNCHANGED),
        (V.UNDECIDED, V.FAIL, B.NOT_COMPARABLE),
        (V.NONDETERMINISTIC, V.PASS, B.UNSTABLE),
        (V.PASS, V.NONDETERMINISTIC, B.UNSTABLE),
    ],
)
def test_a_change_of_verdict_has_its_bucket(before: Verdict, after: Verdict, bucket: Bucket) -> None:
    """What held and does not is regressed, what did not run is never a change of mind."""
    assert only(run(COLUMN, before), run(NEWER, after)).bucket is bucket


@pytest.mark.parametrize(
    ("was", "now", "bucket"),
    [
        (0.2, 0.45, B.WORSE),
        (0.45, 0.2, B.BETTER),
        (0.3, 0.5, B.CHANGED_BITS),
        (0.01, 0.04, B.CHANGED_BITS),
        (None, 0.4, B.CHANGED_BITS),
    ],
)
def test_a_headroom_that_moved_by_more_than_two_is_told(
    was: float | None, now: float, bucket: Bucket
) -> None:
    """Less than that, or next to nothing of what is allowed, is other bits; the same bits are the same."""
    old = run(COLUMN, V.PASS, fixed=Fixed(40, was, "1" * 16))
    assert only(old, run(NEWER, V.PASS, fixed=Fixed(40, now, "2" * 16))).bucket is bucket
    assert only(old, run(NEWER, V.PASS, fixed=Fixed(40, now, "1" * 16))).bucket is Bucket.UNCHANGED


def test_another_machine_gives_other_bits() -> None:
    """Bits of two machines say nothing about the versions; verdicts do."""
    there = {"": {"platform": "another", "torch": "2.13.0"}}
    moved = run(NEWER, V.PASS, fixed=Fixed(40, 0.5, "2" * 16), environment=there)
    assert only(run(COLUMN, V.PASS), moved).bucket is Bucket.NOT_COMPARABLE
    broken = run(NEWER, V.FAIL, environment=there)
    assert only(run(COLUMN, V.PASS), broken).bucket is Bucket.REGRESSED


def test_what_another_seed_found_is_newly_observed() -> None:
    """A problem drawn with a seed that the old run had not proves no regression, and none is fixed by luck."""
    found = run(NEWER, V.FAIL, fixed=GIVEN, seed=2)
    assert only(run(COLUMN, V.PASS), found).bucket is Bucket.NEWLY_OBSERVED
    assert only(found, run(NEWER, V.PASS)).bucket is Bucket.NOT_COMPARABLE
    same = run(NEWER, V.FAIL, fixed=GIVEN)
    assert only(run(COLUMN, V.PASS), same).bucket is Bucket.REGRESSED
    on_fixed = run(NEWER, V.FAIL, seed=2)
    assert only(run(COLUMN, V.PASS), on_fixed).bucket is Bucket.REGRESSED


def test_another_suite_is_no_regression() -> None:
    """A requirement that was revised, or asks other problems, is a change of ours."""
    old = run(COLUMN, V.PASS)
    assert compare(*_two(old, run(NEWER, V.FAIL, revision=2))).of(Bucket.SUITE_CHANGED)
    other = {CELL: {"revision": 1, "problems": "def"}}
    assert compare(*_two(old, run(NEWER, V.FAIL, requirements=other))).of(Bucket.SUITE_CHANGED)


def _two(old: Run, new: Run) -> tuple[Run, Run]:
    """Return the runs with a second cell that is as it was, so that there is something to compare."""

    def more(each: Run) -> Run:
        (column,) = each.header.columns.values()
        second = Result("values/nan", 1, column.key, V.PASS, fixed=GIVEN)
        return replace(each, results=(*each.results, second))

    return more(old), more(new)


def test_runs_of_another_suite_or_profile_are_refused() -> None:
    """Where no cell asked the same problems, that is said once, with what to do."""
    other = {CELL: {"revision": 1, "problems": "def"}}
    with pytest.raises(IncomparableError, match=r"profile quick.*profile thorough; run both"):
        compare(run(COLUMN, V.PASS), run(NEWER, V.PASS, requirements=other, profile="thorough"))


def test_runs_of_others_are_refused() -> None:
    """Two runs without a column in common cannot be compared, and the message names both."""
    scipy = Column("scipy.rel_entr", "scipy", "1.17", "cpu", "float64", "eager")
    with pytest.raises(IncomparableError, match=r"asked torch\.kl_div 2\.12\.0.*scipy\.rel_entr 1\.17"):
        compare(run(COLUMN, V.PASS), run(scipy, V.PASS))


def test_a_run_of_two_versions_is_refused() -> None:
    """One side with two versions of a column does not say which is meant."""
    both = head(COLUMN, columns={each.key: each for each in (COLUMN, NEWER)})
    with pytest.raises(IncomparableError, match=r"2\.12\.0 and 2\.13\.0"):
        compare(Run(both, ()), run(NEWER, V.PASS))


def test_a_cut_off_run_accuses_nobody() -> None:
    """The cell a run died with is not comparable, and the cut is said."""
    cut = run(NEWER, V.CRASHED, finished=None)
    comparison = compare(run(COLUMN, V.PASS), cut)
    assert comparison.changes[0].bucket is Bucket.NOT_COMPARABLE
    assert "new run was cut off" in comparison.remarks[0]


def test_other_bits_of_a_broken_answer_are_seen() -> None:
    """Broken on both sides by the same problem, with another number."""
    other = dict(WITNESS) | {"got": ["f64:3ff0000000000000"]}
    assert only(run(COLUMN, V.FAIL), run(NEWER, V.FAIL, witness=other)).bucket is Bucket.CHANGED_BITS


@pytest.mark.parametrize(
    ("before", "after", "old", "new", "bucket"),
    [
        (V.PASS, V.FAIL, Observation.PASSED, Observation.FAILED, B.REGRESSED),
        (V.PASS, V.FAIL, Observation.FAILED, Observation.FAILED, B.NEWLY_OBSERVED),
        (V.PASS, V.FAIL, Observation.PASSED, Observation.PASSED, B.UNSTABLE),
        (V.PASS, V.FAIL, Observation.UNSTABLE, Observation.FAILED, B.UNSTABLE),
        (V.FAIL, V.PASS, Observation.FAILED, Observation.PASSED, B.FIXED),
        (V.FAIL, V.PASS, Observation.FAILED, Observation.FAILED, B.UNCHANGED),
        (V.FAIL, V.PASS, Observation.PASSED, Observation.PASSED, B.UNSTABLE),
    ],
)
def test_asking_again_has_the_last_word(
    before: Verdict, after: Verdict, old: Observation, new: Observation, bucket: Bucket
) -> None:
    """The same witness put to both versions decides what is said."""
    change = only(run(COLUMN, before), run(NEWER, after))
    assert change.replayable
    assert reclassified(change, Replayed(old, new)).bucket is bucket


def test_what_cannot_be_asked_again_stays_as_recorded() -> None:
    """No version to ask is no evidence either way, and is said."""
    change = only(run(COLUMN, V.PASS), run(NEWER, V.FAIL))
    kept = reclassified(
        change, Replayed(Observation.NOT_TESTED, Observation.FAILED, "torch 2.12.0 has no wheel here")
    )
    assert kept.bucket is Bucket.REGRESSED
    assert "torch 2.12.0 has no wheel here" in kept.reason


def test_the_environment_comes_first() -> None:
    """What differs between the two environments is said before any cell, and nothing else is."""
    old, new = run(COLUMN, V.PASS), run(NEWER, V.FAIL, seed=2)
    assert [(each.name, each.old, each.new) for each in differences(old, new)] == [
        ("torch", "2.12.0", "2.13.0"),
        ("seed", "1", "2"),
    ]
    words = text(compare(old, new))
    assert words.index("torch: 2.12.0 → 2.13.0") < words.index("REGRESSED")
    assert "The two environments are the same." in text(compare(old, old))


def test_a_regression_is_told_with_its_witness() -> None:
    """The sentence, where, why, and the numbers: in every form."""
    comparison = compare(run(COLUMN, V.PASS), run(NEWER, V.FAIL, detail="gave NaN"))
    for words in (text(comparison), markdown(comparison)):
        for part in ("values/sum", "2.13.0 cpu float32 eager", "gave NaN", "1 regressed", "called as"):
            assert part in words.replace("\\", "")
    told = json.loads(as_json(comparison))
    assert told["counts"] == {"regressed": 1}
    (change,) = told["changes"]
    assert (change["bucket"], change["old"]["verdict"], change["new"]["verdict"]) == (
        "regressed",
        "PASS",
        "FAIL",
    )
    assert change["new"]["witness"]["got"] == WITNESS["got"]
    assert commands(comparison, [Bucket.REGRESSED]).startswith("::error ")
    assert commands(comparison, []).startswith("::notice ")


def test_the_exit_code_is_what_was_asked_for() -> None:
    """1 where a cell is in a bucket that fails, else 0."""
    comparison = compare(run(COLUMN, V.PASS), run(NEWER, V.FAIL))
    assert exit_code(comparison, [Bucket.REGRESSED]) == 1
    assert exit_code(comparison, [Bucket.MISSING, Bucket.FIXED]) == 0


def test_a_whole_run_compared_with_itself_is_unchanged() -> None:
    """Every verdict there is, against itself; only what never gives one answer is unstable."""
    head_ = header()
    cells = [
        result(name, column, position)
        for position, (name, column) in enumerate(
            (name, column) for name in head_.requirements for column in head_.columns.values()
        )
    ]
    whole = Run(head_, tuple(cells), "2026-01-02")
    assert set(compare(whole, whole).counts) <= {Bucket.UNCHANGED, Bucket.UNSTABLE}


def test_hostile_text_is_only_text(hostile_run: Run) -> None:
    """Whatever a run file says, nothing acts on a terminal, in Markdown or in a workflow."""
    before = tuple(replace(each, verdict=V.PASS) for each in hostile_run.results)
    comparison = compare(replace(hostile_run, results=before), hostile_run)
    assert comparison.of(Bucket.REGRESSED)
    for words in (text(comparison), markdown(comparison), commands(comparison, list(Bucket))):
        assert not any(ord(character) < 32 and character != "\n" for character in words)
