"""Reads and validates a Selection from the pytest options."""

import json
from pathlib import Path
from typing import Any

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.errors import check_known
from kl_conformance.runs.plan import Plan, resolve
from kl_conformance.runs.selection import Selection, parse_shape

SHARES_PROCESS = {"numpy", "scipy"}  # safe to load beside any framework
PLAN = pytest.StashKey[Plan]()


def plan_of(config: pytest.Config) -> Plan:
    """Return the plan of a pytest session, resolved at the first call.

    Raises
    ------
    pytest.UsageError
        As :func:`selection_of` and :func:`check` do.
    """
    if PLAN not in config.stash:
        config.stash[PLAN] = check(selection_of(config))
    return config.stash[PLAN]


def selection_of(config: pytest.Config) -> Selection:
    """Return the selection of a worker's file if there is one, otherwise of the options.

    Raises
    ------
    pytest.UsageError
        A profile, a shape or the file is not valid, or the session was started without the suite's name.
    """
    file: Any = config.getoption("--kl-selection", default=None)
    if file is None:
        raise pytest.UsageError("start the suite by its name: pytest --pyargs kl_conformance.suite")
    try:
        return _from_file(Path(file)) if file else _from_options(config)
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None


def _from_file(path: Path) -> Selection:
    try:
        return Selection.from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None


def _from_options(config: pytest.Config) -> Selection:
    def names(option: str) -> tuple[str, ...]:
        values: Any = config.getoption(option)
        return tuple(values)

    profile = str(config.getoption("--profile"))
    check_known("profile", [profile], [each.value for each in TestProfile])
    return Selection(
        implementations=names("--implementation"),
        frameworks=names("--framework"),
        devices=names("--device"),
        dtypes=names("--dtype"),
        modes=names("--mode"),
        profile=TestProfile(profile),
        seed=int(str(config.getoption("--kl-seed"))),
        like=str(config.getoption("--like")),
        strict=bool(config.getoption("--kl-strict")),
        shape=parse_shape(str(config.getoption("--shape"))),
    )


def check(selection: Selection) -> Plan:
    """Return the plan of a selection that one process can evaluate.

    Raises
    ------
    pytest.UsageError
        A name is unknown, a user implementation cannot be tested, nothing is selected, or several frameworks would
        share the process.
    """
    try:
        plan = resolve(selection)
        empty = "" if plan.columns else selection.explain_empty()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from None
    if empty:
        raise pytest.UsageError(empty)
    names = dict.fromkeys(each.framework for each in plan.implementations)
    frameworks = [name for name in names if name not in SHARES_PROCESS]
    if len(frameworks) > 1:
        raise pytest.UsageError(
            f"{', '.join(frameworks)} would share one process, which can crash it; "
            f"select one, as in --framework {frameworks[0]}, or test all of them with `kl-conformance run`"
        )
    return plan
