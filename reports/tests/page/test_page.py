"""The page shows a run in any browser, and no content of a run file is executed."""

import base64
import hashlib
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kl_reports.analysis.wording import LOOKS, outcome
from kl_reports.files import RunFileError
from kl_reports.page.page import page, write_page
from kl_reports.runfile.records import Result, Run, Verdict
from kl_reports_testkit.example_runs import large_run
from kl_reports_testkit.html_tree import Node, Tree, ids, tree

STYLES = {look.style: verdict for verdict, look in LOOKS.items()}


def chips(row: Node) -> list[Node]:
    """Return the drawn cells of a row of the matrix."""
    return [child for square in row.all("td") for child in square.children if isinstance(child, Node)]


def test_the_page_is_self_contained(run: Run) -> None:
    """The page loads nothing, and its policy allows its own style and script by their hashes only."""
    root = tree(run)
    assert not [node for node in root.all() if "src" in node.attributes or "style" in node.attributes]
    assert {node.attributes["href"] for node in root.all("link")} == {"data:,"}
    assert not [node for node in root.all() if any(name.startswith("on") for name in node.attributes)]
    policy = next(node.attributes["content"] for node in root.all("meta") if "http-equiv" in node.attributes)
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    for name in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(root.one(name).text.encode()).digest()).decode()
        assert rules[f"{name}-src"] == f"'sha256-{digest}'"


def test_every_link_on_the_page_leads_somewhere(run: Run, hostile_run: Run) -> None:
    """Every fragment is the id of one element, no id is used twice, and every label refers to an element."""
    for root in (tree(run), tree(hostile_run)):
        links = [node.attributes["href"] for node in root.all("a")]
        assert all(link.startswith(("#", "https://", "http://")) for link in links)
        labels = {node.attributes.get("aria-labelledby") for node in root.all()}
        assert labels <= {*ids(root), None}


def test_every_cell_that_ran_is_drawn_and_labelled(run: Run) -> None:
    """Each row has one figure per cell, labelled with requirement, column, verdict and headroom."""
    table = tree(run).one("table", id="cells")
    drawn = {
        node.attributes["aria-label"].removeprefix(f"{node.text} ") for row in table.all("tr") for node in chips(row)
    }
    results = {cell.cell: cell for cell in run.results}
    passed = results["values/pointwise@torch.nn.functional.kl_div-2.13.0-cpu-float32-eager"]
    place = "torch.nn.functional.kl_div 2.13.0 cpu eager"
    assert f"values/pointwise on {place} f32: {outcome(passed)}" in drawn
    failed = results["support/zero-over-zero@torch.nn.functional.kl_div-2.13.0-cpu-float16-eager"]
    assert f"support/zero-over-zero on {place} f16: {outcome(failed)}: returned NaN" in drawn
    unsupported = "scipy.stats.entropy 1.17.1 cpu eager f64 and f32: not applicable: has no gradients"
    assert f"gradients/model on {unsupported}" in drawn
    cpu = [cell for cell in run.results if "-cpu-" in cell.column and cell.verdict is not Verdict.UNSUPPORTED]
    assert len([label for label in drawn if " cpu " in label and "not applicable" not in label]) == len(cpu)


def test_labels_begin_with_the_visible_text(run: Run) -> None:
    """The accessible name of a link begins with its visible text (WCAG 2.5.3)."""
    named = [node for node in tree(run).all("a") if "aria-label" in node.attributes]
    assert len(named) > 50
    assert all(node.attributes["aria-label"].startswith(f"{node.text} ") for node in named)


def test_every_verdict_has_its_glyph(run: Run) -> None:
    """Every verdict has its own glyph and style, and each figure shows the glyph of its verdict."""
    assert len({look.glyph for look in LOOKS.values()}) == len({look.style for look in LOOKS.values()}) == 10
    for row in tree(run).one("table", id="cells").all("tr"):
        for node in chips(row):
            style = node.attributes.get("class", "").split()[:1]
            if style in (["z"], []):
                continue
            look = LOOKS[STYLES[style[0]]]
            assert node.text.split()[0] == look.glyph
            assert f": {look.word}" in node.attributes["aria-label"]


def test_rows_with_news_come_first_in_their_chapter(run: Run) -> None:
    """Within a chapter, rows with new failures or fixed deviations come before the others."""
    news = {cell.requirement for cell in run.results if cell.verdict.is_news}
    for body in tree(run).one("table", id="cells").all("tbody"):
        names = [row.attributes.get("data-requirement") for row in body.all("tr")]
        has_news = [name in news for name in names if name]
        assert has_news == sorted(has_news, reverse=True)


def test_the_first_screen_has_the_four_main_facts(run: Run) -> None:
    """What was tested, completeness, failures and the cells closest to the limit come first."""
    root = tree(run)
    assert root.one("h1").line == "New failures: 15 cells of 3 requirements"
    assert root.one("dl", _class="identity").line.startswith(
        "Tested torch 2.13.0, tensorflow 2.20.0, jax 0.10.2, scipy 1.17.1 On cpu, cuda"
    )
    summary = root.one("section", _class="completeness").line
    assert "840 of 869 cells passed, 12 known deviations, 1 fixed, 12 failed" in summary
    assert "CUDA columns not run (879 cells)" in summary
    table = root.one("table", _class="scores")
    rows = [row.line for row in table.all("tr")]
    assert rows[1] == "torch.nn.functional.kl_div 2.13.0 16 of 17 ✗ 1 1 of 1 2 of 2"
    findings = next(root.all("ul", _class="findings"))
    assert findings.line.startswith(
        f"✗ ∞ support/zero-over-zero {LOOKS[Verdict.FAIL].word}: torch.nn.functional.kl_div f16"
    )
    lines = list(root.one("table", _class="nearest").all("tr"))[1:]
    nearest = [float(next(line.all("td")).line.split()[1]) for line in lines]
    assert nearest == sorted(nearest, reverse=True)
    assert nearest[0] == 0.96


def test_the_headline_of_an_incomplete_run_begins_with_cut_off(make_run: Callable[..., Run]) -> None:
    """The headline of a run without a footer begins with it, even if no cell failed."""
    calm = make_run(["cpu"], calm=True)
    assert tree(calm).one("h1").line == "No new failures"
    assert tree(replace(calm, finished=None)).one("h1").line.startswith("Cut off.")
    gone = replace(calm, results=(replace(calm.results[0], verdict=Verdict.FIXED), *calm.results[1:]))
    assert tree(gone).one("h1").line == "Known deviations are gone: their records must be removed"


def test_a_failed_cell_has_its_details(run: Run) -> None:
    """The details of a failed cell have the witness as bits, hexadecimal float and decimal, and the budget."""
    cell = tree(run).one(id="support/zero-over-zero@torch.nn.functional.kl_div-2.13.0-cpu-float16-eager")
    for part in (
        "returned NaN (quiet, payload 0), expected 0.0",
        "kl_div(input=model, target=target, reduction='batchmean')",
        "-0.6931472",
        "-0x1.62e43p-1",
        "f32:bf317218",
        "minus infinity",
        "1.1920928955078125e-07",
        "14.2 = 6.0 conditioning + 7.7 summation + 0.5 output rounding, in units of 2.98e-08 = u·S",
        "0 · (log 0 − log 0) was computed as written.",
        "import torch",
        "The same distributions also fail",
    ):
        assert part in cell.line


def test_a_witness_may_lack_anything(run: Run) -> None:
    """Each key of a witness may be missing, malformed or far too long."""
    full = next(cell for cell in run.results if cell.witness)
    assert full.witness is not None
    odd: list[Any] = [None, 7, "text", [], {}, [[1]], {"bits": 3, "shape": "x"}]
    results = tuple(
        replace(full, requirement=f"odd/{key}-{place}", witness={**full.witness, key: entry})
        for key in full.witness
        for place, entry in enumerate(odd)
    )
    for some in (results[::2], results[1::2]):  # there is room for each half
        shown = tree(replace(run, results=some))
        assert len(list(shown.all("details", _class="cell"))) == len(some)
    long = {"target": {"bits": ["f64:3ff0000000000000"] * 5000, "shape": [5000]}, "got": ["f64:0"] * 5000}
    text = tree(replace(run, results=(replace(full, witness=long),))).line
    assert "… 4,984 more values of 5,000" in text


def test_levels_and_deviations_are_separate(run: Run) -> None:
    """Each level has its own column, and a known deviation has its link."""
    root = tree(run)
    heads = [node.line for node in root.one("table", _class="scores").all("th", scope="col")]
    assert heads == ["Implementation", "MUST", "SHOULD", "CONVENTION"]
    entry = next(node for node in root.all("li") if "keras-clips-probabilities" in node.line)
    assert "clips probabilities at 1e-7" in entry.line
    assert "https://example.org/issues/1" in {node.attributes["href"] for node in entry.all("a")}


def test_each_deviation_of_a_cell_is_listed(run: Run) -> None:
    """A cell with two deviations counts for both, and each is listed under its own name."""
    (first, second, *_), rest = [cell for cell in run.results if cell.deviation], "another-one"
    both = f"{first.deviation}, {rest}"
    results = [replace(cell, deviation=both) if cell == second else cell for cell in run.results]
    items = list(tree(replace(run, results=tuple(results))).all("li"))
    listed = [item.line for item in items if item.attributes.get("id", "").startswith("deviation-")]
    fixed, known, other = listed
    assert "fixed, remove its record" in fixed
    assert known.startswith("◆ keras-clips-probabilities. clips probabilities at 1e-7")
    assert other.startswith("◆ another-one. Occurs together with keras-clips-probabilities.")


def test_columns_not_run_are_listed_with_the_reason(run: Run) -> None:
    """A column that was not run is listed instead of drawn, and its cells are counted."""
    untested = tree(run).one("details", _class="untested").line
    assert untested.startswith("∅ 12 columns not run: no CUDA device on this machine")
    assert "torch.nn.KLDivLoss 2.13.0 cuda eager f64, f32, f16, bf16: 80 cells" in untested


def test_the_table_of_properties_has_every_implementation(run: Run) -> None:
    """Each implementation is one row of the table of declared properties."""
    table = tree(run).one("table", _class="properties")
    names = [row.one("th").line for row in list(table.all("tr"))[1:]]
    assert names == list(run.header.implementations)
    heads = [node.line for node in table.all("th", scope="col")]
    assert heads == ["Implementation", "formula", "argument order", "reductions"]


def test_every_verdict_is_explained(run: Run) -> None:
    """The glossary has an entry for every verdict, with its meaning."""
    root = tree(run)
    for verdict in Verdict:
        assert verdict.value.lower() in root.one(id=f"verdict-{verdict.name}").line.lower()


def test_hostile_text_is_shown_as_text(hostile_run: Run) -> None:
    """HTML, quotes, control characters, direction marks and long names in a run file are shown as text."""
    text = page(hostile_run)
    root = Tree(text).root
    assert len(list(root.all("script"))) == len(list(root.all("style"))) == 1
    assert not list(root.all("img"))
    assert "<script>alert(1)</script>" in root.line
    assert "{{ 7 * 7 }}" in root.line
    assert "⟨1B⟩[31mred⟨00⟩⟨07⟩" in root.line
    assert "⟨202E⟩gnp.exe⟨2066⟩" in root.line
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert "x" * 4001 not in text
    assert len(text) < 3_000_000
    assert "Cut off." in root.one("h1").line


def test_an_empty_run_has_a_page(run: Run) -> None:
    """A run without results, columns and requirements has a page that says so."""
    header = replace(run.header, requirements={}, implementations={}, columns={}, planned=(), environment={"": {}})
    assert "No cell ran" in tree(Run(header, ())).line


def test_a_result_may_name_what_its_header_lacks(run: Run) -> None:
    """A cell whose requirement and column are not in the header is shown under their ids."""
    odd = Result("new/thing", 1, "some-column", Verdict.FAIL, "odd", headroom=2.0)
    root = tree(replace(run, results=(*run.results, odd)))
    assert root.one(id="new/thing@some-column").line.startswith("✗ 2.0× some-column")


def test_the_page_is_made_of_the_run_alone(run: Run) -> None:
    """The page of one run is always the same."""
    assert page(run) == page(run)


def test_a_large_run_keeps_a_small_page() -> None:
    """Twenty thousand cells fit in 1.5 MB; the worst have their details and the rest are counted."""
    run = large_run()
    text = page(run)
    assert len(run.results) == 19_968
    assert len(text.encode()) < 1_500_000
    for part in ("see the run file for their witnesses", "negative, number 4?", 'class="chart"', 'class="spark"'):
        assert part in text


def test_with_little_room_each_kind_has_one_cell_with_details() -> None:
    """A cell of each kind has its details on the page, also beside a thousand cells of another kind."""
    run = large_run(624, 8)
    results = list(run.results)
    last = max(place for place, cell in enumerate(results) if cell.verdict is Verdict.PASS)
    failed = next(cell for cell in results if cell.verdict is Verdict.FAIL)
    results[last] = replace(results[last], verdict=Verdict.FAIL, headroom=None, witness=failed.witness, deviation="x")
    cells = tree(replace(run, results=tuple(results))).all("details", _class="cell")
    shown = {node.attributes["id"] for node in cells}
    assert results[last].cell in shown
    assert not {cell.cell for cell in results if cell.verdict is Verdict.FAIL} <= shown


def test_a_page_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    """A missing folder raises one clear error; a good path has the page and no other file."""
    with pytest.raises(RunFileError, match="cannot be written"):
        write_page(run, tmp_path / "none" / "page.html")
    write_page(run, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page(run)
    assert len(list(tmp_path.iterdir())) == 1
