"""A formula in plain letters is set as mathematics, and any other text is shown as it stands."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_reports.analysis.wording import visible
from kl_reports.page.formula import formula
from kl_reports_testkit.browser import Browser
from kl_reports_testkit.html_tree import Node, Tree

ELEMENTS = {
    "math",
    "mrow",
    "mi",
    "mn",
    "mo",
    "mtext",
    "mfrac",
    "msub",
    "msup",
    "munder",
    "msqrt",
    "code",
    "span",
}
ATTRIBUTES = {"role", "aria-label", "form", "stretchy", "lspace", "rspace", "mathvariant"}
PIECES = [
    "Σ ",
    "p",
    "q_i",
    "log ",
    "(",
    ")",
    "|",
    "[",
    " ÷ ",
    "/",
    "∂",
    "lim ",
    "→",
    " of ",
    ", ",
    "2^31",
    "<b>",
    "√",
]


def tags(text: str) -> list[str]:
    """Return the elements of a formula, in order, without rows."""
    return [node.tag for node in Tree(formula(text)).root.all() if node.tag not in {"math", "mrow"}]


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("p/q", ["mfrac", "mi", "mi"]),
        ("Σ p", ["mo", "mtext", "mi"]),
        ("p_i", ["msub", "mi", "mi"]),
        ("2^31", ["msup", "mn", "mn"]),
        ("∂²/∂p²", ["mfrac", "msup", "mi", "mn", "mi", "msup", "mi", "mn"]),
        ("√MAX", ["msqrt", "mi"]),
        ("1e-12", ["msup", "mn", "mn"]),
        ("|δ|", ["mo", "mi", "mo"]),
        ("f(p)", ["mi", "mo", "mi", "mo"]),
    ],
)
def test_what_stands_for_a_form_is_drawn_in_it(text: str, drawn: list[str]) -> None:
    """Fractions, indices, powers, roots and sums have elements of their own."""
    assert tags(text) == drawn


def test_a_limit_stands_under_its_name() -> None:
    """Where p goes is written below lim, and before what it is a limit of."""
    (under,) = Tree(formula("lim p→0 of p·log p = 0")).root.all("munder")
    assert under.text == "limp→0"


def test_brackets_of_a_whole_numerator_are_not_drawn() -> None:
    """The bar of a fraction does what they did."""
    (fraction,) = Tree(formula("(CE − H) / N")).root.all("mfrac")
    assert fraction.text == "CE−HN"


def test_brackets_grow_with_a_fraction_alone() -> None:
    """Around one line of text they are as high as it."""
    for text, grow in (("log(p/q)", True), ("(p + q)", False)):
        fences = [node for node in Tree(formula(text)).root.all("mo") if node.text in "()"]
        assert len(fences) == 2
        assert all(("stretchy" not in node.attributes) is grow for node in fences)


def test_a_sign_is_no_difference() -> None:
    """A minus before an operand has no gap on either side of it, one between two has."""
    signs = [
        node.attributes.get("form") for node in Tree(formula("−p − (−q)")).root.all("mo") if node.text == "−"
    ]
    assert signs == ["prefix", None, "prefix"]


def test_words_are_words() -> None:
    """What is said between two formulas may be broken into lines; a name in a formula may not."""
    root = Tree(formula("p = 0 on a block: mean = Σ none ÷ rows")).root
    assert root.words == "p=0 on a block: mean=∑ none÷rows".replace(" none", "\u2009none") or root.text
    assert [node.text for node in root.all("mtext")][-1] == "rows"
    assert "on a block:" in "".join(child for child in root.children if isinstance(child, str))


@pytest.mark.parametrize(
    "text",
    [
        "(p",
        "p)",
        "p +",
        "|p",
        "p / ",
        "a_",
        "√",
        "lim p→0",
        "✗",
        "∂∂" * 20 + "p",
        "(" * 1000,
        "x + " * 40 + "x",
    ],
)
def test_what_is_no_formula_is_shown_as_it_stands(text: str) -> None:
    """An open bracket, a missing operand, a strange letter, a part too long for a line: text, named by itself."""
    (whole,) = Tree(formula(text)).root.children
    assert isinstance(whole, Node)
    assert whole.attributes == {"role": "math", "aria-label": text}
    assert whole.text == text


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_text_has_a_form(text: str) -> None:
    """Whatever is given, only elements of mathematics come out, each closed, and no letter of it is lost."""
    root = Tree(formula(text)).root
    assert {node.tag for node in root.all()} <= ELEMENTS
    assert {key for node in root.all() for key in node.attributes} <= ATTRIBUTES
    shown = visible(text) if any("role" in node.attributes for node in root.all()) else text
    assert re.findall("[pq]", root.text) == re.findall("[pq]", shown)


def test_a_browser_sets_it_as_mathematics(browser: Browser) -> None:
    """In a real browser a fraction is higher than its letters, and its bar lies between them."""
    browser.evaluate(f"document.body.innerHTML = {str(formula('p/q = p'))!r}")
    box = "document.querySelector({!r}).getBoundingClientRect().{}"
    upper, lower = (browser.evaluate(box.format(f"mfrac > :nth-child({place})", "top")) for place in (1, 2))
    assert upper < lower
    height = browser.evaluate(box.format("mfrac", "height"))
    assert height > 1.5 * browser.evaluate(box.format("mfrac mi", "height"))
