"""Released versions are tested by name, with the function names that they had."""

import re
from configparser import ConfigParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Modules
from kl_conformance.implementations import loading, registry
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

TOX = ConfigParser(interpolation=None)
TOX.read(Path(__file__).parents[3] / "tox.ini", encoding="utf-8")
NAMED = re.compile(r"testenv:(\w+)-\{(.+)\}")
SECTIONS = {match[1]: name for name in TOX.sections() if (match := NAMED.fullmatch(name))}


@pytest.mark.parametrize("package", SECTIONS)
def test_the_version_in_the_name_is_the_version_installed(package: str) -> None:
    """Every environment named after a version pins its package to that version, and no other does."""
    name = SECTIONS[package]
    match = NAMED.fullmatch(name)
    assert match
    versions = match[2].split(",")
    pins = [line for line in TOX[name]["deps"].splitlines() if f" {package}==" in line]
    assert pins == [f"{version}: {package}=={version}" for version in versions]
    selected = re.search(r"--framework (\w+) ", TOX[name]["commands"])
    frameworks = {each.framework for each in registry.IMPLEMENTATIONS.values() if each.package == package}
    assert selected
    assert selected[1] in frameworks


@pytest.mark.parametrize("name", ["generalized_kl_divergence", "convex_kl_divergence"])
def test_a_function_is_called_by_the_name_it_has(name: str) -> None:
    """optax.losses.generalized_kl_divergence was called convex_kl_divergence up to 0.2.6."""

    def divergence(model: Any, target: Any) -> Any:
        return name, model, target

    losses = SimpleNamespace(**{name: divergence})
    modules = Modules({"optax": SimpleNamespace(losses=losses)})
    call = Call("p", "log q", Space.PROBABILITY, Space.LOG, None, None, Dtype.FLOAT32)
    result = loading.implementation("optax.losses.generalized_kl_divergence").call(modules, call)
    assert result == (name, "log q", "p")
