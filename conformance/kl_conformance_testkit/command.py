"""Runs the command line and the suite in child processes, as a user starts them."""

import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from kl_conformance import processes
from kl_conformance.cli import main

KERNELS = Path(__file__).parents[1] / "tests" / "data" / "defective_kernels.py"
CORRECT, DEFECTIVE, CRASHING, SLOW, UNCATCHABLE = (
    f"{KERNELS}:{name}" for name in ("CORRECT", "DEFECTIVE", "CRASHING", "SLOW", "UNCATCHABLE")
)
FRAMEWORKS = ("torch", "tensorflow", "jax")  # each runs in its own worker process
SECONDS = 100
Capsys = pytest.CaptureFixture[str]


@dataclass(frozen=True, slots=True)
class Completed:
    """Exit code and output of a process that ended."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        """Both streams, stdout first."""
        return self.out + self.err


def run_cli(*arguments: str | Path, at: Path, path: Path | None = None) -> Completed:
    """Run ``kl-conformance`` in the folder ``at``, with ``path`` first on the module search path."""
    return _run(["kl_conformance", *map(str, arguments)], at, path)


def run_main(capsys: Capsys, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> tuple[int, str, str]:
    """Run a command in this process; return its exit code, stdout and stderr."""
    monkeypatch.setattr(sys, "argv", ["kl-conformance", *arguments])
    with pytest.raises(SystemExit) as ended:
        main.main()
    out, err = capsys.readouterr()
    assert isinstance(ended.value.code, int)
    return ended.value.code, out, err


def run_suite(*arguments: str | Path, at: Path, path: Path | None = None) -> Completed:
    """Run the suite with pytest, the plugin named on the command line."""
    return run_pytest("--pyargs", "kl_conformance.suite", *arguments, at=at, path=path)


def run_pytest(*arguments: str | Path, at: Path, path: Path | None = None) -> Completed:
    """Run pytest with the plugin of this package."""
    plugins = ["-p", "kl_conformance.plugin", "-p", "no:cacheprovider", "--assert=plain"]
    return _run(["pytest", *plugins, *map(str, arguments)], at, path)


def broken_frameworks(folder: Path, *names: str, missing: bool = False) -> Path:
    """Create packages that fail to import in place of frameworks, with the error of a missing one if ``missing``."""
    for name in names or FRAMEWORKS:
        package = folder / name
        package.mkdir(parents=True)
        fault = f"ImportError('lib{name}.so: cannot open shared object file')"
        if missing:
            fault = f"ModuleNotFoundError('No module named {name}', name='{name}')"
        (package / "__init__.py").write_text(f"raise {fault}\n", encoding="utf-8")
    return folder


@contextmanager
def start_cli(*arguments: str | Path, at: Path) -> Generator[subprocess.Popen[str]]:
    """Start ``kl-conformance`` as the leader of a process group, as a shell does; kill it on exit."""
    process = subprocess.Popen(
        [sys.executable, "-m", "kl_conformance", *map(str, arguments)],
        cwd=at,
        env=_environment(None),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_restore_interrupts,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def _restore_interrupts() -> None:
    """Restore the default handler of Ctrl-C, which a shell disables for background processes."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(module: list[str], at: Path, path: Path | None) -> Completed:
    done = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=at,
        env=_environment(path),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return Completed(done.returncode, done.stdout, done.stderr)


def _environment(path: Path | None) -> dict[str, str]:
    """Return an environment whose module search path is ``path``, then this checkout."""
    child = processes.environment()
    del child["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]  # as when a user starts it
    if path is not None:
        child["PYTHONPATH"] = os.pathsep.join([str(path), child["PYTHONPATH"]])
    return child
