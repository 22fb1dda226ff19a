"""Findings given the scripts that show them, executed where somebody waits for the verdict."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from enum import Enum
from pathlib import Path
from typing import Any, assert_never

from kl_conformance import processes
from kl_conformance.diagnosis.reproducer import reproducer
from kl_conformance.implementations.loading import is_user_kernel
from kl_conformance.implementations.registry import is_builtin
from kl_conformance.implementations.source import KernelSource, kernel_source
from kl_reports.analysis.kernel import failures, smallest
from kl_reports.runfile.records import Result, Run

MOST = 12  # findings whose scripts are executed: more than anybody reads at once
ALONE = "Alone, in a process of its own, the same call gives the right answer: what was asked before matters."


def with_reproducers(run: Run) -> Run:
    """Return a run whose witnesses have reproducers, as far as known implementations are concerned."""
    return replace(run, results=tuple(_scripted(run, result) for result in run.results))


def confirmed(run: Run, kernel: Any) -> Run:
    """Return a run whose findings have reproducers that were seen to fail in a process of their own.

    The smallest witness of each broken requirement is tried, of 12 at most. Where the script gives the right
    answer instead, the finding says so. Of a kernel that no script can get hold of the run stays as it is.

    Parameters
    ----------
    run
        The run of one kernel.
    kernel
        The kernel, or the name it was asked for by.
    """
    place = located(kernel)
    if place is None and not (isinstance(kernel, str) and is_builtin(kernel)):
        return run
    tried = list(_smallest(run, place))[:MOST]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        seen = pool.map(execute, [script for _, script in tried])
        found = {
            result.cell: _after(one, result, script)
            for (result, script), one in zip(tried, seen, strict=True)
        }
    return replace(run, results=tuple(found.get(result.cell, result) for result in run.results))


def located(kernel: Any) -> KernelSource | None:
    """Return how a script gets hold of a user's kernel, or of one named by place; None where it cannot."""
    if isinstance(kernel, str):
        return kernel_source(kernel, Path.cwd()) if is_user_kernel(kernel) else None
    name = str(getattr(kernel, "__qualname__", ""))
    try:
        file = inspect.getsourcefile(kernel)
    except TypeError:  # an object, or written in C
        return None
    return None if file is None else kernel_source(f"{file}:{name}", Path.cwd())


def _smallest(run: Run, place: KernelSource | None) -> Iterator[tuple[Result, str]]:
    for results in failures(run).values():
        result = smallest(results)
        script = _script(run, result, place)
        if script:
            yield result, script


def _after(seen: ScriptResult, result: Result, script: str) -> Result:
    """Return a finding with what its script showed."""
    match seen:
        case ScriptResult.FAILURE:
            return _with(result, script)
        case ScriptResult.CORRECT:
            return replace(result, detail=f"{result.detail} {ALONE}")
        case ScriptResult.INCONCLUSIVE:
            return result
        case _:
            assert_never(seen)


def _scripted(run: Run, result: Result) -> Result:
    column = run.header.columns.get(result.column)
    known = column is not None and is_builtin(column.implementation)
    script = _script(run, result, None) if known else ""
    return _with(result, script) if script else result


def _script(run: Run, result: Result, place: KernelSource | None) -> str:
    column = run.header.columns.get(result.column)
    if column is None or result.witness is None:
        return ""
    return reproducer(result.requirement, column, result.witness, place)


def _with(result: Result, script: str) -> Result:
    return replace(result, witness={**(result.witness or {}), "reproducer": script})


SECONDS = 60  # a framework's import, and one call


class ScriptResult(Enum):
    """What came of a reproducer in a process of its own."""

    FAILURE = "it shows the failure"
    RIGHT = "alone, in a process of its own, it gives the right answer"
    NOTHING = "it came to another end"


def execute(script: str, python: str = sys.executable) -> ScriptResult:
    """Execute a reproducer in a clean process.

    Parameters
    ----------
    script
        The whole script; its last line asserts what is right.
    python
        The interpreter.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "reproducer.py"
        file.write_text(script, encoding="utf-8")
        try:
            done = processes.run_python(str(file), seconds=SECONDS, interpreter=python, folder=Path(folder))
        except subprocess.TimeoutExpired:
            return ScriptResult.INCONCLUSIVE
    if done.returncode == 0:
        return ScriptResult.CORRECT
    return (
        ScriptResult.FAILURE
        if processes.last_line(done).startswith("AssertionError")
        else ScriptResult.INCONCLUSIVE
    )
