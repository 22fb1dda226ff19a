"""Text of the page is readable on its background."""

import re
from importlib import resources

import pytest


def luminance(colour: str) -> float:
    """Return the relative luminance of ``#rgb`` or ``#rrggbb`` by WCAG 2.1."""
    digits = colour.lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("ink", "background"),
    [
        *((ink, background) for ink in ("ink", "soft", "link", "bad") for background in ("paper", "page")),
        *((ink, "paper") for ink in ("pass", "neutral-ink")),
        *((ink, "neutral") for ink in ("ink", "soft")),
        *((f"{name}-ink", name) for name in ("bad", "known", "crashed")),
        *(("paper", name) for name in ("fixed", "unstable")),
        *((ink, "mark") for ink in ("ink", "soft", "link")),
    ],
)
def test_text_has_enough_contrast(scheme: str, ink: str, background: str) -> None:
    """Text has the contrast of WCAG 2.1 AA, 4.5 to 1, in both colour schemes."""
    style = resources.files("kl_reports.page").joinpath("templates", "page.css").read_text(encoding="utf-8")
    parts = style.split("* { box-sizing")[0].split("@media")
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w+)", part)) for part in parts)
    colours = light if scheme == "light" else {**light, **dark}
    bright, dim = sorted((luminance(colours[ink]), luminance(colours[background])), reverse=True)
    assert (bright + 0.05) / (dim + 0.05) >= 4.5
