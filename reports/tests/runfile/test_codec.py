"""A record is written, checked and described by its fields alone."""

from collections.abc import Mapping
from typing import Any

import pytest

from kl_reports.runfile import codec
from kl_reports.runfile.cell_id import CellId, chapter_of, slug_of
from kl_reports.runfile.codec import LineError
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Header, Result, Verdict
from kl_reports_testkit.example_runs import example_run

RESULT = {"requirement": "values/sum", "revision": 1, "column": "x", "verdict": "PASS"}
HEADER = encode(example_run(("cpu",)).header)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"revision": True}, "'revision': expected a whole number, given True"),
        ({"requirement": None}, "'requirement': expected text, given None"),
        ({"verdict": "GOOD"}, "'verdict': 'GOOD' is not known; known: PASS, FAIL, EXPECTED"),
        ({"seconds": 0.5}, "'seconds': expected a bit pattern, given 0.5"),
        ({"headroom": "f64:1"}, "'headroom': f64 has 16 hex digits, given 1"),
        ({"budget": [{"amount": "f64:3ff0000000000000"}]}, "'budget': 'name' is missing"),
        ({"budget": {}}, "'budget': expected a list, given {}"),
        ({"witness": []}, "'witness': expected an object, given []"),
        ({"fixed": {"problems": "many"}}, "'fixed': 'problems': expected a whole number, given 'many'"),
        ({"spread": {"signed": {"a": 1}}}, "'spread': 'signed': expected a whole number as key, given 'a'"),
        ({"detail": 3 * 10**100}, "'detail': expected text, given 3000"),
    ],
)
def test_an_invalid_result_is_described(damage: Mapping[str, Any], message: str) -> None:
    """The message has the field, what was expected and what was given."""
    with pytest.raises(LineError) as raised:
        codec.decode(Result, RESULT | dict(damage))
    assert str(raised.value).startswith(message)
    assert len(str(raised.value)) < 200


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"planned": ["x"]}, "'planned': expected text of the form requirement@column, given 'x'"),
        ({"environment": {"": {"python": 3}}}, "'environment': expected text, given 3"),
        ({"columns": {"x": {"implementation": "y"}}}, "'columns': 'framework' is missing"),
        ({"seed": "7"}, "'seed': expected a whole number, given '7'"),
    ],
)
def test_an_invalid_header_is_described(damage: Mapping[str, Any], message: str) -> None:
    """A nested field is named with the fields around it."""
    with pytest.raises(LineError) as raised:
        codec.decode(Header, HEADER | dict(damage))
    assert str(raised.value) == message


def test_a_field_at_its_default_is_left_out() -> None:
    """A result with a verdict only has no other keys, and is decoded to the same result."""
    plain = Result("values/sum", 1, "x", Verdict.PASS)
    assert codec.encode(plain) == RESULT
    assert codec.decode(Result, RESULT | {"later": [1], "headroom": None}) == plain


def test_a_cell_is_named_by_requirement_and_column() -> None:
    """The text of a cell id is its permalink and is parsed to the same id."""
    cell = CellId.parse("values/sum@torch.kl_div-2.13.0@x")
    assert (cell.requirement, cell.column, cell.chapter) == ("values/sum", "torch.kl_div-2.13.0@x", "values")
    assert str(cell) == "values/sum@torch.kl_div-2.13.0@x"
    assert (chapter_of("values/sum"), slug_of("values/sum")) == ("values", "sum")


@pytest.mark.parametrize(
    ("name", "members"),
    [
        ("is_news", "FAIL FIXED NONDETERMINISTIC CRASHED TIMED_OUT"),
        ("is_good", "PASS FIXED"),
        ("is_bad", "FAIL EXPECTED NONDETERMINISTIC CRASHED TIMED_OUT"),
        ("is_accepted", "PASS EXPECTED"),
        ("is_recorded", "EXPECTED FIXED"),
        ("is_silent", "CRASHED TIMED_OUT"),
        ("has_run", "PASS FAIL EXPECTED FIXED UNDECIDED NONDETERMINISTIC CRASHED TIMED_OUT"),
        ("is_judged", "PASS FAIL EXPECTED FIXED NONDETERMINISTIC CRASHED TIMED_OUT"),
        ("is_calm", "PASS UNDECIDED UNSUPPORTED MISSING"),
    ],
)
def test_each_verdict_belongs_to_sets(name: str, members: str) -> None:
    """The properties of verdicts are the sets listed here."""
    assert {each.name for each in Verdict if getattr(each, name)} == set(members.split())
