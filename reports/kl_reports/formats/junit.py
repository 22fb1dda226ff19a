"""JUnit XML: one test case per cell, with the scores as properties."""

import re
from collections import Counter
from typing import assert_never
from xml.etree import ElementTree

from kl_reports.analysis.kernel import failures
from kl_reports.analysis.scores import column_of, level_of, level_scores
from kl_reports.analysis.wording import LOOKS, visible
from kl_reports.formats.verdict_text import describe_result
from kl_reports.runfile.records import Result, Run, Verdict

# XML 1.0 excludes these two; `visible` replaces the others that it excludes.
_EXCLUDED = re.compile("[\ufffe\uffff]")


def junit(run: Run, cause: str = "") -> str:
    """Return one ``testcase`` for each cell, named by its requirement, in one suite for each column.

    Failed cells are failures; cells that crashed or timed out are errors. Known deviations and cells that were not
    judged are skipped, with the word of the verdict as type. A failed CONVENTION requirement is not a failure: its
    detail is written as output. Properties of a suite are its score on each level, such as ``58 of 72 passed, 14
    known deviations``, and ``cause``, the likely cause of the failures.
    """
    root = ElementTree.Element("testsuites", name="kl-conformance")
    binding = {result.cell for results in failures(run).values() for result in results}
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
    cells = [result for result in run.results if result.column == column]
    values = {
        "profile": run.header.profile,
        "seed": str(run.header.seed),
        "kl-conformance": run.header.suite,
        **{score.level: score.text for score in level_scores(run, cells)},
        **({"likely cause": cause} if cause else {}),
        **run.header.described,
    }
    properties = ElementTree.SubElement(suite, "properties")
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", name=_clean(name), value=_clean(value))
    return suite


def _kind(result: Result, binding: bool) -> str:
    """Return the attribute of a suite in which a cell is counted."""
    match result.verdict:
        case Verdict.PASS:
            return "passed"
        case Verdict.FAIL | Verdict.FIXED | Verdict.NONDETERMINISTIC:
            return "failures" if binding else "passed"
        case Verdict.CRASHED | Verdict.TIMED_OUT:
            return "errors"
        case Verdict.EXPECTED | Verdict.UNDECIDED | Verdict.UNSUPPORTED | Verdict.MISSING:
            return "skipped"
        case _:
            assert_never(result.verdict)


def _case(suite: ElementTree.Element, run: Run, result: Result, kind: str) -> None:
    column = column_of(run, result.column)
    place = ".".join(filter(None, (column.implementation, column.device, column.dtype, column.mode)))
    case = ElementTree.SubElement(suite, "testcase", classname=_clean(place), name=_clean(result.requirement))
    case.set("time", f"{result.seconds:.3f}")
    text = "\n".join(describe_result(run, result))
    summary = " ".join(result.detail.split())
    match kind:
        case "failures" | "errors":
            tag = "failure" if kind == "failures" else "error"
            element = ElementTree.SubElement(case, tag, type=level_of(run, result.requirement))
            element.set("message", _clean(summary))
            element.text = _clean(text)
        case "skipped":
            kind = LOOKS[result.verdict].word
            ElementTree.SubElement(case, "skipped", type=kind, message=_clean(summary))
        case _ if result.detail:
            ElementTree.SubElement(case, "system-out").text = _clean(result.detail)
        case _:
            pass


def _clean(text: str) -> str:
    """Return text with the characters that XML 1.0 excludes replaced by their codes."""
    return _EXCLUDED.sub(lambda match: f"⟨{ord(match[0]):02X}⟩", visible(text))
