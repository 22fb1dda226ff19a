"""Builds the header of a run: version, environment, columns and requirements."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from kl_conformance._version import __version__
from kl_conformance.cells.fixed_problems import problem_set
from kl_conformance.implementations import registry
from kl_conformance.implementations.description import convention
from kl_conformance.requirements.guide import guide
from kl_conformance.requirements.requirement import described
from kl_conformance.runs.plan import PlannedCell
from kl_conformance.runs.selection import Selection
from kl_reports.runfile.records import Header


def header(selection: Selection, planned: Sequence[PlannedCell]) -> Header:
    """Return the header of a run of these cells, with the current time."""
    implementations = {each.implementation.name: each.implementation for each in planned}
    used = ((each.framework, each.package) for each in implementations.values())
    packages = dict.fromkeys(name for names in used for name in names)
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
    """Return the machine and the versions on which answers may depend, for people."""
    versions = {
        name: version
        for name in ("numpy", "scipy", "hypothesis", *packages)
        if (version := registry.installed_version(name)) != "absent"
    }
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "processor": _processor(),
        "threads": os.environ.get("OMP_NUM_THREADS", "the libraries' default"),
        **versions,
    }


def _processor() -> str:
    """Return the model name of the processor if the system gives it, otherwise its architecture."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8") as lines:
            model = next((line for line in lines if line.startswith("model name")), "")
    except OSError:
        model = ""
    return model.partition(":")[2].strip() or platform.processor() or platform.machine()
