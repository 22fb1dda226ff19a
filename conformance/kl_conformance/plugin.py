"""Pytest options of the suite, and registration of its recorder; imports pytest only."""

import argparse
from typing import Any

import pytest

SUITE = "kl_conformance.suite"  # an argument that names it, as a package or as a folder, selects it
ENABLED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Add the options of the suite, in sessions that select it.

    Every pytest session of a machine loads this plugin, and other test suites have options such as ``--device``.
    """
    config: Any = pluginmanager.get_plugin("pytestconfig")
    if not any(SUITE in _dotted(argument) for argument in config.invocation_params.args):
        return
    config.stash[ENABLED] = True
    group = parser.getgroup("kl-conformance", "conformance of the Kullback-Leibler divergence")
    for name, description in (
        ("--framework", "test the implementations of this framework"),
        ("--implementation", "test this implementation (a name, MODULE:NAME or FILE:NAME)"),
        ("--device", "test on this device (cpu, cuda)"),
        ("--dtype", "test in this dtype (float64, float32, float16, bfloat16)"),
        ("--mode", "test in this mode (default: eager)"),
    ):
        group.addoption(name, action="append", default=[], help=f"{description}; may be repeated")
    group.addoption("--like", default="", help="the built-in implementation that the user kernels follow")
    group.addoption("--kl-strict", action="store_true", help="do not excuse the known deviations of --like")
    group.addoption("--shape", default="", help="test at this size as well, ROWSxCLASSES")
    group.addoption("--profile", default="standard", help="test effort: quick, standard or thorough")
    group.addoption("--kl-seed", type=int, default=0, help="seed of the search (the grid's is fixed)")
    group.addoption("--run-file", default=None, help="write every verdict to this run file (.jsonl.gz)")
    group.addoption(
        "--if-installed",
        action="store_true",
        help="a framework that cannot be imported makes its cells MISSING instead of being an error of usage",
    )
    # From `kl-conformance run` to its workers: the file of the selection, which replaces the options above, the
    # heartbeat file, and the file of the cells that are already evaluated.
    group.addoption("--kl-selection", default="", help=argparse.SUPPRESS)
    group.addoption("--kl-heartbeat", default="", help=argparse.SUPPRESS)
    group.addoption("--kl-done", default="", help=argparse.SUPPRESS)


def pytest_configure(config: pytest.Config) -> None:
    """Check the options and register the recorder; with pytest-xdist in the controller only."""
    if config.stash.get(ENABLED, False) and not hasattr(config, "workerinput"):
        # Imported here because every pytest session of a machine loads this plugin.
        from kl_conformance.suite.recorder import Recorder

        config.pluginmanager.register(Recorder(config), "kl_conformance.suite.recorder")


def _dotted(argument: object) -> str:
    return str(argument).replace("\\", ".").replace("/", ".")
