"""The pytest plugin: options, names checked, and a recorder of every verdict, where the suite is asked for."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

SUITE = "kl_conformance.suite"  # an argument that names it, as a package or as a folder, asks for it
ASKED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options that say who is asked and how much, in sessions that ask for the suite.

    Every pytest session of a machine loads this plugin, and others have options called ``--device`` too.
    """
    config: Any = pluginmanager.get_plugin("pytestconfig")
    if not any(SUITE in _dotted(argument) for argument in config.invocation_params.args):
        return
    config.stash[ASKED] = True
    group = parser.getgroup("kl-conformance", "conformance of the Kullback-Leibler divergence")
    several = "may be given more than once; all when not given"
    for name, what in (
        ("--framework", "ask the implementations of this framework"),
        ("--implementation", "ask this implementation (a name, module:attribute or file.py:attribute)"),
        ("--device", "ask on this device (cpu, cuda)"),
        ("--dtype", "ask in this dtype (float64, float32, float16, bfloat16)"),
        ("--mode", "ask in this mode (eager)"),
    ):
        group.addoption(name, action="append", default=[], help=f"{what}; {several}")
    group.addoption("--like", default="", help="ask the callables brought in the way of this implementation")
    group.addoption("--kl-strict", action="store_true", help="where that one is recorded to be wrong as well")
    group.addoption("--shape", default="", help="ask at this size as well, ROWSxCLASSES")
    group.addoption("--profile", default="standard", help="how much is asked: quick, standard or thorough")
    group.addoption("--kl-seed", type=int, default=0, help="seed of the search (the grid's is fixed)")
    group.addoption("--run-file", default=None, help="write every verdict to this run file (.jsonl.gz)")
    group.addoption(
        "--if-installed",
        action="store_true",
        help="a framework that cannot be imported is MISSING, not an error of use",
    )
    # Between `kl-conformance run` and its workers: the file of their selection, which replaces the options above, the
    # heartbeat file, and the file of the cells already evaluated.
    group.addoption("--kl-selection", default="", help=argparse.SUPPRESS)
    group.addoption("--kl-note", default="", help=argparse.SUPPRESS)
    group.addoption("--kl-settled", default="", help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Refuse what cannot be asked, and listen to the session; under pytest-xdist in the controller only."""
    if config.stash.get(ASKED, False) and not hasattr(config, "workerinput"):
        # Imported here, not above: every pytest session of a machine loads this plugin.
        from kl_conformance.suite.recorder import Recorder

        config.pluginmanager.register(Recorder(config), "kl_conformance.suite.recorder")


def _dotted(argument: object) -> str:
    return str(argument).replace("\\", ".").replace("/", ".")
