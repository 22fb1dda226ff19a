"""open_subject(): loads implementation, framework and mode; returns the Subject or why it is missing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kl_conformance import registry
from kl_conformance.errors import AbsentError
from kl_conformance.framework import Framework, Modules, unimportable
from kl_conformance.implementation import Implementation
from kl_conformance.mode import ran
from kl_conformance.subject import Subject
from kl_reports.result import Column


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a framework, a device or an implementation cannot be tested on this machine, and what to do."""

    reason: str


def load_framework(name: str, device: str | None = None) -> Modules | Absent:
    """Return a framework's modules, or why it cannot be imported or does not see the device.

    A framework is imported once in a process.
    """
    framework = registry.framework(name)
    modules = _load(framework)
    if isinstance(modules, Absent) or device is None:
        return modules
    why = framework.absent(modules, device)
    return modules if why is None else Absent(why)


@cache
def _load(framework: Framework) -> Modules | Absent:
    try:
        return framework.load()
    except (Exception, SystemExit) as error:  # an import may raise anything
        return Absent(unimportable(framework.name, error, f"pip install 'kl-conformance[{framework.name}]'"))


def open_subject(implementation: Implementation, column: Column) -> Subject | Absent:
    """Return an implementation's column ready to be called, or why it cannot be tested on this machine.

    Parameters
    ----------
    implementation
        Built-in or a user's; compiled here where the mode of ``column`` is a compiled one.
    column
        Device, dtype and mode.
    """
    modules = load_framework(implementation.framework, column.device)
    if isinstance(modules, Absent):
        return modules
    try:
        for name in implementation.needs:
            modules.bring(name, implementation.package)
    except AbsentError as missing:
        return Absent(str(missing))
    framework = registry.framework(implementation.framework)
    return Subject(ran(implementation, framework, modules, column.mode), framework, modules, column)
