"""A page set from a template: whatever is foreign is text, and nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kl_reports.analysis.scores import LEVELS
from kl_reports.analysis.wording import LOOKS, anchor, count, counted, moment, shorten, visible, web_address
from kl_reports.page.formula import formula
from kl_reports.page.links import fragment
from kl_reports.runfile.records import Verdict


def templates() -> Environment:
    """Return the templates of all pages, with what they may use."""
    environment = Environment(
        loader=PackageLoader("kl_reports.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    names: dict[str, Any] = {"levels": LEVELS, "looks": LOOKS, "verdicts": tuple(Verdict)}
    names.update(anchor=anchor, counted=counted, fragment=fragment)
    filters: dict[str, Any] = {"count": count, "formula": formula, "moment": moment, "shorten": shorten}
    filters.update(breakable=_breakable, parts=_parts, web=web_address)
    environment.globals.update(names)
    environment.filters.update(filters)
    return environment


def whole(environment: Environment, name: str, **values: Any) -> str:
    """Return a page that stands alone, and whose policy allows its own style and script by their hashes."""
    style, script = (Markup(_asset(each)) for each in ("page.css", "page.js"))
    own = {"style": style, "script": script, "style_hash": _hash(style), "script_hash": _hash(script)}
    return environment.get_template(name).render(**own, **values)


def _finalize(value: Any) -> Any:
    """Make foreign text visible; markup is our own and holds none that was not."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _breakable(text: str) -> Markup:
    """Return a dotted name as HTML that may break after its dots and underscores."""
    return Markup(re.sub(r"([._])(?=.)", r"\1<wbr>", str(escape(visible(text)))))


def _parts(requirement: str) -> Markup:
    """Return a requirement's id as HTML that may break after its slash and hyphens."""
    return Markup(re.sub(r"([/-])(?=.)", r"\1<wbr>", str(escape(visible(requirement)))))


def _asset(name: str) -> str:
    return resources.files("kl_reports.page").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the source expression that allows exactly this text in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
