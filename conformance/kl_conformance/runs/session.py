"""Session: opens subjects once and evaluates cells inside one process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kl_cases.recipes import TestProfile
from kl_conformance.cells.cell import Cell
from kl_conformance.cells.effort import effort_of, is_reduced, skipped_mode
from kl_conformance.frameworks.framework import Modules
from kl_conformance.harness.arithmetic import measure
from kl_conformance.harness.modes import EAGER
from kl_conformance.harness.opening import Absent, load_framework, open_subject
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.runs.plan import PlannedCell, kind
from kl_conformance.runs.selection import Selection
from kl_reports.runfile.records import Result, Verdict


class Session:
    """Opens each column's subject at its first cell, and evaluates cells."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._modules: dict[str, Modules | Absent] = {}
        self._subjects: dict[str, Subject | Absent] = {}
        self._kind: tuple[str, ...] = ()  # of the column opened last

    def evaluate(self, planned: PlannedCell) -> Result:
        """Return the verdict of one cell; MISSING, with the reason, where its column cannot be tested."""
        key = planned.column.key
        first = key not in self._subjects
        if first:
            self._subjects[key] = self._open(planned)
        subject = self._subjects[key]
        if isinstance(subject, Absent):
            return _without(planned, Verdict.MISSING, subject.reason)
        why = skipped_mode(planned.requirement.chapter, planned.column.mode)
        if why is not None:
            return _without(planned, Verdict.UNSUPPORTED, why)
        own = self._selection
        reduced = is_reduced(planned.implementation, planned.column, own.reduced)
        effort = effort_of(planned.requirement, subject, own.profile, reduced=reduced)
        cell = Cell(planned.requirement, subject, effort, own.seed)
        with np.errstate():  # restored, whatever a call changes
            result = cell.evaluate()
            measured = first and own.profile is not TestProfile.QUICK
            return replace(result, arithmetic=_arithmetic(subject)) if measured else result

    def _open(self, planned: PlannedCell) -> Subject | Absent:
        name = planned.implementation.framework
        if name not in self._modules:
            self._modules[name] = load_framework(name)  # a failed import is not repeated
        subject = open_subject(planned.implementation, planned.column, self._modules[name])
        if isinstance(subject, Subject) and kind(planned.column) != self._kind:
            self._kind = kind(planned.column)
            subject.framework.clear_cache(
                subject.modules
            )  # functions compiled for earlier columns are of no more use
        return subject


def _arithmetic(subject: Subject) -> str:
    """Return the measured arithmetic of an eager column in words; user kernels are not measured."""
    if subject.column.mode != EAGER or not registry.is_builtin(subject.implementation.name):
        return ""
    own = Subject(subject.implementation, subject.framework, subject.modules, subject.column)
    try:
        return measure(own).description
    except Exception:  # an optional measurement changes no verdict, whatever a call raises
        return ""


def _without(planned: PlannedCell, verdict: Verdict, why: str) -> Result:
    """Return the verdict of a cell that is not evaluated."""
    requirement = planned.requirement
    return Result(requirement.id, requirement.revision, planned.column.key, verdict, why)
