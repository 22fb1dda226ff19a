"""Two runs are compared on the same problems, and every cell is in one bucket."""

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
    """A cell that passed and fails is regressed; one that was not run is never a change of the implementation."""
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
def test_a_headroom_that_moved_by_more_than_two_is_reported(was: float | None, now: float, bucket: Bucket) -> None:
    """A smaller move, or one of small headrooms, is changed bits; the same bits are unchanged."""
    old = run(COLUMN, V.PASS, fixed=Fixed(40, was, "1" * 16))
    assert only(old, run(NEWER, V.PASS, fixed=Fixed(40, now, "2" * 16))).bucket is bucket
    assert only(old, run(NEWER, V.PASS, fixed=Fixed(40, now, "1" * 16))).bucket is Bucket.UNCHANGED


def test_bits_of_two_machines_are_not_compared() -> None:
    """Bits of two machines are no evidence about the versions; verdicts are."""
    machine = {"": {"platform": "another", "torch": "2.13.0"}}
    moved = run(NEWER, V.PASS, fixed=Fixed(40, 0.5, "2" * 16), environment=machine)
    assert only(run(COLUMN, V.PASS), moved).bucket is Bucket.NOT_COMPARABLE
    failed = run(NEWER, V.FAIL, environment=machine)
    assert only(run(COLUMN, V.PASS), failed).bucket is Bucket.REGRESSED


def test_a_failure_found_with_another_seed_is_newly_observed() -> None:
    """A problem drawn with another seed is no evidence of a regression, nor of a fix."""
    found = run(NEWER, V.FAIL, fixed=GIVEN, seed=2)
    assert only(run(COLUMN, V.PASS), found).bucket is Bucket.NEWLY_OBSERVED
    assert only(found, run(NEWER, V.PASS)).bucket is Bucket.NOT_COMPARABLE
    same = run(NEWER, V.FAIL, fixed=GIVEN)
    assert only(run(COLUMN, V.PASS), same).bucket is Bucket.REGRESSED
    on_fixed = run(NEWER, V.FAIL, seed=2)
    assert only(run(COLUMN, V.PASS), on_fixed).bucket is Bucket.REGRESSED


def test_another_suite_is_no_regression() -> None:
    """A requirement that was revised, or has other problems, is a change of the suite."""
    old = run(COLUMN, V.PASS)
    assert compare(*_two(old, run(NEWER, V.FAIL, revision=2))).of(Bucket.SUITE_CHANGED)
    other = {CELL: {"revision": 1, "problems": "def"}}
    assert compare(*_two(old, run(NEWER, V.FAIL, requirements=other))).of(Bucket.SUITE_CHANGED)


def _two(old: Run, new: Run) -> tuple[Run, Run]:
    """Return the runs with a second, unchanged cell, so that they can be compared."""

    def more(each: Run) -> Run:
        (column,) = each.header.columns.values()
        second = Result("values/nan", 1, column.key, V.PASS, fixed=GIVEN)
        return replace(each, results=(*each.results, second))

    return more(old), more(new)


def test_runs_of_another_suite_or_profile_are_refused() -> None:
    """If no cell has the same problems in both, one message says so and what to do."""
    other = {CELL: {"revision": 1, "problems": "def"}}
    with pytest.raises(IncomparableError, match=r"profile quick.*profile thorough; run both"):
        compare(run(COLUMN, V.PASS), run(NEWER, V.PASS, requirements=other, profile="thorough"))


def test_runs_of_different_implementations_are_refused() -> None:
    """Two runs without a common column cannot be compared, and the message names both."""
    scipy = Column("scipy.rel_entr", "scipy", "1.17", "cpu", "float64", "eager")
    with pytest.raises(IncomparableError, match=r"tested torch\.kl_div 2\.12\.0.*scipy\.rel_entr 1\.17"):
        compare(run(COLUMN, V.PASS), run(scipy, V.PASS))


def test_a_run_of_two_versions_is_refused() -> None:
    """A run with two versions of a column is ambiguous."""
    both = head(COLUMN, columns={each.key: each for each in (COLUMN, NEWER)})
    with pytest.raises(IncomparableError, match=r"2\.12\.0 and 2\.13\.0"):
        compare(Run(both, ()), run(NEWER, V.PASS))


def test_the_last_cell_of_a_cut_off_run_is_not_comparable() -> None:
    """The cell during which a run was cut off is no evidence, and a remark says that it was cut off."""
    cut = run(NEWER, V.CRASHED, finished=None)
    comparison = compare(run(COLUMN, V.PASS), cut)
    assert comparison.changes[0].bucket is Bucket.NOT_COMPARABLE
    assert "new run was cut off" in comparison.remarks[0]


def test_other_bits_of_a_failure_are_reported() -> None:
    """A cell that fails on both sides on the same problem with another number has changed bits."""
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
def test_a_replay_decides_the_bucket(
    before: Verdict, after: Verdict, old: Observation, new: Observation, bucket: Bucket
) -> None:
    """The replay of one witness on both versions is stronger evidence than the record."""
    change = only(run(COLUMN, before), run(NEWER, after))
    assert change.replayable
    assert reclassified(change, Replayed(old, new)).bucket is bucket


def test_a_change_that_cannot_be_replayed_stays_as_recorded() -> None:
    """A version that cannot be tested is no evidence, and the reason says so."""
    change = only(run(COLUMN, V.PASS), run(NEWER, V.FAIL))
    change = reclassified(
        change, Replayed(Observation.NOT_TESTED, Observation.FAILED, "torch 2.12.0 has no wheel here")
    )
    assert change.bucket is Bucket.REGRESSED
    assert "torch 2.12.0 has no wheel here" in change.reason


def test_the_environment_comes_first() -> None:
    """The differences between the environments come before any cell."""
    old, new = run(COLUMN, V.PASS), run(NEWER, V.FAIL, seed=2)
    assert [(each.name, each.old, each.new) for each in differences(old, new)] == [
        ("torch", "2.12.0", "2.13.0"),
        ("seed", "1", "2"),
    ]
    words = text(compare(old, new))
    assert words.index("torch: 2.12.0 → 2.13.0") < words.index("REGRESSED")
    assert "The two environments are the same." in text(compare(old, old))


def test_a_regression_is_described_with_its_witness() -> None:
    """Every format has the requirement, the column, the reason and the numbers."""
    comparison = compare(run(COLUMN, V.PASS), run(NEWER, V.FAIL, detail="gave NaN"))
    for words in (text(comparison), markdown(comparison)):
        for part in ("values/sum", "2.13.0 cpu float32 eager", "gave NaN", "1 regressed", "call: "):
            assert part in words.replace("\\", "")
    data = json.loads(as_json(comparison))
    assert data["counts"] == {"regressed": 1}
    (change,) = data["changes"]
    assert change["bucket"] == "regressed"
    assert (change["old"]["verdict"], change["new"]["verdict"]) == ("PASS", "FAIL")
    assert change["new"]["witness"]["got"] == WITNESS["got"]
    assert commands(comparison, [Bucket.REGRESSED]).startswith("::error ")
    assert commands(comparison, []).startswith("::notice ")


def test_the_exit_code_depends_on_the_buckets_that_fail() -> None:
    """It is 1 if a cell is in one of them, else 0."""
    comparison = compare(run(COLUMN, V.PASS), run(NEWER, V.FAIL))
    assert exit_code(comparison, [Bucket.REGRESSED]) == 1
    assert exit_code(comparison, [Bucket.MISSING, Bucket.FIXED]) == 0


def test_a_whole_run_compared_with_itself_is_unchanged() -> None:
    """Every verdict compared with itself is unchanged, except those that are not deterministic."""
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
    """No text of a run file has an effect on a terminal, in Markdown or in a workflow."""
    before = tuple(replace(each, verdict=V.PASS) for each in hostile_run.results)
    comparison = compare(replace(hostile_run, results=before), hostile_run)
    assert comparison.of(Bucket.REGRESSED)
    for words in (text(comparison), markdown(comparison), commands(comparison, list(Bucket))):
        assert not any(ord(character) < 32 and character != "\n" for character in words)
