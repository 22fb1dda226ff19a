"""The matrix can be narrowed, ordered, folded and walked, and its address says what is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from kl_reports_testkit.browser import Browser

SEEN = """
(() => {
  const seen = (selector) =>
    [...document.querySelectorAll(selector)].filter((node) => node.getClientRects().length).length;
  return [seen("#cells .groups th[data-keys]"), seen("#cells tr[data-requirement]")];
})()
"""
CHOOSE = """
(() => {{
  const form = document.getElementById("filter");
  form.elements.{name}.value = {value!r};
  form.dispatchEvent(new Event("input", {{ bubbles: true }}));
}})()
"""
ROWS = """
[...document.querySelectorAll("#cells tbody:first-of-type tr[data-requirement]")]
  .map((row) => row.dataset.requirement)
"""


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("text", "zero", [14, 4]),
        ("text", "support/zero", [14, 3]),
        ("text", "nothing at all", [14, 0]),
        ("framework", "scipy", [3, 20]),
        ("dtype", "bf16", [9, 20]),
        ("mode", "eager", [14, 20]),
        ("chapter", "support", [14, 5]),
        ("verdict", "f", [14, 2]),
        ("verdict", "", [14, 20]),
    ],
)
def test_the_filter_narrows_rows_and_columns(
    browser: Browser, shown: Path, name: str, value: str, left: list[int]
) -> None:
    """Text, chapter and verdict choose rows; framework, dtype and mode choose columns."""
    browser.open(shown)
    browser.evaluate(CHOOSE.format(name=name, value=value))
    assert browser.evaluate(SEEN) == left
    assert browser.unexpected_events() == []


def test_a_filter_state_is_an_address(browser: Browser, shown: Path) -> None:
    """What was chosen stands in the address, and opening that address shows the same again."""
    browser.open(shown)
    for name, value in (("framework", "torch"), ("dtype", "f32"), ("text", "zero"), ("verdict", "p")):
        browser.evaluate(CHOOSE.format(name=name, value=value))
    address, left = browser.evaluate("location.hash"), browser.evaluate(SEEN)
    assert address == "#show?text=zero&framework=torch&dtype=f32&verdict=p"
    browser.open(shown, address)
    assert browser.evaluate(SEEN) == left
    assert left[0] == 4
    assert browser.evaluate("document.querySelector('#filter output').value").endswith("requirements shown")
    browser.open(shown, "#show?framework=nobody&order=none&folded=&x=%E0%A4%A")
    assert browser.evaluate(SEEN) == [14, 20]
    assert browser.unexpected_events() == []


def test_a_verdict_is_looked_for_in_the_dtype_shown(browser: Browser, shown: Path) -> None:
    """With a dtype chosen, a row is kept only where a cell of that dtype has the verdict."""
    browser.open(shown, "#show?dtype=f64&verdict=f")
    rows = browser.evaluate("[...document.querySelectorAll('#cells tr[data-requirement]:not(.away)')].length")
    everything = "[...document.querySelectorAll('#cells td > .f:not(.away)')]"
    figures = browser.evaluate(f"{everything}.filter((each) => each.getClientRects().length).length")
    assert rows == 1
    assert figures >= 1


def test_rows_are_ordered_as_asked(browser: Browser, shown: Path) -> None:
    """By name is by name, closest first has the largest share first, and clearing brings the first order back."""
    browser.open(shown)
    made = browser.evaluate(ROWS)
    browser.evaluate(CHOOSE.format(name="order", value="name"))
    assert browser.evaluate(ROWS) == sorted(made)
    browser.evaluate(CHOOSE.format(name="order", value="used"))
    figures = "[...row.querySelectorAll('td .p')].map((p) => parseFloat(p.textContent.slice(2)) || 0)"
    share = browser.evaluate(ROWS.replace("row.dataset.requirement", f"Math.max(-1, ...{figures})"))
    assert share == sorted(share, reverse=True)
    browser.evaluate("document.querySelector('#filter [type=reset]').click()")
    assert browser.evaluate("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert browser.evaluate(ROWS) == made


def test_chapters_fold(browser: Browser, shown: Path) -> None:
    """A chapter's heading folds it away and says so, and the address remembers it."""
    browser.open(shown)
    button = "document.querySelector('[data-chapter=support] button')"
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(f"{button}.getAttribute('aria-expanded')") == "false"
    assert browser.evaluate(SEEN) == [14, 15]
    assert browser.evaluate("location.hash") == "#show?folded=support"
    browser.evaluate("document.querySelector('#filter [name=fold]').click()")
    assert browser.evaluate(SEEN) == [14, 20]


def test_the_keyboard_does_it_all(browser: Browser, shown: Path) -> None:
    """A slash goes to the text, arrows walk from cell to cell, each says its sentence, and Escape clears."""
    browser.open(shown)
    browser.press("/")
    assert browser.evaluate("document.activeElement.name") == "text"
    browser.evaluate("document.querySelector('#cells td > .f').focus()")
    said = [browser.evaluate("document.getElementById('said').textContent")]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        browser.press(key)
        said.append(browser.evaluate("document.getElementById('said').textContent"))
    assert said[0] == said[-1]
    assert len(set(said)) == 4
    assert all(": " in sentence for sentence in said)
    browser.press("f")
    assert browser.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.evaluate(CHOOSE.format(name="framework", value="scipy"))
    browser.evaluate("document.querySelector('#filter select').focus()")
    browser.press("Escape")
    assert browser.evaluate("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert browser.evaluate(SEEN) == [14, 20]
    assert browser.unexpected_events() == []


def test_any_cell_can_be_linked_to(browser: Browser, shown: Path) -> None:
    """Clicking a figure puts its permalink in the address, which leads back to it."""
    browser.open(shown)
    browser.evaluate("document.querySelector('#cells td > i.p').click()")
    address = browser.evaluate("location.hash")
    assert "@" in address
    said = browser.evaluate("document.getElementById('said').textContent")
    browser.open(shown, address)
    assert browser.evaluate("document.querySelector('#cells .lit').getAttribute('aria-label')") == said
