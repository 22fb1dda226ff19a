"""Creates virtual environments with a released version and this suite."""

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

SECONDS = 1200  # enough to download a framework's wheels over a slow connection


class InstallError(Exception):
    """An environment cannot be created; the message is the installer's error."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The interpreter of a virtual environment, and the variables that put this suite on its path."""

    python: Path
    variables: Mapping[str, str]


def released(package: str, *, prereleases: bool = False) -> list[str]:
    """Return the released versions of a package that this Python can install, oldest first.

    Parameters
    ----------
    package
        Its name on the package index that pip is configured to use.
    prereleases
        Whether to include alphas, betas and release candidates.

    Raises
    ------
    InstallError
        The package is not on the index, or the index cannot be reached.
    """
    command = [sys.executable, "-m", "pip", "index", "versions", package, *(["--pre"] if prereleases else [])]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    found = re.search(r"^Available versions: (.*)$", done.stdout, re.MULTILINE)
    if done.returncode or found is None:
        raise InstallError(f"no installable version of {package!r} found: {_error(done)}")
    versions = list[Version]()
    for each in found[1].split(","):
        try:
            versions.append(Version(each.strip()))
        except InvalidVersion:  # names from before PEP 440
            continue
    return [str(version) for version in sorted(set(versions))]


@contextmanager
def suite_copy() -> Generator[Path]:
    """Yield a folder that contains a copy of this suite and nothing else, for the path of any interpreter."""
    with TemporaryDirectory(prefix="kl-conformance-suite-") as folder:
        for source in PACKAGES:
            shutil.copytree(source, Path(folder) / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        yield Path(folder)


@contextmanager
def environment(packages: Sequence[str], suite: Path) -> Generator[Environment]:
    """Create a virtual environment with these packages and the suite's requirements; remove it afterwards.

    It is created by uv if that is installed, otherwise by venv and pip. Only wheels are installed: the result of a
    local build would depend on the local compiler.

    Parameters
    ----------
    packages
        Requirements such as ``jax==0.4.30``.
    suite
        The folder of :func:`suite_copy`.

    Raises
    ------
    InstallError
        A version has no wheel for this Python, or the requirements are incompatible.
    """
    with TemporaryDirectory(prefix="kl-conformance-") as folder:
        python = Path(folder) / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        uv = shutil.which("uv")
        needed = ["--only-binary", ":all:", *packages, *suite_requirements()]
        if uv:
            _run([uv, "venv", "--quiet", "--python", sys.executable, folder])
            _run([uv, "pip", "install", "--quiet", "--python", str(python), *needed])
        else:
            _run([sys.executable, "-m", "venv", folder])
            options = ["--quiet", "--disable-pip-version-check", "--no-input"]
            _run([str(python), "-m", "pip", "install", *options, *needed])
        yield Environment(python, {"PYTHONPATH": str(suite), "PYTHONHASHSEED": "0"})


def distribution(name: str) -> str:
    """Return the distribution that provides a framework or package; for TensorFlow the one without CUDA."""
    return "tensorflow-cpu" if name == "tensorflow" and sys.platform != "darwin" else name


def suite_requirements() -> list[str]:
    """Return the requirements of the suite itself, without its extras.

    Raises
    ------
    InstallError
        The suite is neither installed nor a checkout.
    """
    try:
        found = requires("kl-conformance") or []
    except PackageNotFoundError:  # a bare checkout
        project = PACKAGE.parents[1] / "pyproject.toml"
        if not project.is_file():
            raise InstallError("this kl-conformance is neither installed nor a checkout; install it by pip") from None
        found = tomllib.loads(project.read_text(encoding="utf-8"))["project"]["dependencies"]
    return [each for each in found if Requirement(each).marker is None]


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise InstallError(f"the installer timed out after {SECONDS} s") from None
    if done.returncode:
        raise InstallError(_error(done))


def _error(done: subprocess.CompletedProcess[str]) -> str:
    """Return the installer's last line of error, or its last line."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith(("error", "×"))]
    return (errors or lines or ["no output on stderr"])[-1]
