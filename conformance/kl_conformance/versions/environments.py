"""Fresh environments: released versions of a package, and this very suite beside them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path
from tempfile import TemporaryDirectory

from packaging.requirements import Requirement
from packaging.version import InvalidVersion, Version

from kl_conformance.processes import PACKAGE, PACKAGES

SECONDS = 1200  # a framework's wheels over a slow line


class InstallError(Exception):
    """An environment that could not be made; the message is the installer's own last word."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A Python of its own with some packages, and the suite on its path."""

    python: Path
    variables: Mapping[str, str]


def released(package: str, *, early: bool = False) -> list[str]:
    """Return the released versions of a package that this Python can install, the oldest first.

    Parameters
    ----------
    package
        Its name on the package index that pip is told to use.
    early
        Whether alphas, betas and release candidates are among them.

    Raises
    ------
    InstallError
        The index does not know the package, or cannot be reached.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", package, *(["--pre"] if early else [])]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise InstallError(f"no version of {package!r} is known here: {_last(done)}")
    versions = list[Version]()
    for each in found[1].split(","):
        try:
            versions.append(Version(each.strip()))
        except InvalidVersion:  # names from before PEP 440
            continue
    return [str(version) for version in sorted(set(versions))]


@contextmanager
def carried() -> Generator[Path]:
    """Give a folder with a copy of this suite and nothing else, so that any Python can be shown it."""
    with TemporaryDirectory(prefix="kl-conformance-suite-") as folder:
        for source in PACKAGES:
            shutil.copytree(source, Path(folder) / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


@contextmanager
def environment(packages: Sequence[str], suite: Path) -> Generator[Environment]:
    """Make an environment with these packages and what the suite needs, and remove it afterwards.

    Made by uv where it is installed, else by venv and pip. Only wheels are installed: what must be compiled says
    more about the compiler here than about the release.

    Parameters
    ----------
    packages
        Requirements such as ``jax==0.4.30``.
    suite
        The folder of :func:`carried`.

    Raises
    ------
    InstallError
        A version has no wheel for this Python, or the requirements contradict each other.
    """
    with TemporaryDirectory(prefix="kl-conformance-") as folder:
        python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        uv = shutil.which("uv")
        wanted = [*packages, *own_requirements()]
        if uv:
            _run([uv, "venv", "--quiet", "--python", sys.executable, folder])
            _run(
                [uv, "pip", "install", "--quiet", "--python", str(python), "--only-binary", ":all:", *wanted]
            )
        else:
            _run([sys.executable, "-m", "venv", folder])
            pip = [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                "--no-input",
            ]
            _run([*pip, "--only-binary", ":all:", *wanted])
        yield Environment(python, {"PYTHONPATH": str(suite), "PYTHONHASHSEED": "0"})


def distribution(name: str) -> str:
    """Return the distribution to install a framework or package by: TensorFlow's without CUDA, where there is one."""
    return "tensorflow-cpu" if name == "tensorflow" and sys.platform != "darwin" else name


def own_requirements() -> list[str]:
    """Return what the suite itself needs, without its extras.

    Raises
    ------
    InstallError
        It is neither installed nor a checkout.
    """
    try:
        needed = requires("kl-conformance") or []
    except PackageNotFoundError:  # a bare checkout
        project = PACKAGE.parents[1] / "pyproject.toml"
        if not project.is_file():
            raise InstallError(
                "this kl-conformance is neither installed nor a checkout: pip install it"
            ) from None
        needed = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [each for each in needed if Requirement(each).marker is None]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"the installer did not end within {SECONDS} s") from None
    if done.returncode:
        raise InstallError(_last(done))


def _last(done: subprocess.CompletedProcess[str]) -> str:
    """Return the installer's last line that says something."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "×"))]
    return (errors or lines or ["the installer said nothing"])[-1]
