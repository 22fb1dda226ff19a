"""What people ask first is answered by requirements there are, for implementations there are."""

from __future__ import annotations

import json

from kl_conformance import catalogue, heading
from kl_conformance.guide import EVIDENCE, QUESTIONS, guide
from kl_conformance.registry import IMPLEMENTATIONS
from kl_conformance.showing import guided
from kl_reports.result import Header, Run

REQUIREMENTS = {each.id for chapter in catalogue.CHAPTERS.values() for each in chapter}
SAID_ONLY = {"framework", "package", "documentation"}


def test_every_answer_rests_on_requirements_there_are() -> None:
    """No question and no property names a requirement that the catalogue lacks."""
    named = {name for each in QUESTIONS for name in each["requirements"]}
    named |= {name for requirements in EVIDENCE.values() for name in requirements}
    assert named <= REQUIREMENTS


def test_every_property_of_an_implementation_is_measured_by_something() -> None:
    """Whatever a Convention says of an implementation, some requirement would find it out if it were wrong."""
    for implementation in IMPLEMENTATIONS.values():
        assert set(heading.convention(implementation)) - SAID_ONLY <= set(EVIDENCE)


def test_what_people_write_threads_about_is_asked() -> None:
    """Terms below zero, a factor of C, softmax where log_softmax belongs, NaN from masked classes."""
    asked = " ".join(each["asked"] for each in QUESTIONS)
    for words in (
        "terms negative",
        "factor of C",
        "softmax in place of log_softmax",
        "NaN with masked classes",
    ):
        assert words in asked


def test_the_questions_turn_on_properties_there_are() -> None:
    """What a question shows of an implementation is among what is said of it."""
    known = {name for each in IMPLEMENTATIONS.values() for name in heading.convention(each)}
    assert {each["property"] for each in QUESTIONS} <= known


def test_the_guide_is_plain_data() -> None:
    """It survives the run file, and a run that has none is given today's."""
    assert json.loads(json.dumps(guide())) == guide()
    empty = Header("2026-01-02T03:04:05+00:00", "0.1.0", "quick", 7, {}, {}, {}, {}, ())
    run = guided(Run(empty, ()))
    assert run.header.guide == guide()
    assert guided(run) is run
