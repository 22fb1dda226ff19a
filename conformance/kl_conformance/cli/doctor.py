"""`doctor`: what can be asked on this machine, and the arithmetic it does."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import click

from kl_conformance import processes
from kl_conformance._version import __version__
from kl_conformance.cli.output import CANNOT, FINDINGS, table
from kl_conformance.harness.arithmetic import TERMS, Arithmetic, measure
from kl_conformance.harness.modes import EAGER
from kl_conformance.harness.opening import Absent, load_framework, open_subject
from kl_conformance.implementations import loading, registry
from kl_conformance.runs.selection import Selection, columns_of
from kl_reference.bounds.ieee754 import require_ieee
from kl_reports.runfile.records import Column

SECONDS = 120
TITLES = ("implementation", "column", "terms in", "sums in", "deep", "subnormals", "class", "used", "")
LEGEND = f"""\
Arithmetic, measured through the answers; in brackets what is only declared, where answers cannot tell.
  deep: additions one of {TERMS:,} terms goes through. class: accuracy where P and Q are close, A (few roundings
  of the term), B (of p·|log p| + p·|log q|) or C. used: largest error of a term ÷ what is allowed."""

Rows = list[tuple[str, ...]]


def examine(names: Sequence[str] = ()) -> tuple[str, bool]:
    """Return the findings as text, and whether all is well.

    Parameters
    ----------
    names
        Implementations whose arithmetic is measured; all that are known when empty.

    Returns
    -------
    tuple of str and bool
        The second is False where the reference cannot be trusted here, or an arithmetic is worse than declared.

    Raises
    ------
    UnknownNameError
        Nobody bears one of the names.
    """
    Selection(implementations=tuple(names)).check()
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    lines = [f"kl-conformance {__version__}, {system}"]
    try:
        require_ieee()
        well = True
        lines.append("floating point: rounds to nearest, keeps subnormals; the reference can be trusted")
    except FloatingPointError as error:
        well = False
        lines.append(f"floating point: {error}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_asked, list(_shares(names))))
    rows = [row for devices, _ in found for row in devices]
    measured = [row for _, arithmetic in found for row in arithmetic]
    lines += ["", table(rows)]
    if measured:
        lines += ["", LEGEND, "", table([TITLES, *measured])]
        well = well and not any(row[-1] for row in measured)
    return "\n".join([*lines, "", "Next: kl-conformance run"]), well


def _shares(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield what each child process looks at: a framework and its implementations, or what a user brings."""
    known = [loading.implementation(name) for name in names if not loading.is_user_kernel(name)]
    for framework in registry.frameworks_with_builtins():
        own = [each.name for each in known if each.framework == framework]
        if own or not names:
            yield framework, *own
    yield from (("", name) for name in names if loading.is_user_kernel(name))


def look(framework: str, names: Sequence[str]) -> tuple[Rows, Rows]:
    """Return a framework's devices and the arithmetic of implementations (of all its own when none is named)."""
    every = [each for each in registry.IMPLEMENTATIONS.values() if each.framework == framework]
    try:
        asked = [loading.implementation(name) for name in names] or every
    except ValueError as error:  # what a user brings cannot be asked
        return [(names[0], "-", str(error))], []
    framework = framework or asked[0].framework
    modules = load_framework(framework)
    if isinstance(modules, Absent):
        return [(framework, "-", modules.reason)], []
    packages = dict.fromkeys(each.package for each in asked)
    versions = ", ".join(f"{each} {registry.installed_version(each)}" for each in packages)
    reason = partial(registry.framework(framework).unavailable, modules)
    devices = registry.framework(framework).devices
    rows: Rows = [(framework, each, reason(each) or f"can be asked ({versions})") for each in devices]
    lacking, measured = dict[str, str](), Rows()
    for implementation in asked:
        for column in (each for each in columns_of(implementation) if each.mode == EAGER):
            subject = open_subject(implementation, column, modules)
            if not isinstance(subject, Absent):
                measured.append(_row(column, measure(subject)))
            elif column.device == "cpu":
                lacking[implementation.name] = subject.reason
    return [*rows, *((name, "cpu", why) for name, why in lacking.items())], measured


def _row(column: Column, seen: Arithmetic) -> tuple[str, ...]:
    declared = seen.declared
    flushes = declared.flush_to_zero if seen.flush_to_zero is None else seen.flush_to_zero
    kept = "flushed" if flushes else "kept"
    return (
        column.implementation,
        f"{column.device} {column.dtype} {column.mode}",
        seen.compute.label if seen.compute else f"[{declared.compute.label}]",
        seen.accumulate.label if seen.accumulate else f"[{declared.accumulate.label}]",
        str(seen.depth) if seen.depth else f"[{declared.summation.value}]",
        kept if seen.flush_to_zero is not None else f"[{kept}]",
        seen.grade.name if seen.grade else "-",
        "-" if seen.headroom is None else f"{seen.headroom:.2f}",
        "worse than declared: " + "; ".join(seen.worse) if seen.worse else "",
    )


def _asked(share: tuple[str, ...]) -> tuple[Rows, Rows]:
    """Look at a framework in a child process: frameworks never share one."""
    try:
        found = processes.request("kl_conformance.cli.doctor", share, seconds=SECONDS)
    except processes.NoAnswerError as error:
        return [(share[0] or share[1], "-", f"cannot be asked: {error}")], []
    devices, arithmetic = ([tuple(row) for row in rows] for rows in found)
    return devices, arithmetic


def _answer(share: list[str]) -> Any:
    return look(share[0], share[1:])


if __name__ == "__main__":
    processes.respond(_answer)


@click.command()
@click.argument("implementation", nargs=-1)
def doctor(implementation: tuple[str, ...]) -> None:
    """Say what can be asked here, and measure the arithmetic of IMPLEMENTATION (default: all known ones)."""
    from kl_conformance.errors import UnknownNameError

    try:
        text, well = examine(implementation)
    except UnknownNameError as error:
        click.echo(str(error), err=True)
        sys.exit(CANNOT)
    click.echo(text)
    sys.exit(0 if well else FINDINGS)
