"""A known fault is named where a pattern of failures is clearly its own, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kl_conformance.diagnosis import causes
from kl_conformance.diagnosis.causes import Fault, clear, known, likely_cause, matches
from kl_conformance.requirements import catalogue
from kl_conformance.runs.header import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection
from kl_reports.runfile.records import Result, Run, Verdict
from studies.mutants.causes import detected_faults, leave_one_out

SELECTION = Selection(implementations=("scipy.special.rel_entr",), dtypes=("float32",))
HALVED = Fault("halved", "value", "Halves every term.", frozenset({"values/pointwise", "values/sum"}))
THIRD = Fault(
    "third", "value", "Leaves a third.", frozenset({"values/pointwise", "values/sum", "signs/self"})
)
MASKED = Fault("masked", "special", '"none" is NaN.', frozenset({"support/zero-target"}))
TWIN = Fault("twin", "state", "Forgets.", HALVED.stops)


def run_of(*broken: str) -> Run:
    """Return a run in which these requirements are broken and all others hold."""
    asked = resolve(SELECTION).cells
    results = tuple(
        Result(each.requirement.id, 1, each.column.key, verdict)
        for each in asked
        for verdict in [Verdict.FAIL if each.requirement.id in broken else Verdict.PASS]
    )
    return Run(header(SELECTION, asked), results, "2026-01-01T00:00:00+00:00")


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Know three faults only."""
    monkeypatch.setattr(causes, "known", lambda: (HALVED, THIRD, MASKED))


@pytest.mark.usefixtures("few")
def test_a_pattern_is_named_with_what_it_rests_on() -> None:
    """The same failures as a known fault's are explained by it, and the share is said."""
    said = likely_cause(run_of("values/pointwise", "values/sum"))
    assert said == "Likely cause: halves every term (a known fault, which shares 2 of 2 failures)."
    assert likely_cause(run_of("support/zero-target")).startswith('Likely cause: "none" is NaN (')


@pytest.mark.usefixtures("few")
def test_what_fits_nothing_is_not_explained() -> None:
    """A right kernel has no cause, nor has a pattern that nobody knows."""
    assert likely_cause(run_of()) == ""
    assert likely_cause(run_of("support/nan")) == ""
    assert likely_cause(run_of("values/pointwise", "values/sum", "support/zero-target")) == ""
    assert likely_cause(run_of("support/zero-target", "support/nan")) == ""


def test_a_fault_that_two_kinds_share_is_not_named() -> None:
    """Where another kind of fault breaks the same requirements, neither is said."""
    asked = HALVED.stops | MASKED.stops
    assert [each.fault for each in clear(matches(HALVED.stops, asked, (HALVED, MASKED)))] == [HALVED]
    assert clear(matches(HALVED.stops, asked, (HALVED, TWIN, MASKED))) == []


def test_faults_of_one_kind_that_cannot_be_told_apart_are_named_together() -> None:
    """Two that break the same are both said; four say nothing."""
    again = [replace(HALVED, name=name) for name in "abc"]
    asked = HALVED.stops | MASKED.stops
    assert len(clear(matches(HALVED.stops, asked, (HALVED, again[0], MASKED)))) == 2
    assert clear(matches(HALVED.stops, asked, (HALVED, *again, MASKED))) == []


def test_what_the_numbers_say_comes_first() -> None:
    """Three findings that answer one other question are explained by it, unless another question rivals it."""
    one, other = "KL(Q‖P)", "log p taken for p"

    def told(*explanations: str) -> str:
        names = ("values/pointwise", "values/sum", "signs/self", "signs/pointwise", "support/nan")
        made = run_of(*names[: len(explanations)])
        clauses: dict[str, str] = dict(zip(names, explanations, strict=False))
        results = tuple(replace(each, explanation=clauses.get(each.requirement, "")) for each in made.results)
        return likely_cause(replace(made, results=results))

    said = "Likely cause: KL(Q‖P). (3 findings are exactly that.)"
    assert told(one, one, one) == told(one, one, other, one) == said
    assert told(one, other, one, other, one) != said
    assert told(one) != said


def test_what_was_not_asked_does_not_count() -> None:
    """A fault is as alike as it can be seen to be."""
    asked = {"values/pointwise", "values/sum"}
    best = matches(asked, asked, (THIRD, MASKED))[0]
    assert (best.fault, best.alike) == (THIRD, 1.0)


def test_a_matrix_is_boiled_down_to_its_first_dtype() -> None:
    """Kernels that nothing stops and right ones teach nothing."""
    stops = {"values/sum": {"dtype": "float32"}, "values/mean": {"dtype": "float16"}}
    late = {"values/mean": {"dtype": "float16"}}
    kernels = [
        {"name": "a", "kind": "value", "sentence": "A.", "stops": stops},
        {"name": "b", "kind": "value", "sentence": "B.", "stops": late},
        {"name": "c", "kind": "value", "sentence": "C.", "stops": {}},
        {"name": "d", "kind": None, "sentence": "D.", "stops": stops},
    ]
    found = {each.name: each.stops for each in detected_faults({"kernels": kernels})}
    assert found == {"a": {"values/sum"}, "b": {"values/mean"}}


def test_leaving_out_counts_what_others_explain() -> None:
    """Of twins each explains the other; whether rightly, their kinds say."""
    same = Fault("same", "value", "The same.", HALVED.stops)
    assert leave_one_out((HALVED, same, MASKED)) == (2, 2)
    assert leave_one_out((HALVED, TWIN, MASKED)) == (2, 0)


def test_what_is_shipped_speaks_of_this_catalogue() -> None:
    """Every shipped fault says what it is, and is stopped by requirements there are."""
    assert known()
    for fault in known():
        assert fault.sentence.endswith(".")
        assert fault.stops
        for requirement in fault.stops:
            assert catalogue.requirement(requirement).id == requirement
