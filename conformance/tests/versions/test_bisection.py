"""A range of versions is narrowed down to every turn in it, and what nobody asked is never guessed."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_conformance.versions.bisection import Bisection, EndpointError, Outcome, Probe, bisect

OUTCOMES = {"g": Outcome.GOOD, "b": Outcome.BAD, "s": Outcome.SKIP}


def found(text: str, *, every: bool = False) -> tuple[Bisection, list[str]]:
    """Bisect a range written one letter a version: g, b or s; return also what was asked, in that order."""
    asked = list[str]()

    def ask(version: str) -> Probe:
        asked.append(version)
        return Probe(version, OUTCOMES[text[int(version)]])

    return bisect([str(place) for place in range(len(text))], ask, every=every), asked


@given(st.integers(1, 60), st.integers(1, 60))
def test_one_turn_is_found_in_few_questions(good: int, bad: int) -> None:
    """In a range that turns once, the turn is found, with as many questions as its logarithm and the checks."""
    result, asked = found("g" * good + "b" * bad)
    (turn,) = result.turns
    assert (turn.before.version, turn.after.version) == (str(good - 1), str(good))
    assert len(asked) <= 2 + (good + bad).bit_length() + 2
    assert len(set(asked)) == len(asked)
    assert result.monotone


@given(st.text("gbs", min_size=1, max_size=30))
def test_asking_every_version_finds_every_turn(middle: str) -> None:
    """With every version asked, the turns are those of the range with the skipped ones taken out."""
    text = f"g{middle}b"
    result, asked = found(text, every=True)
    told = [(str(place), each) for place, each in enumerate(text) if each != "s"]
    turns = [(one[0], two[0]) for one, two in itertools.pairwise(told) if one[1] != two[1]]
    assert [(turn.before.version, turn.after.version) for turn in result.turns] == turns
    assert sorted(asked, key=int) == [str(place) for place in range(len(text))]
    assert result.untested == 0


@given(st.text("gbs", min_size=1, max_size=30))
def test_every_turn_that_is_told_is_one(middle: str) -> None:
    """Without asking all, each turn told has a good and a bad side, and nothing but skipped versions between."""
    text = f"g{middle}b"
    result, _ = found(text)
    assert result.turns
    for turn in result.turns:
        left, right = int(turn.before.version), int(turn.after.version)
        assert {text[left], text[right]} == {"g", "b"}
        assert set(text[left + 1 : right]) <= {"s"}
        assert len(turn.skipped) == right - left - 1


def test_a_failed_install_is_neither_good_nor_bad() -> None:
    """Versions that cannot be asked are passed over, and named where they hide the turn."""
    result, _ = found("ggssbb")
    (turn,) = result.turns
    assert (turn.before.version, turn.after.version) == ("1", "4")
    assert [probe.version for probe in turn.skipped] == ["2", "3"]


def test_a_range_that_turns_back_is_told_with_all_its_turns() -> None:
    """Where a check in a long stretch meets something else, the search goes on there."""
    result, _ = found("gggggggggbbbbbbggbbbb")
    assert len(result.turns) == 3
    assert not result.monotone


@pytest.mark.parametrize(
    ("text", "words"),
    [("bb", "0 was said to be good and is bad"), ("gs", "1 was said to be bad and is skip")],
)
def test_both_ends_are_asked_first(text: str, words: str) -> None:
    """An end that is not what it was said to be ends the search before it begins."""
    with pytest.raises(EndpointError, match=words):
        found(text)
