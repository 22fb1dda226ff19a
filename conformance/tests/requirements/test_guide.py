"""FAQ entries refer to existing requirements and to described properties of implementations."""

import json

from kl_conformance.cli.report import guided
from kl_conformance.implementations import description
from kl_conformance.implementations.registry import IMPLEMENTATIONS
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.guide import EVIDENCE, QUESTIONS, guide
from kl_reports.runfile.records import Header, Run

REQUIREMENTS = {each.id for chapter in catalogue.CHAPTERS.values() for each in chapter}
NOT_MEASURED = {"framework", "package", "documentation"}


def test_every_answer_refers_to_existing_requirements() -> None:
    """No FAQ entry and no property names a requirement that is not in the catalogue."""
    named = {name for each in QUESTIONS for name in each["requirements"]}
    named |= {name for requirements in EVIDENCE.values() for name in requirements}
    assert named <= REQUIREMENTS


def test_every_property_of_an_implementation_is_measured() -> None:
    """For every property that a Convention declares, some requirement fails if it is wrong."""
    for implementation in IMPLEMENTATIONS.values():
        assert set(description.convention(implementation)) - NOT_MEASURED <= set(EVIDENCE)


def test_the_topics_of_public_threads_are_covered() -> None:
    """Negative terms, a factor of C, softmax in place of log_softmax, NaN from masked classes."""
    questions = " ".join(each["question"] for each in QUESTIONS)
    for text in ("terms negative", "factor of C", "softmax in place of log_softmax", "NaN with masked classes"):
        assert text in questions


def test_faq_entries_name_existing_properties() -> None:
    """The property that an entry shows is part of the description of an implementation."""
    known = {name for each in IMPLEMENTATIONS.values() for name in description.convention(each)}
    assert {each["property"] for each in QUESTIONS} <= known


def test_the_guide_is_plain_data() -> None:
    """The guide is unchanged by JSON, and a run without one receives the current one."""
    assert json.loads(json.dumps(guide())) == guide()
    empty = Header("2026-01-02T03:04:05+00:00", "0.1.0", "quick", 7, {}, {}, {}, {}, ())
    run = guided(Run(empty, ()))
    assert run.header.guide == guide()
    assert guided(run) is run
