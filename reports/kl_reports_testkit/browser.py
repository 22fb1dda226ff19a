"""Headless Chromium for the tests of the page, driven by Selenium."""

import json
import shutil
from importlib import resources
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
AXE = "axe_core_python"  # the package that contains axe-core
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
RUN_AXE = "axe.run(document, {options}).then((found) => JSON.stringify(found.violations))"
OPEN = "for (const each of document.querySelectorAll('details')) each.open = true"
FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --hide-scrollbars"
)


def unavailable() -> str:
    """Return the reason that no browser can be started on this machine, or an empty string."""
    if CHROMIUM is None:
        return "Chromium is not installed"
    return "" if CHROMEDRIVER else "chromedriver is not installed"


class Browser:
    """A headless Chromium with one tab; the methods with no Selenium equivalent use the DevTools protocol."""

    def __init__(self, profile: Path) -> None:
        options = ChromeOptions()
        options.binary_location = str(CHROMIUM)
        for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
            options.add_argument(flag)
        # "browser" is the console; "performance" has the events of the Network and Page domains.
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self._driver = Chrome(options, Service(CHROMEDRIVER))
        self._driver.get("about:blank")

    def close(self) -> None:
        """End the browser and its driver."""
        self._driver.quit()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the DevTools protocol and return its result."""
        result: dict[str, Any] = self._driver.execute_cdp_cmd(method, parameters)
        return result

    def open(self, path: Path, fragment: str = "", width: int = 1440, *, script: bool = True) -> None:
        """Load a page in a viewport 900 pixels high, with JavaScript unless ``script`` is false."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self._driver.get("about:blank")
        self.call("Emulation.setScriptExecutionDisabled", value=not script)
        self._events()
        self._driver.get(path.as_uri() + fragment)

    def color_scheme(self, name: str) -> None:
        """Emulate the preference for the light or the dark colour scheme, from the next page on."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def screenshot(self, path: Path) -> None:
        """Write the viewport as a PNG file."""
        self._driver.get_screenshot_as_file(str(path))

    def press(self, key: str) -> None:
        """Press and release one key."""
        text = {"text": key} if len(key) == 1 else {"text": "\r"} if key == "Enter" else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, code=key, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, code=key)

    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, of a promise when it is settled."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def violations(self, path: Path, scheme: str, width: int) -> list[dict[str, list[str]]]:
        """Return what axe-core finds on a page, closed and with every detail open: the elements by rule."""
        self.color_scheme(scheme)
        self.open(path, width=width)
        self.evaluate(resources.files(AXE).joinpath("axe.min.js").read_text(encoding="utf-8"))
        options = json.dumps({"runOnly": {"type": "tag", "values": RULES}})
        found: list[dict[str, list[str]]] = []
        for step in ("1", OPEN):
            self.evaluate(step)
            broken = json.loads(self.evaluate(RUN_AXE.format(options=options)))
            found.append({each["id"]: [node["html"][:200] for node in each["nodes"][:3]] for each in broken})
        return found

    def unexpected_events(self) -> list[Any]:
        """Return the page's console messages and errors, dialogs, and requests other than the page itself."""
        console, events = self._events()
        dialogs = [event for event in events if event["method"] == "Page.javascriptDialogOpening"]
        requests = [event for event in events if event["method"] == "Network.requestWillBeSent"]
        addresses = [event["params"]["request"]["url"] for event in requests]
        return console + dialogs + [url for url in addresses[1:] if not url.startswith("data:")]

    def _events(self) -> tuple[list[Any], list[dict[str, Any]]]:
        """Return and remove the console entries and DevTools events recorded so far."""
        console, performance = map(self._driver.get_log, ("browser", "performance"))
        return console, [json.loads(entry["message"])["message"] for entry in performance]
