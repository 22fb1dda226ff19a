"""The search detects every class of bug within the number of examples recorded by the study."""

import sys

import pytest

from kl_cases.corpus import cases
from kl_cases.flags import FLAGS
from kl_cases.recipes import TestProfile
from kl_conformance.cells.effort import BUILTIN_DRAWS, DRAWS
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.miniature import Miniature
from kl_conformance_testkit.subjects import subject
from studies.discovery import study as discovery
from studies.discovery.faults import FAULTS, Fault
from studies.discovery.study import SEEDS, Discovery, discover, recorded_figures, study, table

FEWER = 20
ENOUGH = 17  # if 95 of 100 seeds detect a fault, fewer than 17 of 20 do so once in 60 times
STATED = recorded_figures()
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=[fault.flag for fault in FAULTS])


def test_every_flag_of_the_corpus_has_a_fault_and_a_figure() -> None:
    """The search has been measured on every class of bug of a case."""
    flags = [fault.flag for fault in FAULTS]
    assert flags == sorted(FLAGS)
    assert {flag for case in cases() for flag in case.flags} <= set(flags)
    assert STATED.keys() == set(flags)


@each_fault
def test_a_fault_is_found_within_the_examples_stated(fault: Fault) -> None:
    """The recorded number of examples suffices for 95 of 100 seeds, and for that share of fewer seeds."""
    found = discover(fault, range(FEWER), STATED[fault.flag])
    assert sum(first is not None for first in found.first) >= ENOUGH, found.first


@each_fault
def test_the_standard_profile_draws_enough(fault: Fault) -> None:
    """Every class of bug is detected within the fewest draws of its requirement, without corpus or grid."""
    requirement = catalogue.requirement(fault.requirement)
    source = requirement.fault_source
    assert STATED[fault.flag] <= BUILTIN_DRAWS[source] <= DRAWS[source][TestProfile.STANDARD]


@each_fault
def test_the_requirement_applies_to_the_fault(fault: Fault) -> None:
    """The requirement of a fault applies to its miniature; otherwise it would detect nothing."""
    assert catalogue.requirement(fault.requirement).applies(subject(fault.miniature, fault.dtype)) is None


@pytest.mark.parametrize(
    ("first", "within"),
    [
        ([1] * SEEDS, 1),
        ([1] * 95 + [9] * 5, 1),
        ([9] * 6 + [1] * 94, 9),
        ([None] * 5 + [3] * 95, 3),
        ([None] * 6 + [3] * 94, None),
        ([2] * 18 + [7, None], 7),
    ],
)
def test_the_figure_is_what_95_of_100_seeds_need(first: list[int | None], within: int | None) -> None:
    """Seeds beyond the 95th of 100 do not count; if too many never detect the fault, there is no figure."""
    assert Discovery(FAULTS[0], tuple(first)).within == within


def test_a_correct_miniature_is_never_rejected() -> None:
    """A miniature without a fault passes, however many examples are drawn."""
    right = Fault("nothing wrong", "values/sum", Miniature(), flag="textbook")
    assert discover(right, range(3), 10).first == (None, None, None)


def test_the_page_shows_every_flag(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A row has the flag, its sentence, the fault, the requirement and the figure; a small study writes no file."""
    few = FAULTS[:2]
    monkeypatch.setattr(discovery, "FAULTS", few)
    page = table(list(study(2)))
    for fault in few:
        assert f"| {fault.flag} | {FLAGS[fault.flag]} |" in page
        assert fault.requirement in page
    assert "within which 2 of 2 seeds" in page
    before = discovery.TABLE.read_bytes()
    monkeypatch.setattr(sys, "argv", ["discovery", "--seeds", "2"])
    discovery.main()
    assert capsys.readouterr().out == page
    assert discovery.TABLE.read_bytes() == before
