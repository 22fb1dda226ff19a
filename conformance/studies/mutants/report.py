"""Renders the kill matrix as Markdown and as plain data."""

import platform
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance.implementations import loading
from kl_conformance.implementations.registry import installed_version
from kl_conformance.requirements import catalogue
from kl_reports.runfile.records import Verdict
from studies.mutants.catalogue import correct_kernels
from studies.mutants.catalogue import mutants as all_mutants
from studies.mutants.kernel import CorrectKernel, FaultKind, Mutant
from studies.mutants.runner import ENOUGH, KernelResult, Plan

SHOWN = 2  # up to this number, the requirements of a chapter are named; above it, counted


@dataclass(frozen=True, slots=True)
class KillMatrix:
    """The results of all kernels of one study, the command and the plan that made them, and the elapsed time."""

    command: str
    plan: Plan
    results: tuple[KernelResult, ...]
    seconds: float

    @property
    def mutants(self) -> list[tuple[Mutant, KernelResult]]:
        """The mutants and their results, by kind."""
        found = [(each.kernel, each) for each in self.results if isinstance(each.kernel, Mutant)]
        return sorted(found, key=lambda each: list(FaultKind).index(each[0].kind))

    @property
    def correct(self) -> list[tuple[CorrectKernel, KernelResult]]:
        """The correct kernels and their results."""
        return [(each.kernel, each) for each in self.results if isinstance(each.kernel, CorrectKernel)]

    @property
    def survivors(self) -> list[str]:
        """The mutants that no requirement detected."""
        return [kernel.name for kernel, result in self.mutants if not result.detections]

    @property
    def false_alarms(self) -> list[str]:
        """The correct kernels that some requirement rejected."""
        return [kernel.name for kernel, result in self.correct if result.detections]

    @property
    def suite_errors(self) -> list[str]:
        """The requirements in which the suite raised an exception, and the kernels."""
        return [
            f"{one.task.requirement} on {result.kernel.name}" for result in self.results for one in result.suite_errors
        ]


def render(matrix: KillMatrix) -> str:
    """Return the matrix as Markdown."""
    sections = (_head, _kinds, _mutants, _single, _requirements, _correct)
    return "\n\n".join(text for section in sections if (text := section(matrix))) + "\n"


def to_json(matrix: KillMatrix) -> dict[str, Any]:
    """Return the matrix as plain data, each detection with its verdict, dtype and detail."""
    return {
        "command": matrix.command,
        "profile": matrix.plan.profile.value,
        "seeds": matrix.plan.seeds,
        "dtypes": matrix.plan.dtypes,
        "seconds": round(matrix.seconds),
        "survivors": matrix.survivors,
        "false_alarms": matrix.false_alarms,
        "kernels": [_kernel(each) for each in matrix.results],
    }


def _kernel(result: KernelResult) -> dict[str, Any]:
    kernel = result.kernel
    return {
        "name": kernel.name,
        "like": kernel.like,
        "kind": kernel.kind.value if isinstance(kernel, Mutant) else None,
        "sentence": kernel.sentence,
        "profile": result.profile.value,
        "cells": len(result.results),
        "seconds": round(result.seconds, 1),
        "detected_by": {
            name: {"dtype": each.task.dtype, "verdict": each.result.verdict.name, "detail": each.result.detail}
            for name, each in result.detections.items()
        },
        "suite_errors": [each.suite_error for each in result.suite_errors],
        "witness_size": result.witness_size,
    }


def _head(matrix: KillMatrix) -> str:
    mutants, correct, plan = matrix.mutants, matrix.correct, matrix.plan
    twice = sum(len(result.detections) > 1 for _, result in mutants)
    sizes = [result.witness_size for _, result in mutants if result.witness_size is not None]
    versions = ", ".join(f"{name} {installed_version(name)}" for name in ("numpy", "torch", "jax"))
    detected = len(mutants) - len(matrix.survivors)
    quick = sum(bool(result.detections) and result.profile is TestProfile.QUICK for _, result in mutants)
    lines = [
        "# The kill matrix: which requirement detects which mutant",
        "",
        f"Made by `{matrix.command}`; do not edit. {platform.machine()}, Python {platform.python_version()}, "
        f"{versions}; {matrix.seconds / 60:.0f} minutes, {plan.jobs} kernels at a time.",
        "",
        f"{len(mutants)} mutants (wrong kernels, each with a proof that it is wrong) and {len(correct)} correct "
        f"kernels, tested with {len(catalogue.REQUIREMENTS)} requirements in {', '.join(plan.dtypes)}, "
        f"profile {plan.profile.value}; correct kernels in profile {(plan.correct_profile or plan.profile).value} with "
        f"{len(plan.seeds)} seeds. Dtypes are tested in this order until {ENOUGH} requirements have detected a mutant.",
        "",
        f"- Detected: **{detected} of {len(mutants)}**{_share(detected, len(mutants))}, "
        f"{twice} of them by two requirements or more. Survivors: {_listed(matrix.survivors)}.",
        f"- Detected in profile quick: {quick} of {len(mutants)}{_share(quick, len(mutants))}; only the others are "
        f"tested again, in profile {plan.profile.value}.",
        f"- False alarms: {_listed(matrix.false_alarms)}.",
    ]
    tested = {result.kernel.name for result in matrix.results}
    left = [name for name in (*all_mutants(), *correct_kernels()) if name not in tested]
    if left:
        lines.append(f"- Not tested: {_listed(left)}.")
    if matrix.suite_errors:
        lines.append(f"- Errors of the suite itself: {_listed(matrix.suite_errors)}.")
    if sizes:
        lines.append(f"- The median witness has **{median(sizes):g}** numbers on each side; the largest {max(sizes)}.")
    return "\n".join(lines)


def _kinds(matrix: KillMatrix) -> str:
    rows = []
    for kind in FaultKind:
        own = [result for kernel, result in matrix.mutants if kernel.kind is kind]
        sizes = [each.witness_size for each in own if each.witness_size is not None]
        if own:
            counts = [len(each.detections) for each in own]
            rows.append(
                (
                    kind.value,
                    f"{len(own)}",
                    f"{sum(map(bool, counts))}",
                    f"{sum(each > 1 for each in counts)}",
                    f"{median(counts):g}",
                    f"{median(sizes):g}" if sizes else "—",
                )
            )
    header = ("kind", "mutants", "detected", "by two or more", "median number of detections", "median witness")
    return f"## By kind\n\n{_table(header, rows)}" if rows else ""


def _mutants(matrix: KillMatrix) -> str:
    header = ("kind", "mutant", "fault", "like", "detected by", "witness size")
    rows = [
        (
            kernel.kind.value,
            f"`{kernel.name}`",
            kernel.sentence,
            _short(kernel.like),
            _chapters(result.detections) or "**nothing**",
            "—" if result.witness_size is None else f"{result.witness_size}",
        )
        for kernel, result in matrix.mutants
    ]
    if not rows:
        return ""
    return (
        "## Every mutant\n\n"
        f"More than {SHOWN} requirements of a chapter are counted instead of named. The last column is the number of "
        "values on each side of the shrunk witness of the first detection.\n\n"
        f"{_table(header, rows)}"
    )


def _single(matrix: KillMatrix) -> str:
    rows = [
        (f"`{kernel.name}`", *result.detections) for kernel, result in matrix.mutants if len(result.detections) == 1
    ]
    return f"## Detected by one requirement only\n\n{_table(('mutant', 'by'), rows)}" if rows else ""


def _requirements(matrix: KillMatrix) -> str:
    detected: dict[str, list[str]] = defaultdict(list)
    for kernel, result in matrix.mutants:
        for name in result.detections:
            detected[name].append(kernel.name)
    rows = [(f"`{name}`", f"{len(detected[name])}") for name in catalogue.REQUIREMENTS]
    return f"## Mutants detected by each requirement\n\n{_table(('requirement', 'mutants detected'), rows)}"


def _correct(matrix: KillMatrix) -> str:
    header = ("kernel", "style", "like", "cells passed", "known deviations of `like`", "false alarms")
    rows = []
    for kernel, result in matrix.correct:
        verdicts = [each.result.verdict for each in result.results]
        rows.append(
            (
                f"`{kernel.name}`",
                kernel.sentence,
                _short(kernel.like),
                f"{verdicts.count(Verdict.PASS)}",
                f"{verdicts.count(Verdict.EXPECTED)}",
                _listed(result.detections),
            )
        )
    return f"## Correct kernels\n\n{_table(header, rows)}" if rows else ""


def _chapters(names: Iterable[str]) -> str:
    """Return requirements by chapter, named where they are few."""
    slugs: dict[str, list[str]] = defaultdict(list)
    for name in names:
        chapter, _, slug = name.partition("/")
        slugs[chapter].append(slug)
    parts = []
    for chapter, own in slugs.items():
        whole = len(catalogue.CHAPTERS[chapter])
        shown = ", ".join(own) if len(own) <= SHOWN else f"{len(own)} of {whole}"
        parts.append(f"{chapter}: {shown}")
    return "; ".join(parts)


def _short(like: str) -> str:
    """Return the short name of an implementation."""
    framework = loading.implementation(like).framework
    name = like.rpartition(".")[2]
    return name if framework == "torch" else f"{framework}'s {name}"


def _share(part: int, whole: int) -> str:
    return f" ({100 * part / whole:.1f} %)" if whole else ""


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
