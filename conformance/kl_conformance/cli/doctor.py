"""`doctor`: checks which frameworks can be tested here and measures their arithmetic."""

import os
import platform
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import click

from kl_conformance import processes
from kl_conformance._version import __version__
from kl_conformance.cli.output import FINDINGS, FINE, cannot, table
from kl_conformance.errors import UnknownNameError
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
Arithmetic, measured from the results; in brackets: declared, as the results do not show it.
  deep: additions that one of {TERMS:,} terms passes through. class: accuracy where P and Q are close, A (few roundings
  of the term), B (of p·|log p| + p·|log q|) or C. used: largest error of a term ÷ its tolerance."""

Rows = list[tuple[str, ...]]


@click.command()
@click.argument("implementations", nargs=-1, metavar="[IMPLEMENTATION]...")
def doctor(implementations: tuple[str, ...]) -> int:
    """Check which frameworks can be tested here, and measure the arithmetic of implementations (default: all).

    Exit codes: 0 no finding, 1 the reference cannot be trusted here or an arithmetic is worse than declared, 2 an
    implementation is unknown.
    """
    try:
        text, sound = _examination(implementations)
    except UnknownNameError as error:
        return cannot("doctor", error)
    print(text)
    return FINE if sound else FINDINGS


def _examination(names: Sequence[str]) -> tuple[str, bool]:
    """Return the findings as text, and whether the reference and every measured arithmetic are as declared.

    Raises
    ------
    UnknownNameError
        An implementation is unknown.
    """
    Selection(implementations=tuple(names)).check()
    system = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    lines = [f"kl-conformance {__version__}, {system}"]
    try:
        require_ieee()
        sound = True
        lines.append("floating point: rounds to nearest, keeps subnormals; the reference can be trusted")
    except FloatingPointError as error:
        sound = False
        lines.append(f"floating point: {error}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(_in_child_process, list(_groups(names))))
    rows = [row for devices, _ in found for row in devices]
    measured = [row for _, arithmetic in found for row in arithmetic]
    lines += ["", table(rows)]
    if measured:
        lines += ["", LEGEND, "", table([TITLES, *measured])]
        sound = sound and not any(row[-1] for row in measured)
    return "\n".join([*lines, "", "Next: kl-conformance run"]), sound


def _groups(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield the framework and the implementations that each child process examines; a user kernel has its own."""
    builtin = [loading.implementation(name) for name in names if not loading.is_user_kernel(name)]
    for framework in registry.frameworks_with_builtins():
        selected = [each.name for each in builtin if each.framework == framework]
        if selected or not names:
            yield framework, *selected
    yield from (("", name) for name in names if loading.is_user_kernel(name))


def examine(framework: str, names: Sequence[str]) -> tuple[Rows, Rows]:
    """Return a framework's devices and the arithmetic of implementations (by default all of the framework)."""
    every = [each for each in registry.IMPLEMENTATIONS.values() if each.framework == framework]
    try:
        selected = [loading.implementation(name) for name in names] or every
    except ValueError as error:  # a user kernel that cannot be loaded
        return [(names[0], "-", str(error))], []
    framework = framework or selected[0].framework
    modules = load_framework(framework)
    if isinstance(modules, Absent):
        return [(framework, "-", modules.reason)], []
    packages = dict.fromkeys(each.package for each in selected)
    versions = ", ".join(f"{each} {registry.installed_version(each)}" for each in packages)
    adapter = registry.framework(framework)
    unavailable = partial(adapter.unavailable, modules)
    rows: Rows = [(framework, on, unavailable(on) or f"can be tested ({versions})") for on in adapter.devices]
    missing, measured = dict[str, str](), Rows()
    for implementation in selected:
        for column in (each for each in columns_of(implementation) if each.mode == EAGER):
            subject = open_subject(implementation, column, modules)
            if not isinstance(subject, Absent):
                measured.append(_row(column, measure(subject)))
            elif column.device == "cpu":
                missing[implementation.name] = subject.reason
    return [*rows, *((name, "cpu", reason) for name, reason in missing.items())], measured


def _row(column: Column, measured: Arithmetic) -> tuple[str, ...]:
    declared = measured.declared
    flushes = declared.flush_to_zero if measured.flush_to_zero is None else measured.flush_to_zero
    subnormals = "flushed" if flushes else "kept"
    return (
        column.implementation,
        f"{column.device} {column.dtype} {column.mode}",
        measured.compute.label if measured.compute else f"[{declared.compute.label}]",
        measured.accumulate.label if measured.accumulate else f"[{declared.accumulate.label}]",
        str(measured.depth) if measured.depth else f"[{declared.summation.value}]",
        subnormals if measured.flush_to_zero is not None else f"[{subnormals}]",
        measured.grade.name if measured.grade else "-",
        "-" if measured.headroom is None else f"{measured.headroom:.2f}",
        "worse than declared: " + "; ".join(measured.worse) if measured.worse else "",
    )


def _in_child_process(group: tuple[str, ...]) -> tuple[Rows, Rows]:
    """Examine a framework in a child process: frameworks never share one."""
    try:
        found = processes.request("kl_conformance.cli.doctor", group, seconds=SECONDS)
    except processes.NoAnswerError as error:
        return [(group[0] or group[1], "-", f"cannot be tested: {error}")], []
    devices, arithmetic = ([tuple(row) for row in rows] for rows in found)
    return devices, arithmetic


if __name__ == "__main__":
    processes.respond(lambda group: examine(group[0], group[1:]))
