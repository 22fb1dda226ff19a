"""HTML as a tree of elements. The parser rejects what lxml repairs silently: unclosed elements, repeated attributes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from urllib.parse import unquote

from kl_reports.page.page import page
from kl_reports.runfile.records import Run

VOID = {"meta", "link", "br", "wbr", "input", "rect", "path"}


@dataclass
class Node:
    """An element of an HTML document."""

    tag: str
    attributes: dict[str, str]
    children: list[Node | str] = field(default_factory=list)

    def all(self, tag: str = "", **wanted: str) -> Iterator[Node]:
        """Yield every descendant with this tag and these attribute words (``_class`` for ``class``)."""
        for child in self.children:
            if isinstance(child, Node):
                if tag in ("", child.tag) and all(
                    value in child.attributes.get(key.strip("_"), "").split() for key, value in wanted.items()
                ):
                    yield child
                yield from child.all(tag, **wanted)

    def one(self, tag: str = "", **wanted: str) -> Node:
        """Return the only such descendant."""
        found = list(self.all(tag, **wanted))
        assert len(found) == 1, f"{len(found)} elements {tag} {wanted}"
        return found[0]

    @property
    def text(self) -> str:
        """The text of this element and its descendants."""
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def line(self) -> str:
        """The text on one line, with single spaces."""
        return " ".join(self.text.split())


class Tree(HTMLParser):
    """Builds the tree of a document; asserts that every element is closed in order and no attribute is repeated."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert [node.tag for node in self._open] == [""]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open an element."""
        assert len(dict(attrs)) == len(attrs)
        node = Node(tag, {key: value or "" for key, value in attrs})
        self._open[-1].children.append(node)
        if tag not in VOID:
            self._open.append(node)

    def handle_endtag(self, tag: str) -> None:
        """Close an element."""
        if tag not in VOID:
            assert self._open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        """Append text."""
        self._open[-1].children.append(data)


def ids(root: Node) -> set[str]:
    """Return the ids of a page; asserts that no id is used twice and every inner link leads to one."""
    names = [node.attributes["id"] for node in root.all() if "id" in node.attributes]
    links = [node.attributes["href"] for node in root.all("a")]
    assert len(names) == len(set(names))
    assert {unquote(link[1:]) for link in links if link.startswith("#")} <= set(names)
    return set(names)


def tree(run: Run) -> Node:
    """Return the tree of a run's page."""
    return Tree(page(run)).root
