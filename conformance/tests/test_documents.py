"""The documents: links, paths and module names they mention exist."""

import re
from collections.abc import Iterator
from pathlib import Path
from pkgutil import resolve_name

import pytest

from kl_reports.analysis.wording import LOOKS

ROOT = next(folder for folder in Path(__file__).parents if (folder / "tox.ini").is_file())
HOUSES = ("conformance", "reference", "cases", "reports")
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *(path for folder in ("docs", *HOUSES) for path in (ROOT / folder).rglob("*.md"))]
)
GENERATED = ("FINDINGS.md", "discovery.md", "history.md", "mutants.md", "peers.md", "separation.md")
WRITTEN = [path for path in DOCUMENTS if path.name not in GENERATED]
CODE = re.compile(r"^( *)```.*?^\1```", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(rf"`((?:docs|{'|'.join(HOUSES)})/[\w./-]+)`")
MODULE = re.compile(r"`(kl_(?:conformance|reference|cases|reports)(?:\.\w+)+)`")


def name_of(path: Path) -> str:
    """Return the name of a document, relative to the checkout."""
    return path.relative_to(ROOT).as_posix()


def slugs(text: str) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ +(.+)$", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def broken_links(path: Path, text: str) -> Iterator[str]:
    """Yield the relative links of a document that lead nowhere."""
    for link in LINK.findall(CODE.sub("", text)):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        found = path.parent / target if target else path
        if not found.exists() or (
            anchor and found.suffix == ".md" and anchor not in slugs(found.read_text(encoding="utf-8"))
        ):
            yield link


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_every_link_leads_somewhere(path: Path) -> None:
    """Every relative link of a document names a file of the checkout, and a heading in it."""
    assert not list(broken_links(path, path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", WRITTEN, ids=name_of)
def test_every_path_and_module_exists(path: Path) -> None:
    """Every path of the checkout and every module or name of a package that a document mentions exists."""
    text = path.read_text(encoding="utf-8")
    assert [each for each in PATH.findall(text) if not (ROOT / each).exists()] == []
    unknown = list[str]()
    for dotted in MODULE.findall(text):
        try:
            resolve_name(dotted)
        except (AttributeError, ImportError):
            unknown.append(dotted)
    assert unknown == []


def test_every_page_can_be_found() -> None:
    """Every page of docs/ can be reached from the README by links."""
    reached, left = set[Path](), [ROOT / "README.md"]
    while left:
        path = left.pop()
        if path in reached:
            continue
        reached.add(path)
        links = LINK.findall(CODE.sub("", path.read_text(encoding="utf-8")))
        found = ((path.parent / link.partition("#")[0]).resolve() for link in links)
        left.extend(each for each in found if each.suffix == ".md" and each.is_file())
    assert {*(ROOT / "docs").rglob("*.md")} <= reached


def test_the_page_has_the_definitions_of_the_glossary() -> None:
    """Every term that the HTML page defines has the same definition in docs/glossary.md."""
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    glossary = dict(re.findall(r"^\| \*\*([\w ]+)\*\* \| (.+) \|$", text, re.MULTILINE))
    (template,) = (ROOT / "reports" / "kl_reports").rglob("glossary.html.jinja")
    terms = re.findall(r"<dt>(\w+)[^<{]*</dt><dd>([^<{]+)</dd>", template.read_text(encoding="utf-8"))
    assert len(terms) >= 11
    for term, definition in terms:
        assert glossary[term.lower()].startswith(definition)


@pytest.mark.parametrize("page", ["index.md", "reference/verdicts.md"])
def test_every_verdict_is_documented(page: str) -> None:
    """The documents show every verdict with the glyph and word of the page."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    for verdict, look in LOOKS.items():
        row = next(line for line in text.splitlines() if f"| `{verdict.name}` |" in line)
        assert f"| {look.glyph} {look.word} |" in row


def test_a_broken_link_is_found(tmp_path: Path) -> None:
    """A file or heading that does not exist is reported; code, addresses and what exists are not."""
    other = tmp_path / "other.md"
    other.write_text("# One, two\n", encoding="utf-8")
    text = (
        "[a](other.md) [b](other.md#one-two) [c](https://example.org/x) [d](gone.md) [e](other.md#gone)\n"
        "```\n[f](code.md)\n```\n"
    )
    assert list(broken_links(tmp_path / "this.md", text)) == ["gone.md", "other.md#gone"]
