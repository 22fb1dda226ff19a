"""Links within the page."""

from urllib.parse import quote

from kl_reports.analysis.wording import anchor


def fragment(name: str) -> str:
    """Return the link to a cell or requirement on this page."""
    return "#" + quote(anchor(name), safe="/@.:,+~!$&'()*;=-_")
