"""A formula in plain text becomes MathML, and any other text is unchanged."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kl_reports.analysis.wording import visible
from kl_reports.page.formula import formula
from kl_reports_testkit.browser import Browser
from kl_reports_testkit.html_tree import Node, Tree

ELEMENTS = {*("math", "mrow", "mi", "mn", "mo", "mtext", "mfrac", "msub", "msup", "munder", "msqrt"), *("code", "span")}
ATTRIBUTES = {"role", "aria-label", "form", "stretchy", "lspace", "rspace", "mathvariant"}
PIECES = [*("Σ ", "p", "q_i", "log ", " ÷ ", "lim ", " of ", ", ", "2^31", "<b>"), *"()|[/∂→√"]


def tags(text: str) -> list[str]:
    """Return the elements of a formula in order, without rows."""
    return [node.tag for node in Tree(formula(text)).root.all() if node.tag not in {"math", "mrow"}]


@pytest.mark.parametrize(
    ("text", "elements"),
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
def test_notation_has_its_element(text: str, elements: list[str]) -> None:
    """Fractions, indices, powers, roots and sums become the elements of MathML."""
    assert tags(text) == elements


def test_the_condition_of_a_limit_is_below_lim() -> None:
    """The condition of a limit is an underscript of lim."""
    (under,) = Tree(formula("lim p→0 of p·log p = 0")).root.all("munder")
    assert under.text == "limp→0"


def test_brackets_of_a_whole_numerator_are_not_drawn() -> None:
    """The bar of a fraction replaces the brackets."""
    (fraction,) = Tree(formula("(CE − H) / N")).root.all("mfrac")
    assert fraction.text == "CE−HN"


def test_brackets_grow_with_a_fraction_only() -> None:
    """Brackets around a fraction stretch; brackets around one line do not."""
    for text, grow in (("log(p/q)", True), ("(p + q)", False)):
        fences = [node for node in Tree(formula(text)).root.all("mo") if node.text in "()"]
        assert len(fences) == 2
        assert all(("stretchy" not in node.attributes) is grow for node in fences)


def test_a_sign_is_not_a_difference() -> None:
    """A minus before an operand is a prefix, a minus between two operands is not."""
    signs = [node.attributes.get("form") for node in Tree(formula("−p − (−q)")).root.all("mo") if node.text == "−"]
    assert signs == ["prefix", None, "prefix"]


def test_words_between_formulas_are_text() -> None:
    """Words between two formulas are text, where a line may end; a name in a formula is part of it."""
    root = Tree(formula("p = 0 on a block: mean = Σ none ÷ rows")).root
    assert root.line == "p=0 on a block: mean=∑ none÷rows".replace(" none", "\u2009none") or root.text
    assert [node.text for node in root.all("mtext")][-1] == "rows"
    assert "on a block:" in "".join(child for child in root.children if isinstance(child, str))


OTHER = ("(p", "p)", "p +", "|p", "p / ", "a_", "√", "lim p→0", "✗")


@pytest.mark.parametrize("text", [*OTHER, "∂∂" * 20 + "p", "(" * 1000, "x + " * 40 + "x"])
def test_other_text_is_unchanged(text: str) -> None:
    """A text with an open bracket, a missing operand, an unknown character or a long part is shown unchanged."""
    (element,) = Tree(formula(text)).root.children
    assert isinstance(element, Node)
    assert element.attributes == {"role": "math", "aria-label": text}
    assert element.text == text


@given(st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=14).map("".join)))
def test_any_text_becomes_valid_markup(text: str) -> None:
    """Any text becomes closed elements of MathML, and no letter is lost."""
    root = Tree(formula(text)).root
    assert {node.tag for node in root.all()} <= ELEMENTS
    assert {key for node in root.all() for key in node.attributes} <= ATTRIBUTES
    shown = visible(text) if any("role" in node.attributes for node in root.all()) else text
    assert re.findall("[pq]", root.text) == re.findall("[pq]", shown)


def test_a_browser_renders_fractions(browser: Browser) -> None:
    """In a real browser the numerator is above the denominator, and the fraction is higher than its letters."""
    browser.evaluate(f"document.body.innerHTML = {str(formula('p/q = p'))!r}")
    box = "document.querySelector({!r}).getBoundingClientRect().{}"
    upper, lower = (browser.evaluate(box.format(f"mfrac > :nth-child({place})", "top")) for place in (1, 2))
    assert upper < lower
    height = browser.evaluate(box.format("mfrac", "height"))
    assert height > 1.5 * browser.evaluate(box.format("mfrac mi", "height"))
