"""The matrix can be filtered, sorted, folded and navigated, and the address contains its state."""

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
    """Text, chapter and verdict select rows; framework, dtype and mode select columns."""
    browser.open(shown)
    browser.evaluate(CHOOSE.format(name=name, value=value))
    assert browser.evaluate(SEEN) == left
    assert browser.unexpected_events() == []


def test_a_filter_state_is_an_address(browser: Browser, shown: Path) -> None:
    """The address contains the filter, and opening that address restores it."""
    browser.open(shown)
    for name, value in (("framework", "torch"), ("dtype", "f32"), ("text", "zero"), ("verdict", "p")):
        browser.evaluate(CHOOSE.format(name=name, value=value))
    address, left = browser.evaluate("location.hash"), browser.evaluate(SEEN)
    assert address == "#show?text=zero&framework=torch&dtype=f32&verdict=p"
    browser.open(shown, address)
    assert browser.evaluate(SEEN) == left
    assert left[0] == 4
    assert browser.evaluate("document.querySelector('#filter output').value").endswith("requirements shown")
    browser.open(shown, "#show?framework=unknown&order=none&folded=&x=%E0%A4%A")
    assert browser.evaluate(SEEN) == [14, 20]
    assert browser.unexpected_events() == []


def test_a_verdict_is_searched_in_the_visible_dtype(browser: Browser, shown: Path) -> None:
    """With a dtype selected, a row is visible only if a cell of that dtype has the verdict."""
    browser.open(shown, "#show?dtype=f64&verdict=f")
    rows = browser.evaluate("[...document.querySelectorAll('#cells tr[data-requirement]:not(.away)')].length")
    everything = "[...document.querySelectorAll('#cells td > .f:not(.away)')]"
    figures = browser.evaluate(f"{everything}.filter((each) => each.getClientRects().length).length")
    assert rows == 1
    assert figures >= 1


def test_rows_are_sorted_as_selected(browser: Browser, shown: Path) -> None:
    """Rows are sorted by name or by the largest headroom, and clearing restores the first order."""
    browser.open(shown)
    initial = browser.evaluate(ROWS)
    browser.evaluate(CHOOSE.format(name="order", value="name"))
    assert browser.evaluate(ROWS) == sorted(initial)
    browser.evaluate(CHOOSE.format(name="order", value="used"))
    figures = "[...row.querySelectorAll('td .p')].map((p) => parseFloat(p.textContent.slice(2)) || 0)"
    headrooms = browser.evaluate(ROWS.replace("row.dataset.requirement", f"Math.max(-1, ...{figures})"))
    assert headrooms == sorted(headrooms, reverse=True)
    browser.evaluate("document.querySelector('#filter [type=reset]').click()")
    assert browser.evaluate("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert browser.evaluate(ROWS) == initial


def test_chapters_fold(browser: Browser, shown: Path) -> None:
    """The heading of a chapter folds it, exposes its state, and changes the address."""
    browser.open(shown)
    button = "document.querySelector('[data-chapter=support] button')"
    browser.evaluate(f"{button}.click()")
    assert browser.evaluate(f"{button}.getAttribute('aria-expanded')") == "false"
    assert browser.evaluate(SEEN) == [14, 15]
    assert browser.evaluate("location.hash") == "#show?folded=support"
    browser.evaluate("document.querySelector('#filter [name=fold]').click()")
    assert browser.evaluate(SEEN) == [14, 20]


def test_the_matrix_is_usable_by_keyboard(browser: Browser, shown: Path) -> None:
    """A slash focuses the text field, arrows move between cells and describe each, and Escape clears."""
    browser.open(shown)
    browser.press("/")
    assert browser.evaluate("document.activeElement.name") == "text"
    browser.evaluate("document.querySelector('#cells td > .f').focus()")
    descriptions = [browser.evaluate("document.getElementById('description').textContent")]
    for key in ("ArrowRight", "ArrowDown", "ArrowLeft", "ArrowUp"):
        browser.press(key)
        descriptions.append(browser.evaluate("document.getElementById('description').textContent"))
    assert descriptions[0] == descriptions[-1]
    assert len(set(descriptions)) == 4
    assert all(": " in description for description in descriptions)
    browser.press("f")
    assert browser.evaluate("document.activeElement.getAttribute('aria-expanded')") == "false"
    browser.evaluate(CHOOSE.format(name="framework", value="scipy"))
    browser.evaluate("document.querySelector('#filter select').focus()")
    browser.press("Escape")
    assert browser.evaluate("new Promise((done) => setTimeout(() => done(1), 20))") == 1
    assert browser.evaluate(SEEN) == [14, 20]
    assert browser.unexpected_events() == []


def test_any_cell_can_be_linked_to(browser: Browser, shown: Path) -> None:
    """Clicking a figure writes its permalink to the address, and the permalink leads back to it."""
    browser.open(shown)
    browser.evaluate("document.querySelector('#cells td > i.p').click()")
    address = browser.evaluate("location.hash")
    assert "@" in address
    description = browser.evaluate("document.getElementById('description').textContent")
    browser.open(shown, address)
    assert browser.evaluate("document.querySelector('#cells .highlighted').getAttribute('aria-label')") == description
