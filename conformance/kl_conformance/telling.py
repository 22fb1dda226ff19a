"""`list` and `explain`: what is known here, in words."""

from __future__ import annotations

from collections.abc import Iterable

from rich.cells import cell_len

from kl_cases.corpus import cases, cases_for
from kl_cases.distributions import FAMILIES
from kl_conformance import catalogue, registry

KINDS = ("requirements", "implementations", "families", "corpus")


def listed(what: str) -> str:
    """Return everything of a kind, a line each.

    Raises
    ------
    UnknownName
        There is no such kind.
    """
    match what:
        case "requirements":
            rows = [(each.id, each.level.value, each.sentence) for each in catalogue.REQUIREMENTS.values()]
        case "implementations":
            rows = [
                (each.name, registry.installed_version(each.package), " ".join(d.label for d in each.dtypes))
                for each in registry.IMPLEMENTATIONS.values()
            ]
        case "families":
            rows = [(each.name, each.sentence) for each in FAMILIES.values()]
        case "corpus":
            rows = [(f"{each.chapter}/{each.id}", each.sentence) for each in cases()]
        case _:
            raise registry.UnknownName("kind of thing to list", what, list(KINDS))
    return table(rows)


def explained(name: str) -> str:
    """Return a requirement as a page of text.

    Raises
    ------
    UnknownName
        No requirement has that id.
    """
    requirement = catalogue.requirement(name)
    lines = [
        f"{requirement.id} ({requirement.level.value}, revision {requirement.revision})",
        "",
        f"  {requirement.sentence}",
        "",
        f"  Formula:   {requirement.formula}",
        f"  Why:       {requirement.reason}",
        f"  Source:    {requirement.link}",
        f"  Asked on:  {', '.join(requirement.families)}",
    ]
    found = cases_for(requirement.id)
    if found:
        lines += ["", "  Cases someone met:"]
        lines += [f"    {each.chapter}/{each.id}: {each.sentence} ({each.link})" for each in found]
    lines += ["", f"  Ask it: kl-conformance run -k {requirement.id.partition('/')[2]}"]
    return "\n".join(lines)


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Return rows as aligned columns, the last one as long as it likes."""
    rows = list(rows)
    widths = [max(cell_len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    return "\n".join(
        "  ".join(
            [*(cell + " " * (w - cell_len(cell)) for cell, w in zip(row, widths, strict=False)), row[-1]]
        )
        for row in rows
    )
