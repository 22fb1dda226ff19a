"""Runs a reproducer in a clean process and attaches it to its finding if it shows the failure."""

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

MOST = 12  # scripts to execute, more than anyone reads at once
SECONDS = 60  # a framework's import, and one call
NOT_REPRODUCED = (
    "In a process of its own the same call returns the correct result: the failure depends on earlier calls."
)


class ScriptResult(Enum):
    """How a reproducer ended in a process of its own."""

    FAILURE = "shows the failure"
    CORRECT = "returns the correct result in a process of its own"
    INCONCLUSIVE = "ended in another error"


def with_reproducers(run: Run) -> Run:
    """Return a run with a reproducer in every witness of a built-in implementation that has one."""
    return replace(run, results=tuple(_with(each, _script(run, each, None)) for each in run.results))


def confirmed(run: Run, kernel: Any) -> Run:
    """Return a run whose findings have reproducers that showed their failure in a process of their own.

    For each failed requirement the reproducer of the smallest witness is executed, 12 at most. If it returns the
    correct result, the detail of the finding has a sentence about it. A run whose kernel cannot be imported by a
    script is returned unchanged.

    Parameters
    ----------
    run
        The run of one kernel.
    kernel
        The kernel, or its name.
    """
    source = locate(kernel)
    if source is None and not (isinstance(kernel, str) and is_builtin(kernel)):
        return run
    tried = list(_smallest(run, source))[:MOST]
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        outcomes = pool.map(execute, [script for _, script in tried])
        changed = {
            result.cell: _confirmed(outcome, result, script)
            for (result, script), outcome in zip(tried, outcomes, strict=True)
        }
    return replace(run, results=tuple(changed.get(result.cell, result) for result in run.results))


def locate(kernel: Any) -> KernelSource | None:
    """Return how a script imports a user kernel, given as an object or by location; None if it cannot."""
    if isinstance(kernel, str):
        return kernel_source(kernel, Path.cwd()) if is_user_kernel(kernel) else None
    name = str(getattr(kernel, "__qualname__", ""))
    try:
        file = inspect.getsourcefile(kernel)
    except TypeError:  # an object, or written in C
        return None
    return None if file is None else kernel_source(f"{file}:{name}", Path.cwd())


def _smallest(run: Run, source: KernelSource | None) -> Iterator[tuple[Result, str]]:
    for results in failures(run).values():
        result = smallest(results)
        script = _script(run, result, source)
        if script:
            yield result, script


def _confirmed(outcome: ScriptResult, result: Result, script: str) -> Result:
    match outcome:
        case ScriptResult.FAILURE:
            return _with(result, script)
        case ScriptResult.CORRECT:
            return replace(result, detail=f"{result.detail} {NOT_REPRODUCED}")
        case ScriptResult.INCONCLUSIVE:
            return result
        case _:
            assert_never(outcome)


def _script(run: Run, result: Result, source: KernelSource | None) -> str:
    column = run.header.columns.get(result.column)
    if column is None or result.witness is None:
        return ""
    return reproducer(result.requirement, column, result.witness, source)


def _with(result: Result, script: str) -> Result:
    return replace(result, witness={**(result.witness or {}), "reproducer": script}) if script else result


def execute(script: str, interpreter: str = sys.executable) -> ScriptResult:
    """Execute a reproducer, whose last line asserts the expected result, in a clean process."""
    with tempfile.TemporaryDirectory() as at:
        file = Path(at) / "reproducer.py"
        file.write_text(script, encoding="utf-8")
        try:
            done = processes.run_python(str(file), seconds=SECONDS, interpreter=interpreter, folder=Path(at))
        except subprocess.TimeoutExpired:
            return ScriptResult.INCONCLUSIVE
    if done.returncode == 0:
        return ScriptResult.CORRECT
    failed = processes.last_line(done).startswith("AssertionError")
    return ScriptResult.FAILURE if failed else ScriptResult.INCONCLUSIVE
