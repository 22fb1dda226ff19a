"""What people ask first is answered by cells, and what an implementation says of itself is backed by them."""

from __future__ import annotations

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
            "asked": "Why is it NaN?",
            "answer": "Because 0 × ∞ is.",
            "property": "formula",
            "requirements": ["support/zero-over-zero", "gradients/model", "nothing/of-this-run"],
        },
        {"asked": "Not asked here?", "answer": "No.", "requirements": ["nothing/of-this-run"]},
    ],
    "evidence": {"formula": ["values/pointwise", "values/sum"], "zeros": ["support/zero-target"]},
}


def guided(run: Run, guide: Any = GUIDE) -> Run:
    """Return a run whose header has that guide."""
    return replace(run, header=replace(run.header, guide=guide))


def table(page: Node) -> list[list[str]]:
    """Return the words of the first question's table, row by row."""
    rows = page.one(id="question-1").one("table").all("tr")
    return [
        [cell.words for cell in row.children if isinstance(cell, Node) and cell.tag in {"th", "td"}]
        for row in rows
    ]


def test_a_question_is_answered_by_the_worst_cell_of_each_implementation(run: Run) -> None:
    """Each implementation has its own words and one figure a requirement; what nobody was asked is no column."""
    rows = table(tree(guided(run)))
    assert rows[0] == ["Implementation", "formula", "support/zero-over-zero", "gradients/model"]
    by_name = {row[0].split()[0]: row[1:] for row in rows[1:]}
    assert by_name["torch.nn.functional.kl_div"][:2] == ["p·(log p−log q)", "✗ ∞"]
    assert by_name["scipy.stats.entropy"][2] == "–"
    assert set(by_name) == set(run.header.implementations)


def test_a_question_nothing_answers_is_not_shown(run: Run) -> None:
    """A question whose cells are not in the run has no place on its page; without any there is no section."""
    page = tree(guided(run))
    assert "Not asked here?" not in page.words
    assert "Which KL is this?" in page.words
    assert "Which KL is this?" not in tree(run).words


def test_every_figure_leads_to_its_cell_or_requirement(run: Run) -> None:
    """A broken figure is a link to its drill-down, one that holds leads at least to the requirement."""
    links = [node.attributes["href"] for node in tree(guided(run)).one(id="question-1").all("a", _class="f")]
    assert links
    assert all(link.startswith("#support/zero-over-zero@") for link in links)
    evidence = Evidence(guided(run), {})
    chips = [chip for each in evidence.described() for entry in each.entries for chip in entry.chips]
    assert {chip.href.partition("@")[0] for chip in chips} <= {
        "#values/pointwise",
        "#values/sum",
        "#support/zero-target",
    }


def test_a_property_is_backed_or_says_that_it_is_not(run: Run) -> None:
    """Beside each property stand the cells that measured it; where none did, the page says so."""
    page = tree(guided(run)).one("table", _class="rosetta")
    rows = {row.one("th").words: row for row in list(page.all("tr"))[1:]}
    first, order, _, zeros = [
        cell.words for cell in rows["torch.nn.functional.kl_div"].children if isinstance(cell, Node)
    ][1:]
    assert first.startswith("p·(log p−log q) ✓ 0.")
    assert order.endswith("not measured in this run")
    assert zeros.endswith("zero-target")


def test_the_arithmetic_measured_is_shown_column_by_column(run: Run) -> None:
    """What one result of a column says of its arithmetic stands once, with the column's dtype and device."""
    words = "computes in float32, keeps subnormals"
    first = replace(run.results[0], arithmetic=words)
    own = column_of(run, first.column)
    measured = guided(replace(run, results=(first, first, *run.results[1:])))
    page = tree(measured).one("table", _class="rosetta")
    rows = {row.one("th").words: row.words for row in list(page.all("tr"))[1:]}
    assert rows[own.implementation].count(f"{own.dtype} on {own.device}: {words}") == 1
    assert not any(words in text for name, text in rows.items() if name != own.implementation)
    assert "arithmetic" not in Evidence(guided(run), {}).properties()
    assert decode(Result, encode(first)) == first


def test_only_cells_that_ran_are_evidence(run: Run) -> None:
    """A cell that never ran, or does not apply, backs nothing."""
    silent = tuple(replace(cell, verdict=Verdict.MISSING, headroom=None) for cell in run.results)
    evidence = Evidence(guided(replace(run, results=silent)), {})
    assert list(evidence.questions()) == []
    assert not any(entry.chips for each in evidence.described() for entry in each.entries)


def test_a_guide_of_another_shape_is_no_guide(small_run: Run) -> None:
    """Whatever a header holds in its place, the page is made and says nothing it does not know."""
    odd: list[Any] = [None, 7, "text", [], {}, [[1]], {"questions": 3}, [{"requirements": [3, None]}]]
    for entry in odd:
        for guide in ({"questions": entry}, {"evidence": entry}, {"evidence": {"formula": entry}}):
            assert not list(Evidence(guided(small_run, guide), {}).questions())
            assert "What each implementation computes" in tree(guided(small_run, guide)).words


def test_an_answer_is_two_clicks_away(browser: Browser, run: Run, tmp_path: Path) -> None:
    """The first screen leads to the questions, and each question to its answer and its cells."""
    write_page(guided(run), tmp_path / "page.html")
    browser.open(tmp_path / "page.html")
    first = "document.querySelector('.brand a[href=\"#which\"]')"
    assert browser.evaluate(f"{first}.getBoundingClientRect().bottom") <= 900
    browser.evaluate(f"{first}.click()")
    browser.evaluate("document.querySelector('.asked a').click()")
    top = browser.evaluate("document.querySelector('#question-1').getBoundingClientRect().top")
    assert 0 <= top < 900
    assert "Because 0 × ∞ is." in browser.evaluate("document.querySelector('.question:target').textContent")
    assert browser.unexpected_events() == []
