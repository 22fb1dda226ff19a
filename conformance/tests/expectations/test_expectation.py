"""Recorded deviations excuse the recorded result, and nothing else."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.errors import RefusedError
from kl_conformance.expectations.expectation import Expectation, ExpectationError, load
from kl_conformance.frameworks.call import Call
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Array, Miniature, term
from kl_conformance_testkit.subjects import pair, subject
from kl_reference.convention import Convention, Reduction, Space
from kl_reports.runfile.records import Column, Kind, Result, Verdict

ENTRY = {
    "id": '"miniature-masked-nan"',
    "requirements": '["support/zero-over-zero", "support/block-masked"]',
    "implementations": '["miniature"]',
    "versions": '">=1"',
    "region": '"p == 0 and log_q == -inf"',
    "instead": '"isnan(got)"',
    "witness": '"support/four-corners-of-support"',
    "reason": '"0·∞ is NaN."',
}
MASKED = "support/zero-over-zero"


def toml(**changed: str | None) -> str:
    """Return a file with one deviation; a field of None is omitted."""
    fields = {**ENTRY, **changed}
    lines = (f"{key} = {value}" for key, value in fields.items() if value is not None)
    return "\n".join(("[[deviation]]", *lines))


def entry(**changed: str | None) -> Expectation:
    """Return one recorded deviation."""
    (made,) = load(toml(**changed), "miniature.toml")
    return made


def test_an_entry_is_read_in_full() -> None:
    """Every field of an entry is read; an omitted one means every column."""
    made = entry(dtypes='["float32"]', link='"https://example.org/1"', since='"2026-01-01"')
    assert made.id == "miniature-masked-nan"
    assert made.requirements == ("support/zero-over-zero", "support/block-masked")
    assert made.witnesses == ("support/four-corners-of-support",)
    assert (made.dtypes, made.devices, made.modes) == (("float32",), (), ())
    assert (made.link, made.since, made.review_by) == ("https://example.org/1", "2026-01-01", "")
    several = entry(witness='["support/four-corners-of-support", "support/masked-logit"]')
    names = [name for name, _ in several.witness_pairs()]
    assert names == ["support/four-corners-of-support", "support/masked-logit"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"reason": None}, "missing reason"),
        ({"witness": None, "region": None}, "missing region, witness"),
        ({"colour": '"red"'}, "unknown field 'colour'; known: devices, dtypes, id"),
        ({"reason": '"  "'}, "the reason is empty"),
        ({"region": '"logq == 0"'}, "unknown name 'logq' in 'logq == 0'; known: "),
        ({"region": '"p =="'}, "'p ==' is not an expression"),
        ({"instead": '"gott == 0"'}, "unknown name 'gott' in 'gott == 0'; known: "),
        ({"versions": '"new"'}, "'new'"),
        ({"versions": "1"}, "miniature-masked-nan"),
        ({"witness": '"support/no-such-case"'}, "unknown case 'support/no-such-case'; known: support/"),
        ({"witness": '"no-such-chapter/x"'}, "unknown chapter 'no-such-chapter'"),
        ({"region": "0"}, "miniature-masked-nan"),
        ({"region": '"p == isnan"'}, "isnan"),
        ({"requirements": '"support/nan"'}, "requirements"),
        ({"implementations": '"miniature"'}, "implementations"),
        ({"dtypes": '"float32"'}, "dtypes"),
    ],
    ids=range(16),
)
def test_an_entry_that_cannot_be_read_is_named(changed: dict[str, str | None], message: str) -> None:
    """An error in a file is found when it is read; the message names file, entry and error."""
    text = toml() + "\n" + toml(**changed)
    with pytest.raises(ExpectationError, match=re.escape("miniature.toml, entry 2 (")) as error:
        load(text, "miniature.toml")
    assert message in str(error.value)


def test_a_file_that_is_not_toml_is_named() -> None:
    """For invalid TOML the message names file and line."""
    with pytest.raises(ExpectationError, match=r"miniature\.toml: not TOML: .*line 2"):
        load("[[deviation]]\nid = ?", "miniature.toml")


@pytest.mark.parametrize("text", ["[deviation]\nid = 'x'\n", "deviation = 3\n", "[[deviaton]]\nid = 'x'\n"])
def test_a_file_without_deviations_is_named(text: str) -> None:
    """A file whose entries are not a list of deviations is an error, and not an empty file."""
    with pytest.raises(ExpectationError, match=r"miniature\.toml"):
        load(text, "miniature.toml")


@pytest.mark.parametrize(
    ("changed", "version", "dtype", "applies"),
    [
        ({}, "2.13.0+cpu", "float32", True),
        ({"versions": '">=1,<2.13"'}, "2.13.0+cpu", "float32", False),
        ({"versions": '"<3"'}, "2.13.0.dev20260101", "float32", True),
        ({"versions": '">=3.0.dev0"'}, "3.0.dev20260101", "float32", True),
        ({"versions": '">=1.13"'}, "1.13.0a0+gitunknown", "float32", True),  # as Debian builds torch 1.13.1
        ({"versions": '"<3"'}, "3.0.dev20260101", "float32", False),
        ({"dtypes": '["float16"]'}, "2", "float32", False),
        ({"dtypes": '["float16", "float32"]'}, "2", "float32", True),
        ({"devices": '["cuda"]'}, "2", "float32", False),
        ({"modes": '["eager"]'}, "2", "float32", True),
        ({"modes": '["jit"]'}, "2", "float32", False),
    ],
)
def test_an_entry_applies_to_its_columns_only(
    changed: dict[str, str | None], version: str, dtype: str, applies: bool
) -> None:
    """Version (builds of its sources included), device, dtype and mode decide whether an entry applies to a cell."""
    column = Column("miniature", "numpy", version, "cpu", dtype, "eager")
    assert entry(**changed).applies_to(MASKED, column) is applies
    assert not entry(**changed).applies_to("support/nan", column)
    assert not entry(**changed).applies_to(MASKED, Column("other", "numpy", version, "cpu", dtype, "eager"))


def masked_nan(p: Array, log_q: Array) -> Array:
    """Return the term with NaN where a class is masked: p·log p − p·log q with p = 0, log q = −∞."""
    with np.errstate(all="ignore"):
        return np.asarray(np.where(p == 0, 0.0, p * np.log(p)) - p * log_q)


def explained(made: Expectation, tested: Subject, reduction: Reduction) -> list[bool]:
    """Return where an entry explains the failure: a row with one masked class of three, and a correct row."""
    logs = [[0.0, -np.inf, -1.0], [-1.0, -2.0, -1.5]]
    question = pair([[0.5, 0.0, 0.5], [0.5, 0.25, 0.25]], logs, Space.LOG)
    judgement = judge.within_tolerance(tested.evaluate(tested.problem(question, reduction)))
    return np.asarray(made.explains(judgement, tested)).ravel().tolist()


def test_an_entry_explains_its_region_and_its_result() -> None:
    """A NaN at a masked class is explained; the same NaN is not where a number is recorded instead."""
    tested = subject(Miniature(term=masked_nan))
    assert explained(entry(), tested, Reduction.TERMS) == [False, True, False, False, False, False]
    assert not any(explained(entry(instead='"isinf(got)"'), tested, Reduction.TERMS))
    assert not any(explained(entry(region='"p == 0 and log_q > -inf"'), tested, Reduction.TERMS))


def test_a_sum_is_explained_by_its_terms() -> None:
    """The sum of all elements is in the region when one of its terms is."""
    tested = subject(Miniature(term=masked_nan))
    assert explained(entry(), tested, Reduction.SUM) == [True]
    assert explained(entry(region='"p > 0.9"'), tested, Reduction.SUM) == [False]


def test_a_row_s_sum_is_explained_by_its_terms() -> None:
    """A deviation in one row excuses no other row."""
    kinds = {"rows": Reduction.ROWS}
    tested = subject(Miniature(term=masked_nan, reductions=kinds, default="rows"))
    assert explained(entry(), tested, Reduction.ROWS) == [True, False]


@pytest.mark.parametrize(("limit", "reading"), [(np.float32, "clipped_in_single"), (np.float16, "clipped")])
def test_a_limit_is_rounded_to_its_dtype(limit: type[np.floating[Any]], reading: str) -> None:
    """The answer for q = 0 clipped to 1e-7 differs from that for the limit in float16, 1.19e-7."""

    def clipped(modules: object, call: Call) -> NDArray[np.float16]:
        p, q = (np.maximum(each.astype(np.float32), limit(1e-7)) for each in (call.target, call.model))
        return np.asarray(p * np.log(p / q), np.float16)

    spaces = (Space.PROBABILITY,)
    convention = Convention(target=spaces, model=spaces, clip=(1e-7, 1.0))
    tested = subject(Implementation("miniature", "numpy", "numpy", convention, clipped), "float16")
    problem = tested.problem(pair([0.5, 0.5], [0.0, 1.0]), mathematical=True)
    judgement = judge.within_tolerance(tested.evaluate(problem))
    read = {
        name: entry(region='"q == 0"', instead=f'"{name}"').explains(judgement, tested).tolist()
        for name in ("clipped", "clipped_in_single")
    }
    assert read == {name: [name == reading, False] for name in read}


@pytest.fixture
def verdict() -> Callable[..., Result]:
    """Return a function that evaluates a cell of a miniature with recorded deviations."""

    def evaluated(miniature: Miniature, *entries: Expectation) -> Result:
        tested, requirement = subject(miniature), catalogue.requirement(MASKED)
        cell = Cell(requirement, tested, effort_of(requirement, tested, TestProfile.QUICK), 0)
        cell.expected = tuple(each for each in entries if each.applies_to(MASKED, tested.column))
        return cell.evaluate()

    return evaluated


def test_a_recorded_deviation_is_expected(verdict: Callable[..., Result]) -> None:
    """A recorded deviation that still exists is EXPECTED, with reason and witness, and is no new failure."""
    result = verdict(Miniature(term=masked_nan), entry())
    assert result.verdict is Verdict.EXPECTED
    assert result.deviation == "miniature-masked-nan"
    assert result.detail == "0·∞ is NaN."
    assert result.witness is not None
    assert result.witness["case"] == "support/four-corners-of-support"


def test_an_unrecorded_deviation_fails(verdict: Callable[..., Result]) -> None:
    """The same NaN fails where it is not recorded."""
    assert verdict(Miniature(term=masked_nan)).verdict is Verdict.FAIL


def test_a_wrong_value_beside_an_excused_nan_still_fails(verdict: Callable[..., Result]) -> None:
    """A recorded NaN at masked classes excuses no wrong number at the others."""

    def both(p: Array, log_q: Array) -> Array:
        return masked_nan(p, log_q) * (1 + 1e-6)

    result = verdict(Miniature(term=both), entry())
    assert result.verdict is Verdict.FAIL
    assert result.witness is not None
    assert result.witness["target"]["shape"][-1] <= 4


def test_another_fault_in_the_region_still_fails(verdict: Callable[..., Result]) -> None:
    """In its region a deviation excuses the recorded result: −∞ where NaN is recorded is a new failure."""

    def infinite(p: Array, log_q: Array) -> Array:
        return np.where((p == 0) & (log_q == -np.inf), -np.inf, term(p, log_q))

    def sometimes(p: Array, log_q: Array) -> Array:
        return infinite(p, log_q) if p.shape[-1] > 4 else masked_nan(p, log_q)

    assert verdict(Miniature(term=sometimes), entry()).verdict is Verdict.FAIL


def test_a_deviation_that_no_longer_exists_is_fixed(verdict: Callable[..., Result]) -> None:
    """An entry that none of its witnesses shows any more has to be removed, and the cell names it."""
    result = verdict(Miniature(), entry())
    assert result.verdict is Verdict.FIXED
    assert result.deviation == "miniature-masked-nan"
    assert "the entry must go" in result.detail
    assert result.verdict.is_news


def test_each_entry_must_be_shown(verdict: Callable[..., Result]) -> None:
    """A deviation that still exists does not justify another entry."""
    gone = entry(id='"miniature-gone"', region='"p > 0"', instead='"got < 0"')
    result = verdict(Miniature(term=masked_nan), entry(), gone)
    assert (result.verdict, result.deviation) == (Verdict.FIXED, "miniature-gone")


def test_an_answer_that_raises_is_no_recorded_number(verdict: Callable[..., Result]) -> None:
    """Raising where NaN is recorded does not show the deviation."""

    def raises(p: Array, log_q: Array) -> tuple[Array, Array]:
        raise RuntimeError("out of memory")

    result = verdict(Miniature(before=raises), entry())
    assert result.verdict is not Verdict.EXPECTED


ONE_ROW = pair([[0.1, 0.2, 0.3, 0.4]], [-1.0, -2.0, -1.5, -1.25], Space.LOG)
TWO_ROWS = pair([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]], [[-1.0, -2.0, -1.5]] * 2, Space.LOG)


@pytest.mark.parametrize(
    ("region", "instead", "question", "reduction", "divisor", "other"),
    [
        ("model_length != result_length", "divided_by_model", ONE_ROW, Reduction.BATCHMEAN, 4.0, 2.0),
        ("result_length > 1", "divided_by_batch", TWO_ROWS, Reduction.SUM, 2.0, 3.0),
    ],
    ids=["mean divided by the model's first axis", "sum divided by the rows"],
)
def test_a_deviation_may_be_an_alternative_definition(
    region: str, instead: str, question: Pair, reduction: Reduction, divisor: float, other: float
) -> None:
    """The recorded divisor is explained; another divisor is not."""
    recorded = entry(region=f'"{region}"', instead=f'"{instead}"')
    for by, explains in ((divisor, True), (other, False)):
        tested = subject(Miniature(after=partial(_divided, by=by)))
        judgement = judge.within_tolerance(tested.evaluate(tested.problem(question, reduction)))
        assert judgement.is_failure
        assert bool(recorded.explains(judgement, tested).any()) is explains


def test_an_unhelpful_message_is_recorded_as_one() -> None:
    """An expected error without the names it should list is neither a missing error nor a result."""
    recorded = entry(region='"p >= 0"', instead='"unhelpful_error"')
    tested = subject()
    problem = tested.problem(pair([[0.5, 0.5]], [[-1.0, -1.0]], Space.LOG))
    call = CallDescription("call")
    poor = judge.refused(problem, call, RefusedError("raised"), "mean")
    none = judge.failed(problem, call, "accepted", Kind.ACCEPTED)
    crash = judge.refused(problem, call, RefusedError("raised"))
    found = [bool(recorded.explains(each, tested).any()) for each in (poor, none, crash)]
    assert found == [True, False, False]


def _divided(answer: Array, by: float) -> Array:
    return answer / by
