"""Bisection finds every transition that its tests can show, and assumes no outcome of an untested version."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_conformance.versions.bisection import Bisection, EndpointError, Outcome, Probe, bisect

OUTCOMES = {"g": Outcome.GOOD, "b": Outcome.BAD, "s": Outcome.SKIP}


def bisected(text: str, *, every: bool = False) -> tuple[Bisection, list[str]]:
    """Bisect a range written as one letter per version: g, b or s; return also the tested versions in order."""
    tested = list[str]()

    def test(version: str) -> Probe:
        tested.append(version)
        return Probe(version, OUTCOMES[text[int(version)]])

    return bisect([str(index) for index in range(len(text))], test, every=every), tested


@given(st.integers(1, 60), st.integers(1, 60))
def test_one_transition_is_found_with_few_tests(good: int, bad: int) -> None:
    """In a range with one transition, that is found with a logarithmic number of tests and the checks."""
    result, tested = bisected("g" * good + "b" * bad)
    (transition,) = result.transitions
    assert (transition.before.version, transition.after.version) == (str(good - 1), str(good))
    assert len(tested) <= 2 + (good + bad).bit_length() + 2
    assert len(set(tested)) == len(tested)
    assert result.monotone


@given(st.text("gbs", min_size=1, max_size=30))
def test_testing_every_version_finds_every_transition(middle: str) -> None:
    """With every version tested, the transitions are those of the range without its skipped versions."""
    text = f"g{middle}b"
    result, tested = bisected(text, every=True)
    decided = [(str(index), each) for index, each in enumerate(text) if each != "s"]
    expected = [(one[0], two[0]) for one, two in itertools.pairwise(decided) if one[1] != two[1]]
    assert [(each.before.version, each.after.version) for each in result.transitions] == expected
    assert sorted(tested, key=int) == [str(index) for index in range(len(text))]
    assert result.untested == 0


@given(st.text("gbs", min_size=1, max_size=30))
def test_every_reported_transition_is_one(middle: str) -> None:
    """Each transition has a good and a bad side, and only skipped versions between them."""
    text = f"g{middle}b"
    result, _ = bisected(text)
    assert result.transitions
    for transition in result.transitions:
        left, right = int(transition.before.version), int(transition.after.version)
        assert {text[left], text[right]} == {"g", "b"}
        assert set(text[left + 1 : right]) <= {"s"}
        assert len(transition.skipped) == right - left - 1


def test_a_failed_install_is_neither_good_nor_bad() -> None:
    """Versions that cannot be tested are skipped, and listed with the transition they may hide."""
    result, _ = bisected("ggssbb")
    (transition,) = result.transitions
    assert (transition.before.version, transition.after.version) == ("1", "4")
    assert [probe.version for probe in transition.skipped] == ["2", "3"]


def test_a_range_that_is_not_monotone_has_several_transitions() -> None:
    """If a check in a long untested stretch has another outcome than its neighbours, the search continues there."""
    result, _ = bisected("gggggggggbbbbbbggbbbb")
    assert len(result.transitions) == 3
    assert not result.monotone


@pytest.mark.parametrize(
    ("text", "message"), [("bb", "version 0 is bad, expected good"), ("gs", "version 1 is skipped, expected bad")]
)
def test_both_ends_are_tested_first(text: str, message: str) -> None:
    """An end of another outcome than stated ends the search before it begins."""
    with pytest.raises(EndpointError, match=message):
        bisected(text)
