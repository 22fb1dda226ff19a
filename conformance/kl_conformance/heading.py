"""What the header of a run says: when, what of whom, in which words, and on which machine."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from kl_conformance import registry
from kl_conformance._version import __version__
from kl_conformance.guide import guide
from kl_conformance.implementation import Implementation
from kl_conformance.plan import Planned
from kl_conformance.questions import problem_set
from kl_conformance.requirement import Requirement
from kl_conformance.runs.selection import Selection
from kl_reports.result import Header


def header(selection: Selection, planned: Sequence[Planned]) -> Header:
    """Return the header of a run that sets out to judge these cells."""
    implementations = {each.implementation.name: each.implementation for each in planned}
    packages = dict.fromkeys(
        name for each in implementations.values() for name in (each.framework, each.package)
    )
    return Header(
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        suite=__version__,
        profile=selection.profile.value,
        seed=selection.seed,
        environment={"": environment(packages)},
        requirements={
            name: described(each) | {"problems": problem_set(each, selection.profile)}
            for name, each in {one.requirement.id: one.requirement for one in planned}.items()
        },
        implementations={name: convention(each) for name, each in implementations.items()},
        columns={each.column.key: each.column for each in planned},
        planned=tuple(each.key for each in planned),
        guide=guide(),
    )


def environment(packages: Iterable[str]) -> Mapping[str, str]:
    """Return what the answers may depend on beside the inputs, for people."""
    versions = {
        name: version
        for name in ("numpy", "scipy", "hypothesis", *packages)
        if (version := registry.installed_version(name)) != "absent"
    }
    machine = f"{platform.system()} {platform.release()}, {platform.machine()}"
    return {
        "python": platform.python_version(),
        "platform": machine,
        "processor": _processor(),
        "threads": os.environ.get("OMP_NUM_THREADS", "the libraries' default"),
        **versions,
    }


def described(requirement: Requirement) -> dict[str, Any]:
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
    """Return an implementation's Convention in words, one entry per property."""
    own = implementation.convention
    axis = "none: works elementwise" if own.axis is None else f"axis {own.axis} by default"
    reductions = "; ".join(f"{name}: {kind.value}" for name, kind in own.reductions.items())
    smoothed = f", smoothed: {1.0 - own.smoothing:g}·p + {own.smoothing:g}/classes" if own.smoothing else ""
    return {
        "framework": implementation.framework,
        "package": implementation.package,
        "documentation": implementation.documentation,
        "formula": own.formula.value,
        "argument order": ", ".join(side.value for side in own.order),
        "target (P)": " or ".join(space.value for space in own.target) + smoothed,
        "model (Q)": " or ".join(space.value for space in own.model),
        "class axis": axis,
        "reductions": reductions,
        "default reduction": own.default,
        "clipping": "none" if own.clip is None else f"probabilities to [{own.clip[0]:g}, {own.clip[1]:g}]",
        "normalisation": "divides by the sum over classes" if own.normalise else "none",
    }


def _processor() -> str:
    """Return the processor's name where the system tells it."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            found = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        found = ""
    return found.partition(":")[2].strip() or platform.processor() or platform.machine()
