"""`list` and `explain`: what is known here, in words."""

from __future__ import annotations

import sys
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator

import click

from kl_cases.case import Case
from kl_cases.corpus import cases, cases_for
from kl_cases.distributions import FAMILIES
from kl_cases.flags import FLAGS
from kl_conformance.cli.output import CANNOT, table
from kl_conformance.errors import UnknownNameError
from kl_conformance.expectations.expectation import Expectation, recorded
from kl_conformance.implementations import registry
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.requirement import Level

KINDS = ("requirements", "implementations", "families", "corpus", "flags")
WIDTH = 100
BINDING = {
    Level.MUST: "must hold",
    Level.SHOULD: "should hold",
    Level.CONVENTION: "a matter of convention: recorded, and never counted",
}


def tell_list(what: str) -> int:
    """Print everything of a kind; 0, or 2 where there is no such kind."""
    return _tell(lambda: listed(what))


def tell_requirement(name: str) -> int:
    """Print a requirement as a page; 0, or 2 where there is none of that name."""
    return _tell(lambda: explained(name))


def listed(what: str) -> str:
    """Return everything of a kind, a line each.

    Raises
    ------
    UnknownNameError
        There is no such kind.
    """
    rows: list[tuple[str, ...]]
    match what:
        case "requirements":
            rows = [(each.id, each.level.value, each.sentence) for each in catalogue.REQUIREMENTS.values()]
        case "implementations":
            rows = [
                (each.name, _version(each.package), " ".join(dtype.label for dtype in each.dtypes))
                for each in registry.IMPLEMENTATIONS.values()
            ]
        case "families":
            rows = [(each.name, each.sentence) for each in FAMILIES.values()]
        case "corpus":
            rows = [(f"{each.chapter}/{each.id}", ", ".join(each.flags), _told(each)) for each in cases()]
        case "flags":
            counts = Counter(flag for each in cases() for flag in each.flags)
            rows = [(flag, f"{counts[flag]:2} cases", sentence) for flag, sentence in FLAGS.items()]
        case _:
            raise UnknownNameError("kind of thing to list", what, KINDS)
    return table(rows)


def explained(name: str) -> str:
    """Return a requirement as a page of text, no line wider than ``WIDTH`` but for addresses.

    Raises
    ------
    UnknownNameError
        No requirement has that id.
    """
    return "\n".join(_page(name))


def _told(case: Case) -> str:
    """Return a case's sentence, and the address where it was met."""
    return case.sentence if case.link == "derived" else f"{case.sentence} {case.link}"


def _page(name: str) -> Iterator[str]:
    requirement = catalogue.requirement(name)
    yield f"{requirement.id}: {BINDING[requirement.level]} ({requirement.level.value})"
    yield ""
    yield from _wrapped(requirement.sentence, "  ")
    yield ""
    yield from _wrapped(requirement.formula, "  Formula   ", "            ")
    yield from _wrapped(requirement.reason, "  Why       ", "            ")
    source = "follows from the definition" if requirement.link == "derived" else requirement.link
    yield from _wrapped(source, "  Source    ", "            ")
    deviations = list(_deviations(requirement.id))
    yield ""
    yield "Known to break it" if deviations else "Nobody asked here is known to break it."
    for entry in deviations:
        yield from _wrapped(f"{', '.join(entry.implementations)} ({entry.versions})", "  ")
        yield from _wrapped(f"where {entry.region.text}, the answer: {entry.instead.text}", "    ")
        yield from _wrapped(entry.reason, "    ")
        yield from _wrapped(f"{entry.id}, upstream: {entry.link}", "    ")
    found = cases_for(requirement.id)
    if found:
        yield ""
        yield "Cases someone met"
    for case in found:
        yield from _wrapped(f"{case.chapter}/{case.id}: {case.sentence}", "  ", "    ")
        if case.link != "derived":
            yield f"    {case.link}"
    yield ""
    yield "Asked on"
    for family in requirement.families:
        yield from _wrapped(f"{family}: {FAMILIES[family].sentence}", "  ", "    ")
    yield ""
    yield f"Ask it: kl-conformance run -k {requirement.id}"


def _deviations(requirement: str) -> Iterator[Expectation]:
    """Yield the recorded deviations from a requirement, whoever's they are."""
    for framework in registry.FRAMEWORKS:
        yield from (entry for entry in recorded(framework) if requirement in entry.requirements)


def _wrapped(text: str, first: str, rest: str | None = None) -> Iterator[str]:
    """Yield a text as indented lines; an address is never broken."""
    yield from textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=first if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _version(package: str) -> str:
    version = registry.installed_version(package)
    return "not installed" if version == "absent" else version


def _tell(words: Callable[[], str]) -> int:
    try:
        print(words())
    except UnknownNameError as error:
        print(f"kl-conformance: {error}", file=sys.stderr)
        return CANNOT
    return 0


@click.command("list")
@click.argument("what", default="requirements", metavar="requirements|implementations|families|corpus|flags")
def list_(what: str) -> None:
    """List what is known by name."""
    sys.exit(tell_list(what))


@click.command()
@click.argument("requirement")
def explain(requirement: str) -> None:
    """Explain a requirement: what must hold, why, who promises it, who is known to break it."""
    sys.exit(tell_requirement(requirement))
