"""Evaluates the tasks of one kernel in the process that calls it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import loading, registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.requirement import Level
from kl_reports.runfile.records import Column, Result, Verdict
from studies.mutants.catalogue import kernel_named
from studies.mutants.kernel import implementation

BINDING = {Level.MUST, Level.SHOULD}  # a failed CONVENTION requirement detects nothing


@dataclass(frozen=True, slots=True, order=True)
class Task:
    """One requirement in one dtype."""

    dtype: str
    requirement: str


@dataclass(frozen=True, slots=True)
class TaskResult:
    """The result of a task; ``suite_error`` is the traceback of an exception of the suite itself."""

    task: Task
    result: Result
    suite_error: str = ""


@dataclass(frozen=True, slots=True)
class Assignment:
    """The tasks that one process evaluates for one kernel.

    Parameters
    ----------
    kernel
        Its name.
    tasks
        The tasks, in order.
    profile, seeds
        The profile, and the seed of each search.
    verdict_only
        Whether failing pairs are left unshrunk.
    enough
        Number of detections after which no further dtype is tested; after two dtypes, one is enough. A requirement
        that has detected the kernel is not evaluated again. 0 evaluates everything.
    """

    kernel: str
    tasks: Sequence[Task]
    profile: TestProfile
    seeds: tuple[int, ...]
    verdict_only: bool = True
    enough: int = 0


def column(kernel: str, like: str, dtype: str) -> Column:
    """Return a kernel's column in one dtype."""
    followed = loading.implementation(like)
    version = registry.installed_version(followed.package)
    return Column(kernel, followed.framework, version, "cpu", dtype, "eager")


def evaluate(own: Implementation, assignment: Assignment) -> Iterator[Task | TaskResult]:
    """Yield each task before it is evaluated, and then its result."""
    framework = registry.framework(own.framework)
    modules = framework.load()
    if own.framework == "torch":
        modules.torch.set_num_threads(1)  # other kernels run at the same time
    subjects: dict[str, Subject] = {}
    detected: set[str] = set()
    for task in assignment.tasks:
        new = task.dtype not in subjects
        done = len(detected) >= (1 if len(subjects) >= 2 else assignment.enough)
        if assignment.enough and (task.requirement in detected or (new and done)):
            continue
        yield task
        if new:
            subjects[task.dtype] = Subject(own, framework, modules, column(own.name, own.like, task.dtype))
        requirement = catalogue.requirement(task.requirement)
        subject = subjects[task.dtype]
        effort = effort_of(requirement, subject, assignment.profile)
        cell = Cell(requirement, subject, effort, *assignment.seeds, verdict_only=assignment.verdict_only)
        suite_error = ""
        try:
            result = cell.evaluate()
        except Exception:  # an error of the suite, which detects nothing; those of the kernel are judged in the cell
            suite_error = traceback.format_exc()
            result = Result(requirement.id, requirement.revision, subject.column.key, Verdict.MISSING)
        if result.verdict.is_news and requirement.level in BINDING:
            detected.add(task.requirement)
        yield TaskResult(task, result, suite_error)


def run(assignment: Assignment, sender: Connection[Any, Any]) -> None:
    """Send whatever :func:`evaluate` yields for a kernel to the parent process."""
    warnings.simplefilter("ignore")  # requirements about warnings catch them themselves
    for each in evaluate(implementation(kernel_named(assignment.kernel)), assignment):
        sender.send(each)
    sender.close()
