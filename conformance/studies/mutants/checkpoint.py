"""Stores each kernel's result in a file, so that an interrupted study can be resumed."""

import json
from pathlib import Path
from typing import Any

from kl_cases.recipes import TestProfile
from kl_reports.runfile.codec import decode
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Result
from studies.mutants.catalogue import kernel_named
from studies.mutants.runner import KernelResult, Plan
from studies.mutants.worker import Task, TaskResult


class Checkpoint:
    """A file with the plan in the first line and the result of one kernel in each further line.

    Parameters
    ----------
    path
        The file; None stores nothing.
    plan
        The plan of the study. A file of another plan is overwritten.
    """

    def __init__(self, path: Path | None, plan: Plan) -> None:
        self.path = path
        self.results: dict[str, KernelResult] = {}
        header = json.dumps(
            [plan.profile.value, plan.seeds, plan.dtypes, plan.correct_profile and plan.correct_profile.value]
        )
        if path is None:
            return
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if lines[:1] != [header]:
            path.write_text(header + "\n", encoding="utf-8")
            return
        for line in lines[1:]:
            result = _read(json.loads(line))
            self.results[result.kernel.name] = result

    def add(self, result: KernelResult) -> None:
        """Store the result of a kernel."""
        self.results[result.kernel.name] = result
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_written(result)) + "\n")


def _written(result: KernelResult) -> dict[str, Any]:
    return {
        "kernel": result.kernel.name,
        "profile": result.profile.value,
        "seconds": result.seconds,
        "results": [_task(each) for each in result.results],
        "small": None if result.small is None else _task(result.small),
    }


def _task(done: TaskResult) -> list[Any]:
    return [done.task.dtype, done.task.requirement, encode(done.result), done.suite_error]


def _read(data: dict[str, Any]) -> KernelResult:
    return KernelResult(
        kernel_named(data["kernel"]),
        tuple(_read_task(each) for each in data["results"]),
        TestProfile(data["profile"]),
        None if data["small"] is None else _read_task(data["small"]),
        data["seconds"],
    )


def _read_task(data: list[Any]) -> TaskResult:
    dtype, requirement, result, suite_error = data
    return TaskResult(Task(dtype, requirement), decode(Result, result), suite_error)
