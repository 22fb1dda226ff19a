"""One kernel's verdict as JUnit XML, for whoever shows test results."""

from __future__ import annotations

import re
from collections import Counter
from typing import assert_never
from xml.etree import ElementTree

from kl_reports.analysis.kernel import broken
from kl_reports.analysis.scores import column_of, level_of
from kl_reports.analysis.wording import visible
from kl_reports.formats.verdict_text import told
from kl_reports.runfile.records import Result, Run, Verdict

# XML 1.0 has no character for these two, and `visible` shows the others it lacks.
_LACKING = re.compile("[\ufffe\uffff]")


def junit(run: Run, cause: str = "") -> str:
    """Return one ``testcase`` for each cell, named by its requirement, in one suite for each column.

    Broken cells are failures; where the process died or gave no answer, errors; what was not judged is skipped.
    What is recorded or mere convention breaks nothing, and is told as output. ``cause``, the likely cause of it
    all, is a property of every suite.
    """
    root = ElementTree.Element("testsuites", name="kl-conformance")
    binding = {result.cell for results in broken(run).values() for result in results}
    suites: dict[str, ElementTree.Element] = {}
    counts: Counter[tuple[str, str]] = Counter()
    for result in run.results:
        if result.column not in suites:
            suites[result.column] = _suite(root, run, result.column, cause)
        kind = _kind(result, result.cell in binding)
        counts[result.column, "tests"] += 1
        counts[result.column, kind] += 1
        _case(suites[result.column], run, result, kind)
    for column, suite in suites.items():
        for name in ("tests", "failures", "errors", "skipped"):
            suite.set(name, str(counts[column, name]))
    for name in ("tests", "failures", "errors", "skipped"):
        root.set(name, str(sum(number for (_, each), number in counts.items() if each == name)))
    ElementTree.indent(root)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _suite(root: ElementTree.Element, run: Run, column: str, cause: str) -> ElementTree.Element:
    suite = ElementTree.SubElement(root, "testsuite", name=_clean(column))
    suite.set("timestamp", _clean(run.header.started.partition("+")[0]))
    said = {
        "profile": run.header.profile,
        "seed": str(run.header.seed),
        "kl-conformance": run.header.suite,
        **({"likely cause": cause} if cause else {}),
        **run.header.described,
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in said.items():
        ElementTree.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    return suite


def _kind(result: Result, binding: bool) -> str:
    """Return what a cell counts as."""
    match result.verdict:
        case Verdict.PASS | Verdict.EXPECTED:
            return "passed"
        case Verdict.FAIL | Verdict.FIXED | Verdict.NONDETERMINISTIC:
            return "failures" if binding else "passed"
        case Verdict.CRASHED | Verdict.TIMED_OUT:
            return "errors"
        case Verdict.UNDECIDED | Verdict.UNSUPPORTED | Verdict.MISSING:
            return "skipped"
        case _:
            assert_never(result.verdict)


def _case(suite: ElementTree.Element, run: Run, result: Result, kind: str) -> None:
    column = column_of(run, result.column)
    place = ".".join(filter(None, (column.implementation, column.device, column.dtype, column.mode)))
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(place), name=_clean(result.requirement))
    case.set("time", f"{result.seconds:.3f}")
    words = "\n".join(told(run, result.requirement, result))
    summary = " ".join(result.detail.split())
    match kind:
        case "failures" | "errors":
            tag = "failure" if kind == "failures" else "error"
            element = ElementTree.SubElement(case, tag, type=f"{level_of(run, result.requirement)}")
            element.set("message", _clean(summary))
            element.text = _clean(words)
        case "skipped":
            ElementTree.SubElement(case, "skipped", message=_clean(summary))
        case _ if result.detail:
            ElementTree.SubElement(case, "system-out").text = _clean(result.detail)
        case _:
            pass


def _clean(text: str) -> str:
    """Return text that XML 1.0 can hold, its other characters shown as their codes."""
    return _LACKING.sub(lambda match: f"⟨{ord(match[0]):02X}⟩", visible(text))
