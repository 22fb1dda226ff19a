"""Jinja environment of the pages: escaping, filters and the content security policy."""

import base64
import hashlib
import re
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kl_reports.analysis.scores import LEVELS, LISTED
from kl_reports.analysis.wording import LOOKS, anchor, count, counted, moment, shorten, visible, web_address
from kl_reports.page.formula import formula
from kl_reports.page.links import fragment
from kl_reports.runfile.cell_id import slug_of
from kl_reports.runfile.records import Verdict


def jinja_environment() -> Environment:
    """Return the environment of all templates: it escapes every text, and an undefined name is an error."""
    environment = Environment(
        loader=PackageLoader("kl_reports.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    names: dict[str, Any] = {"levels": LEVELS, "looks": LOOKS, "verdicts": tuple(Verdict)}
    names.update(listed_verdicts=LISTED)
    names.update(anchor=anchor, counted=counted, fragment=fragment, slug_of=slug_of)
    filters: dict[str, Any] = {"count": count, "formula": formula, "moment": moment, "shorten": shorten}
    filters.update(breakable=_breakable, web=web_address)
    environment.globals.update(names)
    environment.filters.update(filters)
    return environment


def render_page(environment: Environment, name: str, **values: Any) -> str:
    """Return a self-contained page, whose policy allows its own style and script by their hashes and nothing else."""
    style, script = (Markup(_asset(each)) for each in ("page.css", "page.js"))
    assets = {"style": style, "script": script, "style_hash": _hash(style), "script_hash": _hash(script)}
    return environment.get_template(name).render(**assets, **values)


def _finalize(value: Any) -> Any:
    """Make control characters in text visible; markup comes from the templates, where this was done before."""
    return value if isinstance(value, Markup) or not isinstance(value, str) else visible(value)


def _breakable(name: str, after: str = "._") -> Markup:
    """Return a name as HTML in which a line may end after these characters."""
    return Markup(re.sub(rf"([{re.escape(after)}])(?=.)", r"\1<wbr>", str(escape(visible(name)))))


def _asset(name: str) -> str:
    return resources.files("kl_reports.page").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """Return the source expression that allows exactly this text in a content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
