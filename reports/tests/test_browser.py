"""A real browser shows the page without an error, a request or a script."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kl_reports.page import write_page
from kl_reports.result import Run

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars --remote-debugging-pipe"
)
PATIENCE = 30.0  # seconds for one answer of the browser

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


class Browser:
    """A headless Chromium, spoken to through a pipe in the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        ours_in, theirs_out = os.pipe()
        theirs_in, ours_out = os.pipe()
        # The protocol is spoken on descriptors 3 and 4; high copies cannot be in their way.
        reading, writing = (fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 50) for end in (theirs_in, theirs_out))

        def connect() -> None:
            os.dup2(reading, 3)
            os.dup2(writing, 4)

        self._process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=connect,
            close_fds=False,
            start_new_session=True,
        )
        for end in (theirs_in, theirs_out, reading, writing):
            os.close(end)
        self._in, self._out = ours_in, ours_out
        self._rest, self._number, self._session, self._address = b"", 0, "", ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self) -> None:
        """End the browser and everything it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Ask one thing and return the answer."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, path: Path, fragment: str = "", width: int = 1440, *, script: bool = True) -> None:
        """Open a page in a window 900 pixels high and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False
        )
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self._address = path.as_uri()
        for address in ("about:blank", self._address + fragment):
            self.events.clear()
            self.call("Page.navigate", url=address)
            while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
                self.events.append(self._read())

    def ask(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def complaints(self) -> list[Any]:
        """Return every console line, error, dialog, and every request but the page itself."""
        self.ask("1")  # whatever was said before this is in by now
        bad = (
            "Runtime.consoleAPICalled",
            "Runtime.exceptionThrown",
            "Log.entryAdded",
            "Page.javascriptDialogOpening",
        )
        said: list[Any] = [event for event in self.events if event.get("method") in bad]
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        addresses = [event["params"]["request"]["url"] for event in asked]
        return said + [url for url in addresses[1:] if not url.startswith("data:")]

    def _read(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._in], [], [], PATIENCE)
            assert ready, "the browser gave no answer"
            data = os.read(self._in, 1 << 16)
            assert data, "the browser ended"
            self._rest += data
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """One browser for all tests of this file."""
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def shown(run: Run, tmp_path: Path) -> Path:
    """The page of a made-up run."""
    write_page(run, tmp_path / "page.html")
    return tmp_path / "page.html"


CELL = "#support/zero-over-zero@torch.nn.functional.kl_div-2.13.0-cpu-float16-eager"
PLAIN = "#signs/self@torch.nn.KLDivLoss-2.13.0-cpu-float32-eager"


def test_the_page_opens_without_a_complaint(browser: Browser, shown: Path) -> None:
    """No console line, no request, every column and row of the matrix in the document."""
    browser.open(shown)
    assert browser.complaints() == []
    assert browser.ask("document.querySelectorAll('#cells .groups th[data-keys]').length") == 14
    assert browser.ask("document.querySelectorAll('#cells tr[data-requirement]').length") == 20
    assert browser.ask("getComputedStyle(document.querySelector('#cells .f')).fontWeight") == "700"


def test_the_first_screen_needs_no_scrolling(browser: Browser, shown: Path) -> None:
    """At 1440 × 900 who was asked, completeness, what is broken and what is near the limit are in sight."""
    browser.open(shown)
    for place in ("h1", ".identity", ".legend", ".findings", ".nearest"):
        assert browser.ask(f"document.querySelector({place!r}).getBoundingClientRect().bottom") <= 900


@pytest.mark.parametrize("width", [390, 1440])
def test_the_page_fits_its_window(browser: Browser, shown: Path, width: int) -> None:
    """Only the matrix and the tables scroll sideways, never the page."""
    browser.open(shown, width=width)
    assert browser.ask("document.documentElement.scrollWidth") <= width


def test_hostile_text_does_nothing_in_a_browser(browser: Browser, hostile_run: Run, tmp_path: Path) -> None:
    """No script runs, no dialog opens, nothing is asked for, and the page still fits its window."""
    write_page(hostile_run, tmp_path / "page.html")
    for width in (390, 1440):
        browser.open(tmp_path / "page.html", width=width)
        assert browser.complaints() == []
        assert browser.ask("document.scripts.length") == 1
        assert browser.ask("document.documentElement.scrollWidth") <= width


def test_the_page_needs_no_script(browser: Browser, shown: Path) -> None:
    """With JavaScript off the headline, the matrix and the failures are there, and the filter is not."""
    browser.open(shown, script=False)
    tree = browser.call("DOMSnapshot.captureSnapshot", computedStyles=[])
    text = " ".join(tree["strings"])
    for part in ("New or broken: 15 cells", "support/zero-over-zero", "✗ 3.1×", "kl_div(input=model"):
        assert part in text
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    form = browser.call("DOM.querySelector", nodeId=document, selector="#filter[hidden]")["nodeId"]
    assert form


def test_a_permalink_opens_what_it_names(browser: Browser, shown: Path) -> None:
    """A link to a broken cell opens its drill-down; one to a plain cell lights it in the matrix."""
    browser.open(shown, CELL)
    assert browser.ask("document.querySelector('details.cell[open] summary').textContent").startswith("✗ ∞")
    assert browser.ask("document.querySelector('details.cell[open]').getBoundingClientRect().top") < 900
    browser.open(shown, PLAIN)
    label = browser.ask("document.querySelector('.lit').getAttribute('aria-label')")
    assert label.startswith("signs/self on torch.nn.KLDivLoss 2.13.0 cpu eager f32: held")
    browser.open(shown, "#%E0%A4%A")
    assert browser.complaints() == []


FILTER = """
(() => {{
  const form = document.getElementById("filter");
  form.elements.{name}.value = {value!r};
  form.dispatchEvent(new Event("input", {{ bubbles: true }}));
  const seen = (selector) =>
    [...document.querySelectorAll(selector)].filter((node) => node.getClientRects().length).length;
  return [seen("#cells .groups th[data-keys]"), seen("#cells tr[data-requirement]")];
}})()
"""


@pytest.mark.parametrize(
    ("name", "value", "left"),
    [
        ("text", "zero", [14, 4]),
        ("text", "support/zero", [14, 3]),
        ("text", "nothing at all", [14, 0]),
        ("group", "scipy", [3, 20]),
        ("verdict", "f", [14, 2]),
        ("verdict", "", [14, 20]),
    ],
)
def test_the_filter_narrows_rows_and_columns(
    browser: Browser, shown: Path, name: str, value: str, left: list[int]
) -> None:
    """Text and verdict choose rows, the framework chooses columns."""
    browser.open(shown)
    assert browser.ask(FILTER.format(name=name, value=value)) == left
    assert browser.complaints() == []
