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
    browser.ask(CHOOSE.format(name=name, value=value))
    assert browser.ask(SEEN) == left
    assert browser.complaints() == []


def test_a_filter_state_is_an_address(browser: Browser, shown: Path) -> None:
    """What was chosen stands in the address, and opening that address shows the same again."""
    browser.open(shown)
    for name, value in (("framework", "torch"), ("dtype", "f32"), ("text", "zero"), ("verdict", "p")):
        browser.ask(CHOOSE.format(name=name, value=value))
    address, left = browser.ask("location.hash"), browser.ask(SEEN)
    assert address == "#show?text=zero&framework=torch&dtype=f32&verdict=p"
    browser.open(shown, address)
    assert browser.ask(SEEN) == left
    assert left[0] == 4
    assert browser.ask("document.querySelector('#filter output').value").endswith("requirements shown")
    browser.open(shown, "#show?framework=nobody&order=none&folded=&x=%E0%A4%A")
    assert browser.ask(SEEN) == [14, 20]
    assert browser.complaints() == []


def test_a_verdict_is_looked_for_in_the_dtype_shown(browser: Browser, shown: Path) -> None:
    """With a dtype chosen, a row is kept only where a cell of that dtype has the verdict."""
    browser.open(shown, "#show?dtype=f64&verdict=f")
    rows = browser.ask("[...document.querySelectorAll('#cells tr[data-requirement]:not(.away)')].length")
    everything = "[...document.querySelectorAll('#cells td > .f:not(.away)')]"
    figures = browser.ask(f"{everything}.filter((each) => each.getClientRects().length).length")
    assert rows == 1
    assert figures >= 1


def test_rows_are_ordered_as_asked(browser: Browser, shown: Path) -> None:
    """By name is by name, closest first has the largest share first, and clearing brings the first order back."""
    browser.open(shown)
    made = browser.ask(ROWS)
    browser.ask(CHOOSE.format(name="order", value="name"))
    assert browser.ask(ROWS) == sorted(made)
    browser.ask(CHOOSE.format(name="order", value="used"))
    figures = "[...row.querySelectorAll('td .p')].map((p) => parseFloat(p.textContent.slice(2)) || 0)"
    share = browser.ask(ROWS.replace("row.dataset.requirement", f"Math.max(-1, ...{figures})"))
    assert share == sorted(share, reverse=True)
    browser.ask("document.querySelector('#filter [type=reset]').click()")
    assert browser.ask("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert browser.ask(ROWS) == made


def test_chapters_fold(browser: Browser, shown: Path) -> None:
    """A chapter's heading folds it away and says so, and the address remembers it."""
    browser.open(shown)
    button = "document.querySelector('[data-chapter=support] button')"
    browser.ask(f"{button}.click()")
    assert browser.ask(f"{button}.getAttribute('aria-expanded')") == "false"
    assert browser.ask(SEEN) == [14, 15]
    assert browser.ask("location.hash") == "#show?folded=support"
    browser.ask("document.querySelector('#filter [name=fold]').click()")
    assert browser.ask(SEEN) == [14, 20]


def test_the_keyboard_does_it_all(browser: Browser, shown: Path) -> None:
    """A slash goes to the text, arrows walk from cell to cell, each says its sentence, and Escape clears."""
    browser.open(shown)
    browser.press("/")
    assert browser.ask("document.activeElement.name") == "text"
    browser.ask("document.querySelector('#cells td > .f').focus()")
    said = [browser.ask("document.getElementById('said').textContent")]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        browser.press(key)
        said.append(browser.ask("document.getElementById('said').textContent"))
    assert said[0] == said[-1]
    assert len(set(said)) == 4
    assert all(": " in sentence for sentence in said)
    browser.press("f")
    assert browser.ask("document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.ask(CHOOSE.format(name="framework", value="scipy"))
    browser.ask("document.querySelector('#filter select').focus()")
    browser.press("Escape")
    assert browser.ask("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert browser.ask(SEEN) == [14, 20]
    assert browser.complaints() == []


def test_any_cell_can_be_linked_to(browser: Browser, shown: Path) -> None:
    """Clicking a figure puts its permalink in the address, which leads back to it."""
    browser.open(shown)
    browser.ask("document.querySelector('#cells td > i.p').click()")
    address = browser.ask("location.hash")
    assert "@" in address
    said = browser.ask("document.getElementById('said').textContent")
    browser.open(shown, address)
    assert browser.ask("document.querySelector('#cells .lit').getAttribute('aria-label')") == said
