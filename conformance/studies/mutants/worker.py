"""One kernel before the requirements, in the process that calls it."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from kl_cases.recipes import TestProfile
from kl_conformance import catalogue, registry
from kl_conformance.cell import Cell
from kl_conformance.implementation import Implementation
from kl_conformance.requirement import Level
from kl_conformance.subject import Subject
from kl_reports.result import Column, Result, Verdict
from studies.mutants import catalogue as mutants
from studies.mutants.kernel import implementation

BINDING = {Level.MUST, Level.SHOULD}  # what is mere convention stops nobody


@dataclass(frozen=True, slots=True, order=True)
class Question:
    """One requirement in one dtype."""

    dtype: str
    requirement: str


@dataclass(frozen=True, slots=True)
class Answer:
    """A question settled; ``mistake`` is the traceback of an error of the suite's own."""

    question: Question
    result: Result
    mistake: str = ""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one process asks of one kernel.

    Parameters
    ----------
    kernel
        Its name.
    questions
        What is asked, in this order.
    profile, seeds
        How much is asked, and the seed of each search.
    brief
        Whether a broken pair is left as it was found.
    enough
        So many requirements that have stopped the kernel make the dtypes that are left needless, and after two
        dtypes one does; before that, none is asked again that has stopped it. 0 asks everything.
    """

    kernel: str
    questions: Sequence[Question]
    profile: TestProfile
    seeds: tuple[int, ...]
    brief: bool = True
    enough: int = 0


def column(kernel: str, like: str, dtype: str) -> Column:
    """Return a kernel's column in one dtype."""
    followed = registry.implementation(like)
    version = registry.installed_version(followed.package)
    return Column(kernel, followed.framework, version, "cpu", dtype, "eager")


def asked(own: Implementation, charge: Charge) -> Iterator[Question | Answer]:
    """Yield each question before it is asked of an implementation, and its answer when it is settled."""
    framework = registry.framework(own.framework)
    modules = framework.load()
    if own.framework == "torch":
        modules.torch.set_num_threads(1)  # other kernels are on trial beside it
    subjects: dict[str, Subject] = {}
    stopped: set[str] = set()
    for question in charge.questions:
        new = question.dtype not in subjects
        satisfied = len(stopped) >= (1 if len(subjects) >= 2 else charge.enough)
        if charge.enough and (question.requirement in stopped or (new and satisfied)):
            continue
        yield question
        if new:
            subjects[question.dtype] = Subject(
                own, framework, modules, column(own.name, own.like, question.dtype)
            )
        requirement = catalogue.requirement(question.requirement)
        subject = subjects[question.dtype]
        cell, mistake = Cell(requirement, subject, charge.profile, *charge.seeds, brief=charge.brief), ""
        try:
            result = cell.settle()
        except Exception:  # what a kernel raises is judged; this is the suite's own, and stops nobody
            mistake = traceback.format_exc()
            result = Result(requirement.id, requirement.revision, subject.column.key, Verdict.MISSING)
        if result.verdict.is_news and requirement.level in BINDING:
            stopped.add(question.requirement)
        yield Answer(question, result, mistake)


def testify(charge: Charge, sender: Connection[Any, Any]) -> None:
    """Send whatever :func:`asked` yields of a kernel to the process that waits for it."""
    warnings.simplefilter("ignore")  # a kernel's warnings are its own; requirements that want them catch them
    for each in asked(implementation(mutants.kernel(charge.kernel)), charge):
        sender.send(each)
    sender.close()
