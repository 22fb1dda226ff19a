"""FAQ entries are answered by cells, and declared properties have the cells that measure them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kl_reports.analysis.scores import column_of
from kl_reports.page.page import write_page
from kl_reports.page.questions import Evidence
from kl_reports.runfile.codec import decode
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Result, Run, Verdict
from kl_reports_testkit.browser import Browser
from kl_reports_testkit.html_tree import Node, tree

GUIDE: dict[str, Any] = {
    "questions": [
        {
            "question": "Why is it NaN?",
            "answer": "Because 0 × ∞ is.",
            "property": "formula",
            "requirements": ["support/zero-over-zero", "gradients/model", "nothing/of-this-run"],
        },
        {"question": "Is it elsewhere?", "answer": "No.", "requirements": ["nothing/of-this-run"]},
    ],
    "evidence": {"formula": ["values/pointwise", "values/sum"], "zeros": ["support/zero-target"]},
}


def guided(run: Run, guide: Any = GUIDE) -> Run:
    """Return a run whose header has that guide."""
    return replace(run, header=replace(run.header, guide=guide))


def table(page: Node) -> list[list[str]]:
    """Return the text of the first FAQ entry's table, row by row."""
    rows = page.one(id="faq-1").one("table").all("tr")
    return [[cell.line for cell in row.children if isinstance(cell, Node) and cell.tag in {"th", "td"}] for row in rows]


def test_an_entry_is_answered_by_the_worst_cell_of_each_implementation(run: Run) -> None:
    """Each implementation has its declared property and one figure per requirement that was tested."""
    rows = table(tree(guided(run)))
    assert rows[0] == ["Implementation", "formula", "support/zero-over-zero", "gradients/model"]
    by_name = {row[0].split()[0]: row[1:] for row in rows[1:]}
    assert by_name["torch.nn.functional.kl_div"][:2] == ["p·(log p−log q)", "✗ ∞"]
    assert by_name["scipy.stats.entropy"][2] == "–"
    assert set(by_name) == set(run.header.implementations)


def test_an_entry_without_cells_is_not_shown(run: Run) -> None:
    """An entry whose requirements were not tested is left out; without entries there is no section."""
    page = tree(guided(run))
    assert "Is it elsewhere?" not in page.line
    assert "Which KL is this?" in page.line
    assert "Which KL is this?" not in tree(run).line


def test_every_figure_leads_to_its_cell_or_requirement(run: Run) -> None:
    """A failed figure links to the details of its cell, a passed one at least to the requirement."""
    links = [node.attributes["href"] for node in tree(guided(run)).one(id="faq-1").all("a", _class="f")]
    assert links
    assert all(link.startswith("#support/zero-over-zero@") for link in links)
    evidence = Evidence(guided(run), {})
    chips = [chip for each in evidence.implementations() for own in each.properties for chip, _ in own.evidence]
    requirements = {chip.href.partition("@")[0] for chip in chips}
    assert requirements <= {"#values/pointwise", "#values/sum", "#support/zero-target"}


def test_a_property_has_its_cells_or_is_marked_as_not_measured(run: Run) -> None:
    """Below each property are the cells that measure it, or a remark that none did."""
    page = tree(guided(run)).one("table", _class="properties")
    rows = {row.one("th").line: row for row in list(page.all("tr"))[1:]}
    first, order, _, zeros = [
        cell.line for cell in rows["torch.nn.functional.kl_div"].children if isinstance(cell, Node)
    ][1:]
    assert first.startswith("p·(log p−log q) ✓ 0.")
    assert order.endswith("not measured in this run")
    assert zeros.endswith("zero-target")


def test_the_measured_arithmetic_is_shown_column_by_column(run: Run) -> None:
    """The arithmetic measured in a column is shown once, with the dtype and device of the column."""
    arithmetic = "computes in float32, keeps subnormals"
    first = replace(run.results[0], arithmetic=arithmetic)
    own = column_of(run, first.column)
    measured = guided(replace(run, results=(first, first, *run.results[1:])))
    page = tree(measured).one("table", _class="properties")
    rows = {row.one("th").line: row.line for row in list(page.all("tr"))[1:]}
    assert rows[own.implementation].count(f"{own.dtype} on {own.device}: {arithmetic}") == 1
    assert not any(arithmetic in text for name, text in rows.items() if name != own.implementation)
    assert "arithmetic" not in Evidence(guided(run), {}).properties()
    assert decode(Result, encode(first)) == first


def test_only_cells_that_ran_are_evidence(run: Run) -> None:
    """A cell that was not run, or does not apply, is no evidence."""
    not_run = tuple(replace(cell, verdict=Verdict.MISSING, headroom=None) for cell in run.results)
    evidence = Evidence(guided(replace(run, results=not_run)), {})
    assert list(evidence.faq()) == []
    assert not any(own.evidence for each in evidence.implementations() for own in each.properties)


def test_a_malformed_guide_is_ignored(small_run: Run) -> None:
    """A page is written for a header with any value as its guide, without FAQ entries."""
    odd: list[Any] = [None, 7, "text", [], {}, [[1]], {"questions": 3}, [{"requirements": [3, None]}]]
    for entry in odd:
        for guide in ({"questions": entry}, {"evidence": entry}, {"evidence": {"formula": entry}}):
            assert not list(Evidence(guided(small_run, guide), {}).faq())
            assert "What each implementation computes" in tree(guided(small_run, guide)).line


def test_an_answer_is_two_clicks_away(browser: Browser, run: Run, tmp_path: Path) -> None:
    """The first screen links to the FAQ, and each question links to its answer and cells."""
    write_page(guided(run), tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    first = "document.querySelector('.brand a[href=\"#faq\"]')"
    assert browser.evaluate(f"{first}.getBoundingClientRect().bottom") <= 900
    browser.evaluate(f"{first}.click()")
    browser.evaluate("document.querySelector('.faq a').click()")
    top = browser.evaluate("document.querySelector('#faq-1').getBoundingClientRect().top")
    assert 0 <= top < 900
    assert "Because 0 × ∞ is." in browser.evaluate("document.querySelector('.question:target').textContent")
    assert browser.unexpected_events() == []
