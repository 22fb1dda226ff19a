"""What a run sets out to judge: every requirement × every column asked for, named before any framework loads."""

from __future__ import annotations

import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kl_cases.problems import Profile
from kl_conformance import catalogue, registry
from kl_conformance.implementation import Implementation
from kl_conformance.requirement import Requirement
from kl_reference.dtype import Dtype
from kl_reports.result import Column, Header


@dataclass(frozen=True, slots=True)
class Selection:
    """Who is to be asked, and how much; an empty tuple means all.

    Parameters
    ----------
    implementations
        Names, or ``module:attribute``.
    frameworks, devices, dtypes, modes
        Names.
    profile, seed
        How much is asked, and the seed of the search.
    """

    implementations: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    profile: Profile = Profile.STANDARD
    seed: int = 0

    def chosen(self) -> list[Implementation]:
        """Return the implementations to ask.

        Raises
        ------
        ValueError
            A name is unknown; the message gives it and the known ones.
        """
        frameworks = [registry.framework(name).name for name in self.frameworks]
        _known("dtype", self.dtypes, [dtype.label for dtype in Dtype])
        _known("device", self.devices, ["cpu", "cuda"])
        _known("mode", self.modes, ["eager"])
        named = [registry.implementation(name) for name in self.implementations]
        asked = named or list(registry.IMPLEMENTATIONS.values())
        return [each for each in asked if not frameworks or each.framework in frameworks]

    def columns(self) -> list[tuple[Implementation, Column]]:
        """Return every column to ask, in the order shown."""
        found: list[tuple[Implementation, Column]] = []
        for each in self.chosen():
            framework = registry.framework(each.framework)
            version = registry.installed_version(each.package)
            for device in framework.devices:
                for mode in framework.modes():
                    for dtype in each.dtypes:
                        column = Column(each.name, each.framework, version, device, dtype.label, mode)
                        if self._wants(column):
                            found.append((each, column))
        return found

    def _wants(self, column: Column) -> bool:
        asked = ((self.devices, column.device), (self.dtypes, column.dtype), (self.modes, column.mode))
        return all(not names or own in names for names, own in asked)


@dataclass(frozen=True, slots=True)
class Planned:
    """One cell to judge."""

    requirement: Requirement
    implementation: Implementation
    column: Column

    @property
    def key(self) -> str:
        """``requirement@column``."""
        return f"{self.requirement.id}@{self.column.key}"


def cells(selection: Selection, chapter: str) -> list[Planned]:
    """Return the cells of one chapter, column by column."""
    return [
        Planned(requirement, implementation, column)
        for implementation, column in selection.columns()
        for requirement in catalogue.CHAPTERS[chapter]
    ]


def header(selection: Selection, planned: Sequence[Planned]) -> Header:
    """Return the header of a run that sets out to judge these cells."""
    implementations = {each.implementation.name: each.implementation for each in planned}
    packages = dict.fromkeys(
        name for each in implementations.values() for name in (each.framework, each.package)
    )
    return Header(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=registry.installed_version("kl-conformance"),
        profile=selection.profile.value,
        seed=selection.seed,
        environment=environment(packages),
        requirements={each.requirement.id: described(each.requirement) for each in planned},
        implementations={name: convention(each) for name, each in implementations.items()},
        columns={each.column.key: each.column for each in planned},
        planned=tuple(each.key for each in planned),
    )


def environment(packages: Iterable[str]) -> Mapping[str, str]:
    """Return what the answers may depend on beside the inputs, for people."""
    versions = {
        name: version
        for name in ("numpy", "scipy", *packages)
        if (version := registry.installed_version(name)) != "absent"
    }
    machine = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return {"python": platform.python_version(), "platform": machine, "processor": _processor(), **versions}


def described(requirement: Requirement) -> Mapping[str, Any]:
    """Return a requirement as plain data, so that a run can be shown without the catalogue of its day."""
    return {
        "level": requirement.level.value,
        "sentence": requirement.sentence,
        "formula": requirement.formula,
        "reason": requirement.reason,
        "link": requirement.link,
        "revision": requirement.revision,
    }


def convention(implementation: Implementation) -> Mapping[str, str]:
    """Return an implementation's Convention as text, one entry a property."""
    own = implementation.convention
    axis = "works element by element" if own.axis is None else f"axis {own.axis} by default"
    reductions = "; ".join(f"{name}: {kind.value}" for name, kind in own.reductions.items())
    return {
        "framework": implementation.framework,
        "documentation": implementation.documentation,
        "formula": own.formula.value,
        "argument order": ", ".join(side.value for side in own.order),
        "target (P)": " or ".join(space.value for space in own.target),
        "model (Q)": " or ".join(space.value for space in own.model),
        "class axis": axis,
        "reductions": reductions,
        "default reduction": own.default,
        "clipping": "none" if own.clip is None else f"probabilities to [{own.clip[0]:g}, {own.clip[1]:g}]",
        "normalisation": "divides by the sum over classes" if own.normalise else "none",
    }


def _known(kind: str, asked: Iterable[str], known: list[str]) -> None:
    for name in asked:
        if name not in known:
            raise registry.UnknownName(kind, name, known)


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            found = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()
