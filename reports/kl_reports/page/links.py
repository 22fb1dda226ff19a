"""TODO sign."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlsplit

from kl_reports.analysis.wording import anchor


def fragment(name: str) -> str:
    """Return the link to a cell or requirement on this page."""
    return "#" + quote(anchor(name), safe="/@.:,+~!$&'()*;=-_")


def web(address: Any) -> str:
    """Return an address if it is one of the web, else nothing: a run file must not bring in other schemes."""
    if not isinstance(address, str):
        return ""
    try:
        parts = urlsplit(address)
    except ValueError:
        return ""
    return address if parts.scheme in {"http", "https"} and parts.netloc else ""
