"""Session: opens subjects once and evaluates cells inside one process."""

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
from kl_conformance.runs.plan import PlannedCell, cache_key
from kl_conformance.runs.selection import Selection
from kl_reports.runfile.records import Result, Verdict


class Session:
    """Opens each column's subject at its first cell, and evaluates cells."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._modules: dict[str, Modules | Absent] = {}
        self._subjects: dict[str, Subject | Absent] = {}
        self._cache_key: tuple[str, ...] = ()  # of the column opened last

    def evaluate(self, planned: PlannedCell) -> Result:
        """Return the result of one cell; MISSING, with the reason, if its column cannot be tested."""
        key, selection = planned.column.key, self._selection
        first = key not in self._subjects
        if first:
            self._subjects[key] = self._open(planned)
        subject = self._subjects[key]
        if isinstance(subject, Absent):
            return replace(_not_evaluated(planned, Verdict.MISSING, subject.reason), absence=subject.absence)
        reason = skipped_mode(planned.requirement.chapter, planned.column.mode)
        if reason is not None:
            return _not_evaluated(planned, Verdict.UNSUPPORTED, reason)
        reduced = is_reduced(planned.implementation, planned.column, selection.reduced)
        effort = effort_of(planned.requirement, subject, selection.profile, reduced=reduced)
        cell = Cell(planned.requirement, subject, effort, selection.seed)
        with np.errstate():  # restored, whatever a call changes
            result = cell.evaluate()
            measured = first and selection.profile is not TestProfile.QUICK
            return replace(result, arithmetic=_arithmetic(subject)) if measured else result

    def _open(self, planned: PlannedCell) -> Subject | Absent:
        name = planned.implementation.framework
        if name not in self._modules:
            self._modules[name] = load_framework(name)  # a failed import is not repeated
        subject = open_subject(planned.implementation, planned.column, self._modules[name])
        if isinstance(subject, Subject) and cache_key(planned.column) != self._cache_key:
            self._cache_key = cache_key(planned.column)
            subject.framework.clear_cache(subject.modules)  # functions compiled for earlier columns
        return subject


def _arithmetic(subject: Subject) -> str:
    """Return the measured arithmetic of an eager column as text; user kernels are not measured."""
    if subject.column.mode != EAGER or not registry.is_builtin(subject.implementation.name):
        return ""
    fresh = Subject(subject.implementation, subject.framework, subject.modules, subject.column)
    try:
        return measure(fresh).description
    except Exception:  # an optional measurement changes no verdict, whatever a call raises
        return ""


def _not_evaluated(planned: PlannedCell, verdict: Verdict, reason: str) -> Result:
    requirement = planned.requirement
    return Result(requirement.id, requirement.revision, planned.column.key, verdict, reason)
