"""The command line and the suite as people start them: in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kl_conformance import host

KERNELS = Path(__file__).parents[1] / "tests" / "data" / "broken_kl.py"
RIGHT, BROKEN, DYING, SLOW, RUDE = (
    f"{KERNELS}:{name}" for name in ("RIGHT", "BROKEN", "DYING", "SLOW", "RUDE")
)
FRAMEWORKS = ("torch", "tensorflow", "jax")  # those with a process of their own
SECONDS = 100


@dataclass(frozen=True, slots=True)
class Said:
    """How a process ended and what it printed."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams."""
        return self.out + self.err


def ask(*arguments: str | Path, at: Path, path: Path | None = None) -> Said:
    """Run ``kl-conformance`` in a folder, with modules of ``path`` before all others."""
    return _run(["kl_conformance", *map(str, arguments)], at, path)


def suite(*arguments: str | Path, at: Path, path: Path | None = None) -> Said:
    """Run the suite by pytest, as somebody does who has installed neither plugin nor package."""
    return pytest_alone("--pyargs", "kl_conformance.suite", *arguments, at=at, path=path)


def pytest_alone(*arguments: str | Path, at: Path, path: Path | None = None) -> Said:
    """Run pytest with the plugin and nothing else of ours."""
    plugins = ["-p", "kl_conformance.plugin", "-p", "no:cacheprovider", "--assert=plain"]
    return _run(["pytest", *plugins, *map(str, arguments)], at, path)


def broken_frameworks(folder: Path, *names: str, missing: bool = False) -> Path:
    """Make a place in which frameworks fail to import, or, ``missing``, look as if they were not installed."""
    for name in names or FRAMEWORKS:
        package = folder / name
        package.mkdir(parents=True)
        fault = f"ImportError('lib{name}.so: cannot open shared object file')"
        if missing:
            fault = f"ModuleNotFoundError('No module named {name}', name='{name}')"
        (package / "__init__.py").write_text(f"raise {fault}\n", encoding="utf-8")
    return folder


@contextmanager
def asking(*arguments: str | Path, at: Path) -> Generator[subprocess.Popen[str]]:
    """Start ``kl-conformance`` as the leader of a process group, as a shell does, and leave nothing behind."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kl_conformance", *map(str, arguments)],
        cwd=at,
        env=_environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _heed_interrupts() -> None:
    """Undo what a shell does to what it runs in the background: Ctrl-C must reach the process."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(module: list[str], at: Path, path: Path | None) -> Said:
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=at,
        env=_environment(path),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def _environment(path: Path | None) -> dict[str, str]:
    """Return an environment that finds this checkout, and first of all what lies in ``path``."""
    child = host.environment()
    del child["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # as people start it
    if path is not None:
        child["PYTHONPATH"] = os.pathsep.join([str(path), child["PYTHONPATH"]])
    return child
