"""One verdict in four forms: a screen, JSON, workflow commands and JUnit XML; foreign text acts in none of them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from kl_reports.analysis.kernel import broken, judged
from kl_reports.formats.github import github
from kl_reports.formats.junit import junit
from kl_reports.formats.verdict_json import FORMAT, verdict
from kl_reports.formats.verdict_text import verdict_text
from kl_reports.runfile.records import Result, Run, Verdict

CAUSE = "Likely cause: it divides by the number of classes."


def one_kernel(run: Run) -> Run:
    """Return the part of a run that asks one kernel."""
    name = "optax.losses.kl_divergence"
    mine = {key: each for key, each in run.header.columns.items() if each.implementation == name}
    results = tuple(each for each in run.results if each.column in mine)
    own = {name: run.header.implementations[name]}
    header = replace(
        run.header, columns=mine, implementations=own, planned=tuple(each.cell for each in results)
    )
    return Run(header, results, run.finished)


@pytest.fixture
def kernel(make_run: Callable[..., Run]) -> Run:
    """A made-up run of one kernel on the CPU."""
    return one_kernel(make_run(("cpu",)))


@pytest.fixture
def hostile(hostile_run: Run) -> Run:
    """A run of an enemy's words in which everything is broken and binding."""
    requirements = {
        name: {**about, "level": "MUST"} for name, about in hostile_run.header.requirements.items()
    }
    results = tuple(replace(each, verdict=Verdict.FAIL) for each in hostile_run.results)
    known = {each.requirement for each in results}
    requirements |= {name: {"level": "MUST", "sentence": name} for name in known - requirements.keys()}
    return replace(
        hostile_run, header=replace(hostile_run.header, requirements=requirements), results=results
    )


def fails(run: Run) -> list[Result]:
    """Return every cell that is broken, a CONVENTION apart."""
    return [result for results in broken(run).values() for result in results]


def test_the_screen_tells_the_cause_the_smallest_input_and_a_script(kernel: Run) -> None:
    """Verdict and cause come first, and the last lines show the failure without this suite."""
    lines = verdict_text(kernel, CAUSE).splitlines()
    assert lines[0].startswith("✗ optax.losses.kl_divergence: ")
    assert lines[1] == f"  {CAUSE}"
    assert "    P = [0.5, 0.25, 0.25, 0.0] (probability, 1 × 4)" in lines
    assert "    got NaN, expected 0.0, allowed error 1.2e-07" in lines
    assert lines[-2:] == ["    import torch", "    print(torch.zeros(1))"]
    assert max(map(len, lines)) <= 110


def test_what_was_permitted_is_said_once_with_its_reason(kernel: Run) -> None:
    """Who reads that a kernel conforms reads what was held against it and is no fault of its own, and why."""
    reason = "Permitted. The interpreter loses a bit."
    permitted = [
        replace(each, verdict=Verdict.EXPECTED, detail=reason)
        if each.requirement in {"values/pointwise", "support/zero-over-zero"}
        else each
        for each in kernel.results
    ]
    told = verdict_text(replace(kernel, results=tuple(permitted)))
    assert told.count(reason) == 1
    assert re.search(r"– .*values/pointwise.*: Permitted\.", told)
    assert reason not in verdict_text(kernel)


def test_findings_with_an_input_come_first(kernel: Run) -> None:
    """Who reads one screen sees something to try before what was seen only once."""
    first = next(each for each in kernel.results if each.requirement == "values/pointwise")
    once = replace(first, verdict=Verdict.NONDETERMINISTIC, witness=None)
    results = tuple(once if each.cell == once.cell else each for each in kernel.results)
    told = verdict_text(replace(kernel, results=results))
    assert next(iter(broken(replace(kernel, results=results)))) == "values/pointwise"
    assert 0 < told.index("✗ support/zero-over-zero") < told.index("≈ values/pointwise")


def test_what_is_no_number_is_not_shown_as_one(kernel: Run) -> None:
    """Where a yes or no was judged, nobody reads of NaN that is right."""
    nan = ["f64:7ff8000000000000"]
    results = [
        replace(each, witness={**each.witness, "got": nan, "right": nan}) if each.witness else each
        for each in kernel.results
    ]
    told = verdict_text(replace(kernel, results=tuple(results)))
    assert "P = [0.5" in told
    assert "expected NaN" not in told


def test_json_has_every_finding_with_its_numbers(kernel: Run) -> None:
    """A program finds all that the screen tells, and more, under the documented names."""
    told = json.loads(verdict(kernel, CAUSE))
    assert (told["format"], told["kernel"]) == (FORMAT, "optax.losses.kl_divergence")
    assert told["conforms"] is False
    assert told["likely_cause"] == CAUSE
    assert told["asked"]["seed"] == 7
    assert told["asked"]["versions"]["torch"] == "2.13.0"
    assert told["convention"]["argument order"] == "model, target"
    assert len(told["findings"]) == len(fails(kernel)) > 0
    seen = next(each for each in told["findings"] if each["requirement"] == "support/zero-over-zero")
    assert (seen["got"], seen["right"], seen["level"]) == ("NaN", "0.0", "MUST")
    assert seen["reproducer"] == "import torch\nprint(torch.zeros(1))"
    assert seen["witness"]["case"] == "one-hot-target"
    held = told["chapters"]["support"]
    assert held["held"] + len(held["broken"]) == held["asked"]
    assert "support/zero-over-zero" in held["broken"]


def test_json_of_a_right_kernel_says_so(make_run: Callable[..., Run]) -> None:
    """Nothing is broken, nothing is guessed."""
    told = json.loads(verdict(one_kernel(make_run(("cpu",), calm=True))))
    assert (told["conforms"], told["complete"], told["findings"], told["likely_cause"]) == (
        True,
        True,
        [],
        None,
    )


def test_what_was_never_judged_does_not_conform(kernel: Run) -> None:
    """A kernel nobody could ask is not declared right."""
    silent = replace(kernel, results=tuple(replace(each, verdict=Verdict.MISSING) for each in kernel.results))
    assert not judged(silent)
    assert json.loads(verdict(silent))["conforms"] is False
    assert verdict_text(silent).startswith("? ")
    assert github(silent).startswith("::warning ")


def test_each_broken_requirement_is_one_annotation(kernel: Run) -> None:
    """GitHub shows one error a broken requirement, at the kernel's file, with what was seen and the cause."""
    lines = github(kernel, CAUSE, "my kernels,v2.py").splitlines()
    assert len(lines) == len(broken(kernel))
    named = "::error file=my kernels%2Cv2.py,title=kl-conformance%3A support/zero-over-zero::"
    (told,) = (line for line in lines if line.startswith(named))
    assert "returned NaN%0AP = [0.5, 0.25, 0.25, 0.0]" in told
    assert told.endswith(CAUSE)


def test_a_right_kernel_is_one_notice(make_run: Callable[..., Run]) -> None:
    """Nothing red is shown where nothing is broken."""
    told = github(one_kernel(make_run(("cpu",), calm=True)))
    assert re.fullmatch(r"::notice title=kl-conformance::✓ .* held, none broken\.\n", told)


def test_foreign_text_is_no_workflow_command(hostile: Run) -> None:
    """Every line of output is a command of ours, and no percent sign stands for itself."""
    told = github(hostile, file="a%b\n::stop-commands::x")
    assert len(told.splitlines()) == len(broken(hostile))
    for line in told.split("\n")[:-1]:
        head, _, message = line.removeprefix("::").partition("::")
        assert re.fullmatch(r"error file=[^,:\n]*,title=[^,:\n]*", head), head
        assert re.sub("%(25|0A)", "", message).count("%") == 0
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", line)


def test_junit_has_a_testcase_for_each_cell(kernel: Run) -> None:
    """What is broken fails, what died is an error, what was not judged is skipped, and the sums say so."""
    root = ElementTree.fromstring(junit(kernel, CAUSE))
    cases = root.findall("testsuite/testcase")
    assert len(cases) == len(kernel.results) == int(root.attrib["tests"])
    dead = {Verdict.CRASHED, Verdict.TIMED_OUT}
    gone = {Verdict.UNDECIDED, Verdict.UNSUPPORTED, Verdict.MISSING}
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


def test_junit_holds_whatever_a_kernel_says(hostile: Run) -> None:
    """Control characters, lone surrogates and what XML has no character for leave a well-formed document."""
    first, *rest = hostile.results
    words = "\x00\x0b\x1b[31m\ufffe\uffff\ud800]]></failure><!--"
    told = junit(replace(hostile, results=(replace(first, detail=words), *rest)), CAUSE)
    root = ElementTree.fromstring(told.encode())
    failure = root.find("testsuite/testcase/failure")
    assert failure is not None
    assert "]]></failure><!--" in failure.attrib["message"]
    assert "⟨00⟩" in failure.attrib["message"]
    assert "⟨FFFE⟩⟨FFFF⟩" in failure.attrib["message"]


def test_json_and_the_screen_survive_foreign_text(hostile: Run) -> None:
    """JSON stays ASCII and comes back, and no control character reaches a terminal."""
    told = verdict(hostile)
    assert told.isascii()
    assert len(json.loads(told)["findings"]) == len(fails(hostile)) > 0
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202e]", verdict_text(hostile))
