"""A known fault is named only if the pattern of failures is clearly its own."""

from dataclasses import replace

from kl_conformance.diagnosis.causes import Fault, clear, known_faults, likely_cause, matches
from kl_conformance.requirements import catalogue
from kl_conformance.runs.header import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection
from kl_reports.runfile.records import Result, Run, Verdict
from studies.mutants.causes import detected_faults, leave_one_out

SELECTION = Selection(implementations=("scipy.special.rel_entr",), dtypes=("float32",))
HALVED = Fault("halved", "value", "Halves every term.", frozenset({"values/pointwise", "values/sum"}))
THIRD = Fault("third", "value", "Leaves a third.", HALVED.detected_by | {"signs/self"})
MASKED = Fault("masked", "special", '"none" is NaN.', frozenset({"support/zero-target"}))
TWIN = Fault("twin", "state", "Reuses a buffer.", HALVED.detected_by)
FEW = (HALVED, THIRD, MASKED)


def run_of(*failed: str) -> Run:
    """Return a run in which these requirements fail and all others pass."""
    cells = resolve(SELECTION).cells
    results = tuple(
        Result(each.requirement.id, 1, each.column.key, verdict)
        for each in cells
        for verdict in [Verdict.FAIL if each.requirement.id in failed else Verdict.PASS]
    )
    return Run(header(SELECTION, cells), results, "2026-01-01T00:00:00+00:00")


def test_a_pattern_is_named_with_its_evidence() -> None:
    """Failures that are those of a known fault are explained by it, with the number in common."""
    cause = likely_cause(run_of("values/pointwise", "values/sum"), FEW)
    assert cause == "Likely cause: halves every term (a known fault with 2 of 2 failed requirements in common)."
    assert likely_cause(run_of("support/zero-target"), FEW).startswith('Likely cause: "none" is NaN (')


def test_an_unknown_pattern_is_not_explained() -> None:
    """A correct kernel has no cause, nor has a pattern that no known fault has."""
    assert likely_cause(run_of(), FEW) == ""
    assert likely_cause(run_of("support/nan"), FEW) == ""
    assert likely_cause(run_of("values/pointwise", "values/sum", "support/zero-target"), FEW) == ""
    assert likely_cause(run_of("support/zero-target", "support/nan"), FEW) == ""


def test_a_pattern_of_two_kinds_is_not_explained() -> None:
    """If a fault of another kind fails the same requirements, neither is named."""
    tested = HALVED.detected_by | MASKED.detected_by
    assert [each.fault for each in clear(matches(HALVED.detected_by, tested, (HALVED, MASKED)))] == [HALVED]
    assert clear(matches(HALVED.detected_by, tested, (HALVED, TWIN, MASKED))) == []


def test_indistinguishable_faults_of_one_kind_are_named_together() -> None:
    """Two faults that fail the same requirements are both named; of four none is named."""
    again = [replace(HALVED, name=name) for name in "abc"]
    tested = HALVED.detected_by | MASKED.detected_by
    assert len(clear(matches(HALVED.detected_by, tested, (HALVED, again[0], MASKED)))) == 2
    assert clear(matches(HALVED.detected_by, tested, (HALVED, *again, MASKED))) == []


def test_an_explanation_of_the_numbers_comes_first() -> None:
    """Three findings with one explanation are explained by it, unless another explanation has half as many."""
    one, other = "KL(Q‖P)", "log p used as p"

    def cause(*explanations: str) -> str:
        names = ("values/pointwise", "values/sum", "signs/self", "signs/pointwise", "support/nan")
        made = run_of(*names[: len(explanations)])
        texts: dict[str, str] = dict(zip(names, explanations, strict=False))
        results = tuple(replace(each, explanation=texts.get(each.requirement, "")) for each in made.results)
        return likely_cause(replace(made, results=results))

    expected = "Likely cause: KL(Q‖P). (It explains 3 findings exactly.)"
    assert cause(one, one, one) == cause(one, one, other, one) == expected
    assert cause(one, other, one, other, one) != expected
    assert cause(one) != expected


def test_untested_requirements_do_not_count() -> None:
    """Only tested requirements make a difference to the similarity."""
    tested = {"values/pointwise", "values/sum"}
    best = matches(tested, tested, (THIRD, MASKED))[0]
    assert (best.fault, best.similarity) == (THIRD, 1.0)


def test_a_matrix_is_reduced_to_its_first_dtype() -> None:
    """Undetected mutants and correct kernels are no faults."""
    detected = {"values/sum": {"dtype": "float32"}, "values/mean": {"dtype": "float16"}}
    late = {"values/mean": {"dtype": "float16"}}
    kernels = [
        {"name": "a", "kind": "value", "sentence": "A.", "detected_by": detected},
        {"name": "b", "kind": "value", "sentence": "B.", "detected_by": late},
        {"name": "c", "kind": "value", "sentence": "C.", "detected_by": {}},
        {"name": "d", "kind": None, "sentence": "D.", "detected_by": detected},
    ]
    found = {each.name: each.detected_by for each in detected_faults({"kernels": kernels})}
    assert found == {"a": {"values/sum"}, "b": {"values/mean"}}


def test_leaving_out_counts_the_faults_that_others_explain() -> None:
    """Faults with the same requirements explain each other, correctly if they are of one kind."""
    same = Fault("same", "value", "The same.", HALVED.detected_by)
    assert leave_one_out((HALVED, same, MASKED)) == (2, 2)
    assert leave_one_out((HALVED, TWIN, MASKED)) == (2, 0)


def test_the_shipped_faults_belong_to_this_catalogue() -> None:
    """Every shipped fault has a sentence, and the requirements that detect it exist."""
    assert known_faults()
    for fault in known_faults():
        assert fault.sentence.endswith(".")
        assert fault.detected_by
        for requirement in fault.detected_by:
            assert catalogue.requirement(requirement).id == requirement
