"""Glyphs and words of verdicts, numbers as text, and foreign text made safe to show."""

import hashlib
import math
import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from kl_reports.runfile.records import Column, Result, Verdict


class Look(NamedTuple):
    """How one verdict is shown: a glyph, a word, and the name of its style."""

    glyph: str
    word: str
    style: str


LOOKS = {
    Verdict.PASS: Look("✓", "passed", "p"),
    Verdict.FAIL: Look("✗", "failed", "f"),
    Verdict.EXPECTED: Look("◆", "known deviation", "e"),
    Verdict.FIXED: Look("★", "fixed", "x"),
    Verdict.UNDECIDED: Look("?", "undecided", "u"),
    Verdict.NONDETERMINISTIC: Look("≈", "not deterministic", "n"),
    Verdict.UNSUPPORTED: Look("–", "not applicable", "s"),
    Verdict.CRASHED: Look("†", "crashed", "c"),
    Verdict.TIMED_OUT: Look("◷", "timed out", "t"),
    Verdict.MISSING: Look("∅", "not run", "m"),
}

# How a cell changed between two runs, by the name of its bucket.
BUCKETS = {
    "regressed": Look("✗", "regressed", "f"),
    "newly-observed": Look("!", "newly observed", "f"),
    "fixed": Look("★", "fixed", "x"),
    "unstable": Look("≈", "unstable", "n"),
    "missing": Look("∅", "missing", "m"),
    "worse": Look("↘", "worse, still passes", "u"),
    "better": Look("↗", "better", "p"),
    "changed-bits": Look("≠", "changed bits", "u"),
    "not-comparable": Look("–", "not comparable", "s"),
    "suite-changed": Look("⟳", "suite changed", "s"),
    "unchanged": Look("=", "unchanged", "p"),
}

# Control characters act on a terminal, bidirectional ones reorder the text around them. Line ends and tabs are kept.
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_DTYPES = {"float64": "f64", "float32": "f32", "float16": "f16", "bfloat16": "bf16"}


def visible(text: str) -> str:
    """Return the text with every control character replaced by its code."""
    return _CONTROLS.sub(lambda match: f"⟨{ord(match[0]):02X}⟩", text)


def shorten(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of a text, with the number of those left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text) - limit:,} more characters)"


def one_line(text: str, limit: int = 300) -> str:
    """Return foreign text as one short line that is safe on a terminal."""
    return shorten(visible(" ".join(text.split())), limit)


def anchor(cell: str) -> str:
    """Return the permalink target of a cell or requirement: its name, or a short form with a hash if it is too long."""
    name = re.sub(r"\s", "_", visible(cell))
    if len(name) <= 200:
        return name
    return f"{name[:100]}~{hashlib.sha256(cell.encode(errors='surrogatepass')).hexdigest()[:16]}"


def moment(text: str) -> str:
    """Return an ISO 8601 time as ``2026-01-02 03:04 UTC``, and any other text unchanged."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return text
    return f"{time:%Y-%m-%d %H:%M} {time:%Z}".strip()


def count(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 cell`` or ``1,200 cells``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def counted(number: int, verdict: Verdict) -> str:
    """Return a number with the word of a verdict, such as ``1,200 passed`` or ``4 known deviations``."""
    word = LOOKS[verdict].word
    return count(number, word) if verdict is Verdict.EXPECTED else f"{number:,} {word}"


def listed(names: Sequence[str], most: int = 4) -> str:
    """Return names as a list in a sentence, at most ``most`` of them; the others are counted."""
    shown = [*names[:most], *([f"{len(names) - most} more"] if len(names) > most else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}" if shown else "none"


def short_dtype(dtype: str) -> str:
    """Return the short name of a dtype, such as ``bf16``."""
    return _DTYPES.get(dtype, dtype)


def width_order(dtype: str) -> int:
    """Return a sort key for short names of dtypes, the widest first and unknown ones last."""
    known = [*_DTYPES.values()]
    return known.index(dtype) if dtype in known else len(known)


def column_text(column: Column) -> str:
    """Return a column as text, such as ``torch.kl_div 2.13.0 cpu float32 eager``."""
    parts = (column.implementation, column.version, column.device, column.dtype, column.mode)
    return " ".join(part for part in parts if part)


def ratio(headroom: float) -> str:
    """Return error ÷ allowed error in at most five characters: ``0.62`` within tolerance, ``3.1×`` beyond."""
    if math.isnan(headroom):
        return "NaN"
    if headroom <= 1:
        return "0" if headroom == 0 else "~0" if headroom < 0.005 else f"{headroom:.2f}"
    if math.isinf(headroom):
        return "∞"
    if headroom < 9.95:
        return f"{headroom:.1f}×" if headroom >= 1.05 else f"{headroom:.3g}×"
    if headroom < 9999.5:
        return f"{headroom:.0f}×"
    return f"1e{math.floor(math.log10(headroom))}×"


def used(headroom: float | None) -> str:
    """Return a headroom as the end of a sentence: ``62 % of what is allowed``."""
    if headroom is None:
        return ""
    if math.isnan(headroom):
        return "with an error that is not a number"
    if math.isinf(headroom):
        return "infinitely more than is allowed"
    if headroom <= 1:
        return f"{100 * headroom:.2g} % of what is allowed"
    return f"{headroom:.3g} times what is allowed"


def outcome(result: Result) -> str:
    """Return a verdict as the end of a sentence: ``passed, 62 % of what is allowed``."""
    return ", ".join(part for part in (LOOKS[result.verdict].word, used(result.headroom)) if part)


_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$&])")


def escaped(text: str, limit: int = 200) -> str:
    """Return foreign text as one line of Markdown without markup."""
    return _SPECIAL.sub(r"\\\1", one_line(text, limit))


def web_address(address: Any) -> str:
    """Return an http or https address, or an empty string: a run file must not introduce other schemes."""
    if not isinstance(address, str):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme in {"http", "https"} and parts.netloc else ""
