"""open_subject(): loads implementation, framework and mode; returns the Subject or why it is missing."""

from dataclasses import dataclass

from kl_conformance.errors import AbsentError
from kl_conformance.frameworks.framework import Modules, import_failure
from kl_conformance.harness.modes import in_mode
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.implementations.implementation import Implementation
from kl_reports.runfile.records import Absence, Column


@dataclass(frozen=True, slots=True)
class Absent:
    """Why a framework, a device or an implementation cannot be tested on this machine, and what to do."""

    reason: str
    absence: Absence = Absence.NOT_INSTALLED


def load_framework(name: str) -> Modules | Absent:
    """Return a framework's modules, or why it cannot be imported and what to do."""
    try:
        return registry.framework(name).load()
    except (Exception, SystemExit) as error:  # an import may raise anything
        return Absent(import_failure(name, error, f"pip install 'kl-conformance[{name}]'"))


def open_subject(
    implementation: Implementation, column: Column, modules: Modules | Absent | None = None
) -> Subject | Absent:
    """Return an implementation's column ready to be called, or why it cannot be tested on this machine.

    Parameters
    ----------
    implementation
        Built-in or a user's; compiled here where the mode of ``column`` is a compiled one.
    column
        Device, dtype and mode.
    modules
        Result of :func:`load_framework` for its framework; called here when None.
    """
    framework = registry.framework(implementation.framework)
    modules = load_framework(framework.name) if modules is None else modules
    if isinstance(modules, Absent):
        return modules
    reason = framework.unavailable(modules, column.device)
    if reason is not None:
        return Absent(reason, Absence.NO_DEVICE)
    try:
        for name in implementation.requires:
            modules.require(name, implementation.package)
    except AbsentError as missing:
        return Absent(str(missing))
    return Subject(in_mode(implementation, framework, modules, column.mode), framework, modules, column)
