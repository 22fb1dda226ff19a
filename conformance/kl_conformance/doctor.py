"""`doctor`: what can be asked on this machine, and the arithmetic it does."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from kl_conformance import __version__, host, plan, registry
from kl_conformance.arithmetic import LONG, Arithmetic, measure
from kl_conformance.mode import EAGER
from kl_conformance.session import absent, load
from kl_conformance.subject import Subject
from kl_conformance.telling import table
from kl_reference.machine import require_ieee
from kl_reports.result import Column

SECONDS = 120
TITLES = ("implementation", "column", "terms in", "sums in", "deep", "subnormals", "class", "used", "")
LEGEND = f"""\
Arithmetic, measured through the answers; in brackets what is only declared, where answers cannot tell.
  deep: additions one of {LONG:,} terms goes through. class: accuracy where P and Q are close, A (few roundings
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
    plan.Selection(implementations=tuple(names)).check()
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
    known = [registry.implementation(name) for name in names if not registry.is_brought(name)]
    for framework in registry.asked_frameworks():
        own = [each.name for each in known if each.framework == framework]
        if own or not names:
            yield framework, *own
    yield from (("", name) for name in names if registry.is_brought(name))


def look(framework: str, names: Sequence[str]) -> tuple[Rows, Rows]:
    """Return a framework's devices and the arithmetic of implementations (of all its own when none is named)."""
    every = [each for each in registry.IMPLEMENTATIONS.values() if each.framework == framework]
    try:
        asked = [registry.implementation(name) for name in names] or every
    except ValueError as error:  # what a user brings cannot be asked
        return [(names[0], "-", str(error))], []
    framework = framework or asked[0].framework
    modules = load(framework)
    if isinstance(modules, str):
        return [(framework, "-", modules)], []
    packages = dict.fromkeys(each.package for each in asked)
    versions = ", ".join(f"{each} {registry.installed_version(each)}" for each in packages)
    reason = partial(registry.framework(framework).unavailable, modules)
    devices = registry.framework(framework).devices
    rows: Rows = [(framework, each, reason(each) or f"can be asked ({versions})") for each in devices]
    lacking = {each.name: why for each in asked if (why := absent(each, modules, "cpu")) is not None}
    rows += [(name, "cpu", why) for name, why in lacking.items()]
    measured = [
        _row(column, measure(Subject(implementation, registry.framework(framework), modules, column)))
        for implementation in asked
        for column in plan.columns(implementation)
        if column.mode == EAGER and implementation.name not in lacking and reason(column.device) is None
    ]
    return rows, measured


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
    name = share[0] or share[1]
    try:
        done = host.python("-m", "kl_conformance.doctor", *share, seconds=SECONDS)
    except subprocess.TimeoutExpired:
        return [(name, "-", f"gave no answer within {SECONDS} s")], []
    try:
        devices, arithmetic = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        why = f"cannot be asked: its process {host.ending(done.returncode)} ({host.last_line(done)})"
        return [(name, "-", why)], []
    return [tuple(row) for row in devices], [tuple(row) for row in arithmetic]


if __name__ == "__main__":
    print(json.dumps(look(sys.argv[1], sys.argv[2:])))
