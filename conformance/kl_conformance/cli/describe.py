"""`list` and `explain`: describe requirements, implementations and cases."""

import textwrap
from collections import Counter
from collections.abc import Iterator

import click

from kl_cases.case import Case
from kl_cases.corpus import cases, cases_for
from kl_cases.distributions import FAMILIES
from kl_cases.flags import FLAGS
from kl_conformance.cli.output import FINE, cannot, table
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
    Level.CONVENTION: "a convention: reported, never counted as a failure",
}


@click.command("list")
@click.argument("kind", default="requirements", metavar="|".join(KINDS))
def list_(kind: str) -> int:
    """List requirements, implementations, families, cases or flags, one a line."""
    try:
        print(listed(kind))
    except UnknownNameError as error:
        return cannot("list", error)
    return FINE


@click.command()
@click.argument("requirement")
def explain(requirement: str) -> int:
    """Explain a requirement: formula, reason, source, known deviations and cases."""
    try:
        print(explained(requirement))
    except UnknownNameError as error:
        return cannot("explain", error)
    return FINE


def listed(kind: str) -> str:
    """Return all names of a kind with a description, one a line.

    Raises
    ------
    UnknownNameError
        The kind is unknown.
    """
    rows: list[tuple[str, ...]]
    match kind:
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
            rows = [(f"{each.chapter}/{each.id}", ", ".join(each.flags), _sentence(each)) for each in cases()]
        case "flags":
            counts = Counter(flag for each in cases() for flag in each.flags)
            rows = [(flag, f"{counts[flag]:2} cases", sentence) for flag, sentence in FLAGS.items()]
        case _:
            raise UnknownNameError("kind", kind, KINDS)
    return table(rows)


def explained(name: str) -> str:
    """Return a requirement as a page of text; lines longer than ``WIDTH`` contain an address.

    Raises
    ------
    UnknownNameError
        The requirement is unknown.
    """
    return "\n".join(_page(name))


def _sentence(case: Case) -> str:
    """Return a case's sentence and the address of its source."""
    return case.sentence if case.link == "derived" else f"{case.sentence} {case.link}"


def _page(name: str) -> Iterator[str]:
    requirement = catalogue.requirement(name)
    yield f"{requirement.id}: {BINDING[requirement.level]} ({requirement.level.value})"
    yield ""
    yield from _wrapped(requirement.sentence, "  ")
    yield ""
    yield from _wrapped(requirement.formula, "  Formula   ", "            ")
    yield from _wrapped(requirement.reason, "  Reason    ", "            ")
    source = "follows from the definition" if requirement.link == "derived" else requirement.link
    yield from _wrapped(source, "  Source    ", "            ")
    deviations = list(_deviations(requirement.id))
    yield ""
    yield "Known deviations" if deviations else "No known deviations."
    for entry in deviations:
        yield from _wrapped(f"{', '.join(entry.implementations)} ({entry.versions})", "  ")
        yield from _wrapped(f"where {entry.region.text}, the result: {entry.instead.text}", "    ")
        yield from _wrapped(entry.reason, "    ")
        yield from _wrapped(f"{entry.id}, upstream: {entry.link}", "    ")
    found = cases_for(requirement.id)
    if found:
        yield ""
        yield "Reported cases"
    for case in found:
        yield from _wrapped(f"{case.chapter}/{case.id}: {case.sentence}", "  ", "    ")
        if case.link != "derived":
            yield f"    {case.link}"
    yield ""
    yield "Evaluated on"
    for family in requirement.families:
        yield from _wrapped(f"{family}: {FAMILIES[family].sentence}", "  ", "    ")
    yield ""
    yield f"Next: kl-conformance run -k {requirement.id}"


def _deviations(requirement: str) -> Iterator[Expectation]:
    for framework in registry.FRAMEWORKS:
        yield from (entry for entry in recorded(framework) if requirement in entry.requirements)


def _wrapped(text: str, first: str, rest: str | None = None) -> Iterator[str]:
    """Yield a text as indented lines; an address stays on one line."""
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
