"""The matrix as a page of Markdown, and as plain data."""

from __future__ import annotations

import platform
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance import catalogue, registry
from kl_conformance.registry import installed_version
from kl_reports.result import Verdict
from studies.mutants import catalogue as mutants
from studies.mutants.kernel import Kind, Right, Wrong
from studies.mutants.runner import ENOUGH, Plan, Ruling

SHOWN = 2  # so many requirements of a chapter are named; of more, their number is


@dataclass(frozen=True, slots=True)
class Matrix:
    """Every ruling of one study.

    Parameters
    ----------
    command
        What made it.
    plan
        What every kernel was asked.
    rulings
        What became of each.
    seconds
        Time all of it took.
    """

    command: str
    plan: Plan
    rulings: tuple[Ruling, ...]
    seconds: float

    @property
    def wrong(self) -> list[tuple[Wrong, Ruling]]:
        """The wrong kernels by kind, and what became of them."""
        found = [(each.kernel, each) for each in self.rulings if isinstance(each.kernel, Wrong)]
        return sorted(found, key=lambda each: list(Kind).index(each[0].kind))

    @property
    def right(self) -> list[tuple[Right, Ruling]]:
        """The right kernels, and what became of them."""
        return [(each.kernel, each) for each in self.rulings if isinstance(each.kernel, Right)]

    @property
    def survivors(self) -> list[str]:
        """The wrong kernels that nothing stopped."""
        return [kernel.name for kernel, ruling in self.wrong if not ruling.stops]

    @property
    def alarms(self) -> list[str]:
        """The right kernels that something stopped."""
        return [kernel.name for kernel, ruling in self.right if ruling.stops]

    @property
    def mistakes(self) -> list[str]:
        """The requirements that broke down, and over which kernel."""
        return [
            f"{one.question.requirement} over {ruling.kernel.name}"
            for ruling in self.rulings
            for one in ruling.mistakes
        ]


def page(matrix: Matrix) -> str:
    """Return the matrix as Markdown."""
    sections = (_head, _kinds, _faults, _alone, _requirements, _right)
    return "\n\n".join(text for section in sections if (text := section(matrix))) + "\n"


def record(matrix: Matrix) -> dict[str, Any]:
    """Return the matrix as plain data, each stop with its verdict, dtype and sentence."""
    return {
        "command": matrix.command,
        "profile": matrix.plan.profile.value,
        "seeds": matrix.plan.seeds,
        "dtypes": matrix.plan.dtypes,
        "seconds": round(matrix.seconds),
        "survivors": matrix.survivors,
        "alarms": matrix.alarms,
        "kernels": [_described(each) for each in matrix.rulings],
    }


def _described(ruling: Ruling) -> dict[str, Any]:
    kernel = ruling.kernel
    return {
        "name": kernel.name,
        "like": kernel.like,
        "kind": kernel.kind.value if isinstance(kernel, Wrong) else None,
        "sentence": kernel.sentence,
        "profile": ruling.profile.value,
        "asked": len(ruling.answers),
        "seconds": round(ruling.seconds, 1),
        "stops": {
            name: {
                "dtype": stop.question.dtype,
                "verdict": stop.result.verdict.name,
                "detail": stop.result.detail,
            }
            for name, stop in ruling.stops.items()
        },
        "mistakes": [one.mistake for one in ruling.mistakes],
        "numbers": ruling.numbers,
    }


def _head(matrix: Matrix) -> str:
    wrong, right, plan = matrix.wrong, matrix.right, matrix.plan
    twice = sum(len(ruling.stops) > 1 for _, ruling in wrong)
    sizes = [ruling.numbers for _, ruling in wrong if ruling.numbers is not None]
    versions = ", ".join(f"{name} {installed_version(name)}" for name in ("numpy", "torch", "jax"))
    stopped = len(wrong) - len(matrix.survivors)
    at_once = sum(bool(ruling.stops) and ruling.profile is TestProfile.QUICK for _, ruling in wrong)
    lines = [
        "# The kill matrix: what stops a wrong kernel",
        "",
        f"Made by `{matrix.command}`; do not edit. {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}; {matrix.seconds / 60:.0f} minutes, {plan.jobs} kernels at a time.",
        "",
        f"{len(wrong)} wrong kernels, each proven wrong by a witness of its own, and {len(right)} right ones, "
        f"asked {len(catalogue.REQUIREMENTS)} requirements in {', '.join(plan.dtypes)}, "
        f"profile {plan.profile.value}; right ones in profile {(plan.right or plan.profile).value} at "
        f"{len(plan.seeds)} seeds. Dtypes are asked in this order, and "
        f"no further ones when {ENOUGH} requirements have stopped a wrong kernel.",
        "",
        f"- Stopped: **{stopped} of {len(wrong)}**{_share(stopped, len(wrong))}, "
        f"{twice} of them by two requirements or more. Survivors: {_listed(matrix.survivors)}.",
        f"- Stopped by profile quick: {at_once} of {len(wrong)}{_share(at_once, len(wrong))}; only the others are "
        f"asked again, in profile {plan.profile.value}.",
        f"- False alarms: {_listed(matrix.alarms)}.",
    ]
    tried = {ruling.kernel.name for ruling in matrix.rulings}
    untried = [name for name in (*mutants.wrong(), *mutants.right()) if name not in tried]
    if untried:
        lines.append(f"- Not tried: {_listed(untried)}.")
    if matrix.mistakes:
        lines.append(f"- Mistakes of the suite itself: {_listed(matrix.mistakes)}.")
    if sizes:
        lines.append(
            f"- The median witness has **{median(sizes):g}** numbers a side; the largest {max(sizes)}."
        )
    return "\n".join(lines)


def _kinds(matrix: Matrix) -> str:
    rows = []
    for kind in Kind:
        own = [ruling for kernel, ruling in matrix.wrong if kernel.kind is kind]
        sizes = [each.numbers for each in own if each.numbers is not None]
        if own:
            stops = [len(each.stops) for each in own]
            rows.append(
                (
                    kind.value,
                    f"{len(own)}",
                    f"{sum(map(bool, stops))}",
                    f"{sum(each > 1 for each in stops)}",
                    f"{median(stops):g}",
                    f"{median(sizes):g}" if sizes else "—",
                )
            )
    header = (
        "kind",
        "wrong kernels",
        "stopped",
        "by two or more",
        "median number of stops",
        "median witness",
    )
    return f"## By kind\n\n{_table(header, rows)}" if rows else ""


def _faults(matrix: Matrix) -> str:
    header = ("kind", "kernel", "fault", "like", "stopped by", "numbers a side")
    rows = [
        (
            kernel.kind.value,
            f"`{kernel.name}`",
            kernel.sentence,
            _short(kernel.like),
            _chapters(ruling.stops) or "**nothing**",
            "—" if ruling.numbers is None else f"{ruling.numbers}",
        )
        for kernel, ruling in matrix.wrong
    ]
    if not rows:
        return ""
    return (
        "## Every wrong kernel\n\n"
        f"Where more than {SHOWN} requirements of a chapter stop a kernel, their number stands for their names. "
        "The last column is of the witness of the requirement named first, made small.\n\n"
        f"{_table(header, rows)}"
    )


def _alone(matrix: Matrix) -> str:
    rows = [(f"`{kernel.name}`", *ruling.stops) for kernel, ruling in matrix.wrong if len(ruling.stops) == 1]
    return f"## Stopped by one requirement alone\n\n{_table(('kernel', 'by'), rows)}" if rows else ""


def _requirements(matrix: Matrix) -> str:
    stopped: dict[str, list[str]] = defaultdict(list)
    for kernel, ruling in matrix.wrong:
        for name in ruling.stops:
            stopped[name].append(kernel.name)
    rows = [(f"`{name}`", f"{len(stopped[name])}") for name in catalogue.REQUIREMENTS]
    return f"## What each requirement stops\n\n{_table(('requirement', 'wrong kernels stopped'), rows)}"


def _right(matrix: Matrix) -> str:
    header = ("kernel", "style", "like", "cells held", "as permitted by `like`", "false alarms")
    rows = []
    for kernel, ruling in matrix.right:
        verdicts = [answer.result.verdict for answer in ruling.answers]
        rows.append(
            (
                f"`{kernel.name}`",
                kernel.sentence,
                _short(kernel.like),
                f"{verdicts.count(Verdict.PASS)}",
                f"{verdicts.count(Verdict.EXPECTED)}",
                _listed(ruling.stops),
            )
        )
    return f"## Right kernels\n\n{_table(header, rows)}" if rows else ""


def _chapters(stops: Iterable[str]) -> str:
    """Return requirements chapter by chapter, named where they are few."""
    slugs: dict[str, list[str]] = defaultdict(list)
    for name in stops:
        chapter, _, slug = name.partition("/")
        slugs[chapter].append(slug)
    parts = []
    for chapter, own in slugs.items():
        whole = len(catalogue.CHAPTERS[chapter])
        names = ", ".join(own) if len(own) <= SHOWN else f"{len(own)} of {whole}"
        parts.append(f"{chapter}: {names}")
    return "; ".join(parts)


def _short(like: str) -> str:
    """Return an implementation's name without the modules that say nothing."""
    framework = registry.implementation(like).framework
    name = like.rpartition(".")[2]
    return name if framework == "torch" else f"{framework}'s {name}"


def _share(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.1f} %)" if whole else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
