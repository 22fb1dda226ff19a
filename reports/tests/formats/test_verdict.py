"""A verdict in four formats: text, JSON, workflow commands and JUnit XML; foreign text has no effect in any."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from kl_reports.analysis.kernel import failures, judged
from kl_reports.formats.github import github
from kl_reports.formats.junit import junit
from kl_reports.formats.verdict_json import FORMAT, verdict
from kl_reports.formats.verdict_text import verdict_text
from kl_reports.runfile.records import Result, Run, Verdict

CAUSE = "Likely cause: it divides by the number of classes."


def one_kernel(run: Run) -> Run:
    """Return the part of a run that tests one kernel."""
    name = "optax.losses.kl_divergence"
    mine = {key: each for key, each in run.header.columns.items() if each.implementation == name}
    results = tuple(each for each in run.results if each.column in mine)
    own = {name: run.header.implementations[name]}
    header = replace(run.header, columns=mine, implementations=own, planned=tuple(each.cell for each in results))
    return Run(header, results, run.finished)


@pytest.fixture
def kernel(make_run: Callable[..., Run]) -> Run:
    """An example run of one kernel on the CPU."""
    return one_kernel(make_run(("cpu",)))


@pytest.fixture
def hostile(hostile_run: Run) -> Run:
    """A run of hostile text in which every cell fails and every requirement is binding."""
    requirements = {name: {**about, "level": "MUST"} for name, about in hostile_run.header.requirements.items()}
    results = tuple(replace(each, verdict=Verdict.FAIL) for each in hostile_run.results)
    known = {each.requirement for each in results}
    requirements |= {name: {"level": "MUST", "sentence": name} for name in known - requirements.keys()}
    return replace(hostile_run, header=replace(hostile_run.header, requirements=requirements), results=results)


def fails(run: Run) -> list[Result]:
    """Return every failed cell of a binding requirement."""
    return [result for results in failures(run).values() for result in results]


def test_the_text_has_the_cause_the_smallest_input_and_a_script(kernel: Run) -> None:
    """Verdict and cause come first; the last lines reproduce the failure without this suite."""
    lines = verdict_text(kernel, CAUSE).splitlines()
    assert lines[0] == "✗ optax.losses.kl_divergence: MUST 16 of 17 passed, 1 failed; SHOULD 1 of 1 passed."
    assert lines[1] == f"  {CAUSE}"
    assert "    P = [0.5, 0.25, 0.25, 0.0] (probability, 1 × 4)" in lines
    assert "    got NaN, expected 0.0, allowed error 1.2e-07" in lines
    assert lines[-2:] == ["    import torch", "    print(torch.zeros(1))"]
    assert max(map(len, lines)) <= 110


def test_known_deviations_are_listed_once_with_their_reason(kernel: Run) -> None:
    """The text of a kernel that conforms lists the deviations that are excused, and why."""
    reason = "Permitted. The interpreter loses a bit."
    permitted = [
        replace(each, verdict=Verdict.EXPECTED, detail=reason)
        if each.requirement in {"values/pointwise", "support/zero-over-zero"}
        else each
        for each in kernel.results
    ]
    text = verdict_text(replace(kernel, results=tuple(permitted)))
    assert text.count(reason) == 1
    assert re.search(r"◆ .*values/pointwise.*: Permitted\.", text)
    assert "MUST 15 of 17 passed, 2 known deviations" in text
    assert reason not in verdict_text(kernel)


def test_findings_with_an_input_come_first(kernel: Run) -> None:
    """Failures with an input to try come before those without one."""
    first = next(each for each in kernel.results if each.requirement == "values/pointwise")
    once = replace(first, verdict=Verdict.NONDETERMINISTIC, witness=None)
    results = tuple(once if each.cell == once.cell else each for each in kernel.results)
    text = verdict_text(replace(kernel, results=results))
    assert next(iter(failures(replace(kernel, results=results)))) == "values/pointwise"
    assert 0 < text.index("✗ support/zero-over-zero") < text.index("≈ values/pointwise")


def test_a_yes_or_no_is_not_shown_as_a_number(kernel: Run) -> None:
    """Where a yes or no was judged, no expected NaN is shown."""
    nan = ["f64:7ff8000000000000"]
    results = [
        replace(each, witness={**each.witness, "got": nan, "right": nan}) if each.witness else each
        for each in kernel.results
    ]
    text = verdict_text(replace(kernel, results=tuple(results)))
    assert "P = [0.5" in text
    assert "expected NaN" not in text


def test_json_has_every_finding_with_its_numbers(kernel: Run) -> None:
    """A program finds everything that the text has, and more, under the documented names."""
    data = json.loads(verdict(kernel, CAUSE))
    assert (data["format"], data["kernel"]) == (FORMAT, "optax.losses.kl_divergence")
    assert data["conforms"] is False
    assert data["likely_cause"] == CAUSE
    assert data["run"]["seed"] == 7
    assert data["run"]["versions"]["torch"] == "2.13.0"
    assert data["convention"]["argument order"] == "model, target"
    assert len(data["findings"]) == len(fails(kernel)) > 0
    seen = next(each for each in data["findings"] if each["requirement"] == "support/zero-over-zero")
    assert (seen["got"], seen["right"], seen["level"]) == ("NaN", "0.0", "MUST")
    assert seen["reproducer"] == "import torch\nprint(torch.zeros(1))"
    assert seen["witness"]["case"] == "one-hot-target"
    must, support = data["scores"]["MUST"], data["chapters"]["support"]
    assert (must["total"], must["passed"], must["failed"], must["fixed"]) == (17, 16, 1, 0)
    assert support["passed"] + support["failed"] == support["total"]
    assert support["failures"] == ["support/zero-over-zero"]


def test_json_of_a_correct_kernel_has_no_findings(make_run: Callable[..., Run]) -> None:
    """Nothing failed, and no cause is guessed."""
    data = json.loads(verdict(one_kernel(make_run(("cpu",), calm=True))))
    found = data["conforms"], data["complete"], data["findings"], data["likely_cause"]
    assert found == (True, True, [], None)


def test_a_kernel_without_a_judged_cell_does_not_conform(kernel: Run) -> None:
    """A kernel that could not be tested is not declared correct."""
    silent = replace(kernel, results=tuple(replace(each, verdict=Verdict.MISSING) for each in kernel.results))
    assert not judged(silent)
    assert json.loads(verdict(silent))["conforms"] is False
    assert verdict_text(silent).startswith("? ")
    assert github(silent).startswith("::warning ")


def test_each_failed_requirement_is_one_annotation(kernel: Run) -> None:
    """GitHub shows one error per failed requirement, at the kernel's file, with the observation and the cause."""
    lines = github(kernel, CAUSE, "my kernels,v2.py").splitlines()
    assert len(lines) == len(failures(kernel))
    named = "::error file=my kernels%2Cv2.py,title=kl-conformance%3A support/zero-over-zero::"
    (text,) = (line for line in lines if line.startswith(named))
    assert "returned NaN%0AP = [0.5, 0.25, 0.25, 0.0]" in text
    assert text.endswith(CAUSE)


def test_a_correct_kernel_is_one_notice(make_run: Callable[..., Run]) -> None:
    """Without a failure there is no error."""
    text = github(one_kernel(make_run(("cpu",), calm=True)))
    assert re.fullmatch(r"::notice title=kl-conformance::✓ .*: MUST 17 of 17 passed; SHOULD 1 of 1 passed\.\n", text)


def test_foreign_text_is_no_workflow_command(hostile: Run) -> None:
    """Every line of output is one of our commands, and every percent sign is escaped."""
    text = github(hostile, file="a%b\n::stop-commands::x")
    assert len(text.splitlines()) == len(failures(hostile))
    for line in text.split("\n")[:-1]:
        head, _, message = line.removeprefix("::").partition("::")
        assert re.fullmatch(r"error file=[^,:\n]*,title=[^,:\n]*", head), head
        assert re.sub("%(25|0A)", "", message).count("%") == 0
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)


def test_junit_has_a_testcase_for_each_cell(kernel: Run) -> None:
    """Crashes are errors; known deviations and cells not judged are skipped; the sums agree with the cases."""
    root = ElementTree.fromstring(junit(kernel, CAUSE))
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(kernel.results) == int(root.attrib["tests"])
    dead = {Verdict.CRASHED, Verdict.TIMED_OUT}
    gone = {Verdict.EXPECTED, Verdict.UNDECIDED, Verdict.UNSUPPORTED, Verdict.MISSING}
    verdicts = [each.verdict for each in kernel.results]
    died = sum(each in dead for each in verdicts)
    assert len(root.findall(".//error")) == int(root.attrib["errors"]) == died
    skipped = sum(each in gone for each in verdicts)
    assert len(root.findall(".//skipped")) == int(root.attrib["skipped"]) == skipped
    failures = sum(each.verdict not in dead for each in fails(kernel))
    assert len(root.findall(".//failure")) == int(root.attrib["failures"]) == failures > 0
    suites = root.findall("testsuite")
    assert [each.attrib["name"] for each in suites] == list(kernel.header.columns)
    assert all(each.find("properties/property[@name='likely cause']") is not None for each in suites)
    score = suites[0].find("properties/property[@name='MUST']")
    assert score is not None
    assert score.attrib["value"] == "17 of 17 passed"
    excused = tuple(replace(each, verdict=Verdict.EXPECTED) for each in kernel.results)
    root = ElementTree.fromstring(junit(replace(kernel, results=excused)))
    assert {each.attrib["type"] for each in root.iter("skipped")} == {"known deviation"}


def test_junit_is_well_formed_for_any_text(hostile: Run) -> None:
    """Control characters, lone surrogates and characters that XML excludes leave a well-formed document."""
    first, *rest = hostile.results
    words = "\x00\x0b\x1b[31m\ufffe\uffff\ud800]]></failure><!--"
    text = junit(replace(hostile, results=(replace(first, detail=words), *rest)), CAUSE)
    root = ElementTree.fromstring(text.encode())
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "]]></failure><!--" in failure.attrib["message"]
    assert "⟨00⟩" in failure.attrib["message"]
    assert "⟨FFFE⟩⟨FFFF⟩" in failure.attrib["message"]


def test_json_and_text_survive_foreign_text(hostile: Run) -> None:
    """JSON stays ASCII and can be read back, and no control character reaches a terminal."""
    text = verdict(hostile)
    assert text.isascii()
    assert len(json.loads(text)["findings"]) == len(fails(hostile)) > 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202e]", verdict_text(hostile))
