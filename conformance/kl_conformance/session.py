"""A pytest session's share: the selection its options name, and its subjects, each loaded once."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_cases.problems import Profile
from kl_conformance import registry
from kl_conformance.arithmetic import measure
from kl_conformance.cell import Cell
from kl_conformance.framework import Modules, import_failure
from kl_conformance.implementation import AbsentError, Implementation
from kl_conformance.mode import EAGER, ran, spared
from kl_conformance.plan import Planned, Selection, is_brief, kind, shape
from kl_conformance.subject import Subject
from kl_reports.result import Result, Verdict

SOCIABLE = {"numpy", "scipy"}  # these may share a process with any framework


def selection_of(config: pytest.Config) -> Selection:
    """Return what the options ask for.

    Raises
    ------
    pytest.UsageError
        A profile is not known, or the session was not started as one that asks for the suite.
    """
    seed: Any = config.getoption("--kl-seed", default=None)
    if seed is None:
        raise pytest.UsageError("ask for the suite by its name: pytest --pyargs kl_conformance.suite")
    profile = str(config.getoption("--profile"))
    try:
        registry.check("profile", [profile], [each.value for each in Profile])
        size = shape(str(config.getoption("--shape")))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None

    def names(option: str) -> tuple[str, ...]:
        given: Any = config.getoption(option)
        return tuple(given)

    return Selection(
        implementations=names("--implementation"),
        frameworks=names("--framework"),
        devices=names("--device"),
        dtypes=names("--dtype"),
        modes=names("--mode"),
        profile=Profile(profile),
        seed=int(seed),
        like=str(config.getoption("--like")),
        strict=bool(config.getoption("--kl-strict")),
        shape=size,
        brief=tuple(filter(None, str(config.getoption("--kl-brief")).split(","))),
        only=names("--kl-only"),
    )


def check(selection: Selection) -> None:
    """Refuse a selection that one process cannot ask.

    Raises
    ------
    pytest.UsageError
        A name is unknown, a user's implementation cannot be asked, nothing is selected, or frameworks would
        have to share the process.
    """
    try:
        chosen = selection.chosen()
        vain = "" if selection.columns() else selection.vain()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    if vain:
        raise pytest.UsageError(vain)
    frameworks = list(dict.fromkeys(each.framework for each in chosen if each.framework not in SOCIABLE))
    if len(frameworks) > 1:
        raise pytest.UsageError(
            f"{', '.join(frameworks)} would share one process, which some of them do not survive; "
            f"name one, as in --framework {frameworks[0]}, or ask all of them by `kl-conformance run`"
        )


def load(name: str) -> Modules | str:
    """Return a framework's modules, or why it cannot be imported and what to do."""
    try:
        return registry.framework(name).load()
    except (
        Exception,
        SystemExit,
    ) as error:  # an import may fail in any way; the reason goes into the verdict
        return import_failure(name, error, f"pip install 'kl-conformance[{name}]'")


def absent(implementation: Implementation, modules: Modules, device: str) -> str | None:
    """Return why an implementation cannot be asked on a device here, or None where it can."""
    why = registry.framework(implementation.framework).unavailable(modules, device)
    if why is not None:
        return why
    try:
        for name in implementation.requires:
            modules.require(name, implementation.package)
    except AbsentError as missing:
        return str(missing)
    return None


class Session:
    """Loads frameworks when first asked, and settles cells."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._modules: dict[str, Modules | str] = {}
        self._subjects: dict[str, Subject | str] = {}
        self._kind: tuple[str, ...] = ()  # of the column asked last

    def settle(self, planned: Planned) -> Result:
        """Return the verdict of one cell; MISSING, with the reason, where nobody is there to be asked."""
        key = planned.column.key
        first = key not in self._subjects
        if first:
            self._subjects[key] = self._subject(planned)
        subject = self._subjects[key]
        if isinstance(subject, str):
            return _without(planned, Verdict.MISSING, subject)
        why = spared(planned.requirement, planned.column.mode)
        if why is not None:
            return _without(planned, Verdict.UNSUPPORTED, why)
        asked = self._selection
        shorter = is_brief(planned.implementation, planned.column, asked.brief)
        examples = planned.requirement.draws[Profile.QUICK] if shorter else None
        cell = Cell(planned.requirement, subject, asked.profile, asked.seed, examples=examples)
        with np.errstate():  # as it was, whatever a call does to it
            result = cell.settle()
            measured = first and asked.profile is not Profile.QUICK
            return replace(result, arithmetic=_arithmetic(subject)) if measured else result

    def _subject(self, planned: Planned) -> Subject | str:
        """Return who is asked in a column, or why nobody is there."""
        modules = self.load(planned.implementation.framework)
        if isinstance(modules, str):
            return modules
        why = absent(planned.implementation, modules, planned.column.device)
        if why is not None:
            return why
        framework = registry.framework(planned.implementation.framework)
        if kind(planned.column) != self._kind:
            self._kind = kind(planned.column)
            framework.clear_cache(modules)  # what was compiled for the columns before serves these no more
        own = ran(planned.implementation, framework, modules, planned.column.mode)
        return Subject(own, framework, modules, planned.column)

    def load(self, name: str) -> Modules | str:
        """Return a framework's modules, or why it cannot be imported; it is tried once."""
        if name not in self._modules:
            self._modules[name] = load(name)
        return self._modules[name]


def _arithmetic(subject: Subject) -> str:
    """Return what is measured of an eager column's arithmetic, in words; kernels brought are spared the calls."""
    if subject.column.mode != EAGER or not registry.is_known(subject.implementation.name):
        return ""
    own = Subject(subject.implementation, subject.framework, subject.modules, subject.column)
    try:
        return measure(own).words
    except Exception:  # what is said by the way costs no verdict, whatever a call raises
        return ""


def _without(planned: Planned, verdict: Verdict, why: str) -> Result:
    """Return the verdict of a cell that nobody is asked for."""
    requirement = planned.requirement
    return Result(requirement.id, requirement.revision, planned.column.key, verdict, why)
