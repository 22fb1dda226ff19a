"""A pytest session's share: the selection its options name, and its subjects, each loaded once."""

from __future__ import annotations

import pytest

from kl_cases.problems import Profile
from kl_conformance import registry
from kl_conformance.cell import Cell
from kl_conformance.implementation import Modules
from kl_conformance.plan import Planned, Selection
from kl_conformance.subject import Subject
from kl_reports.result import Result, Verdict


def selection_of(config: pytest.Config) -> Selection:
    """Return what the options ask for.

    Raises
    ------
    pytest.UsageError
        A name is not known.
    """
    profile = str(config.getoption("--profile"))
    try:
        if profile not in {each.value for each in Profile}:
            raise registry.UnknownName("profile", profile, [each.value for each in Profile])
        return Selection(
            implementations=tuple(config.getoption("--implementation")),
            frameworks=tuple(config.getoption("--framework")),
            devices=tuple(config.getoption("--device")),
            dtypes=tuple(config.getoption("--dtype")),
            modes=tuple(config.getoption("--mode")),
            profile=Profile(profile),
            seed=int(config.getoption("--kl-seed")),
        )
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


class Session:
    """Loads frameworks when first asked, and settles cells."""

    def __init__(self, selection: Selection) -> None:
        self._selection = selection
        self._modules: dict[str, Modules | str] = {}
        self._subjects: dict[str, Subject] = {}

    def settle(self, planned: Planned) -> Result:
        """Return the verdict of one cell; MISSING, with the reason, where nobody is there to be asked."""
        modules = self.load(planned.implementation.framework)
        if isinstance(modules, str):
            return self._missing(planned, modules)
        framework = registry.framework(planned.implementation.framework)
        absent = framework.absent(modules, planned.column.device)
        if absent is not None:
            return self._missing(planned, absent)
        key = planned.column.key
        if key not in self._subjects:
            self._subjects[key] = Subject(planned.implementation, framework, modules, planned.column)
        cell = Cell(planned.requirement, self._subjects[key], self._selection.profile, self._selection.seed)
        return cell.settle()

    def load(self, name: str) -> Modules | str:
        """Return a framework's modules, or why it cannot be imported."""
        if name not in self._modules:
            try:
                self._modules[name] = registry.framework(name).load()
            except ModuleNotFoundError as error:
                hint = f"pip install 'kl-conformance[{name}]'"
                self._modules[name] = f"{name} is not installed ({error.msg}); install it with {hint}"
            except Exception as error:  # an import may fail in any way; the reason goes into the verdict
                self._modules[name] = f"{name} fails to import: {type(error).__name__}: {error}"
        return self._modules[name]

    @staticmethod
    def _missing(planned: Planned, why: str) -> Result:
        requirement = planned.requirement
        return Result(requirement.id, requirement.revision, planned.column.key, Verdict.MISSING, why)
