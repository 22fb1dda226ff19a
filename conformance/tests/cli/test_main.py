"""The command line: fast help, exact messages about unknown names, complete lists."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from kl_cases.flags import FLAGS
from kl_conformance import __version__, processes
from kl_conformance.cli import main
from kl_conformance.cli.describe import KINDS, WIDTH, explained, listed
from kl_conformance.implementations.registry import IMPLEMENTATIONS
from kl_conformance.requirements.catalogue import REQUIREMENTS
from kl_conformance_testkit import command

Main = Callable[..., tuple[int, str, str]]
FRAMEWORKS = {"torch", "tensorflow", "jax"}
HEAVY = ("numpy", "scipy", "hypothesis", "pytest", "rich", "jinja2", "sqlalchemy", *sorted(FRAMEWORKS))


@pytest.fixture
def run_main(capsys: command.Capsys, monkeypatch: pytest.MonkeyPatch) -> Main:
    """Return a function that runs a command in this process and returns its exit code, stdout and stderr."""
    return lambda *arguments: command.run_main(capsys, monkeypatch, *arguments)


def test_help_is_light() -> None:
    """The help of a group loads neither NumPy nor any other package that takes long to import."""
    code = (
        "import sys; from kl_conformance.cli.main import cli\n"
        "for group in ([], ['expect'], ['db']):\n"
        "    cli([*group, '--help'], standalone_mode=False)\n"
        f"print('LOADED', sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=processes.environment(), capture_output=True, text=True, check=True
    )
    assert "LOADED []" in done.stdout


@pytest.mark.parametrize("group", [main.cli, main.expect, main.db], ids=lambda group: group.name)
def test_the_tables_agree_with_the_commands(group: main.LazyGroup) -> None:
    """Each command can be imported, has the name of its table entry, and loads no framework."""
    context = click.Context(group)
    for name, (_, line) in group.table.items():
        command = group.get_command(context, name)
        assert command.name == name
        assert line.endswith(".")
        assert command.help
    assert not FRAMEWORKS & set(sys.modules)


def test_help_is_quick(tmp_path: Path) -> None:
    """Help costs less than 0.3 s of processor time."""
    before = os.times()
    done = command.run_cli("--help", at=tmp_path)
    after = os.times()
    spent = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.code == 0
    assert spent < 0.3


def test_the_version_is_the_package_s(run_main: Main) -> None:
    """The version is printed without an installation of the package."""
    code, out, _ = run_main("--version")
    assert code == 0
    assert out == f"kl-conformance, version {__version__}\n"
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", __version__)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("bogus", 2, ("'bogus'", "doctor", "explain", "list", "merge", "report", "run")),
        ("expect bogus", 2, ("'bogus'", "add", "check", "findings", "prune", "versions")),
        ("db bogus", 2, ("'bogus'", "gc", "history", "ingest", "list")),
        ("report", 2, ("RUN",)),
        ("merge a", 2, ("--output",)),
        ("run --seed x", 4, ("'x'", "integer")),
        ("run --colour red", 4, ("--colour",)),
        ("list nonsense", 2, ("'nonsense'", *KINDS)),
        ("explain nonsense", 2, ("'nonsense'", "values/…", "errors/…")),
        ("explain support/zero", 2, ("'support/zero'", "support/zero-target", "support/zero-over-zero")),
    ],
)
def test_bad_usage_names_the_known_values(run_main: Main, arguments: str, code: int, words: tuple[str, ...]) -> None:
    """The message names the given value and the known ones; the exit code is that of the command."""
    ended, out, err = run_main(*arguments.split())
    assert ended == code
    assert not out
    assert "Traceback" not in err
    for word in words:
        assert word in err


def test_lists_are_aligned_and_complete() -> None:
    """Every known name is the first word of a line, and the second column is aligned."""
    lines = listed("implementations").splitlines()
    assert [line.split()[0] for line in lines] == list(IMPLEMENTATIONS)
    assert len({re.match(r"\S+ +", line).end() for line in lines}) == 1  # type: ignore[union-attr]
    assert [line.split()[0] for line in listed("requirements").splitlines()] == list(REQUIREMENTS)
    for kind in KINDS:
        assert listed(kind)


def test_a_case_is_listed_with_its_flags_and_its_link() -> None:
    """A line of the corpus has the case, its bug classes and its source."""
    line = next(each for each in listed("corpus").splitlines() if each.startswith("support/masked-logit "))
    assert "masked-nan, inner-mask" in line
    assert line.endswith("https://github.com/google-deepmind/optax/pull/1786")
    assert [line.split()[0] for line in listed("flags").splitlines()] == list(FLAGS)


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_requirement_is_explained_on_a_page(name: str) -> None:
    """The page has the sentence, the reason and the next command, in lines that fit a terminal."""
    page = explained(name)
    requirement = REQUIREMENTS[name]
    flowing = " ".join(page.split())
    assert page.startswith(f"{name}: ")
    assert requirement.sentence in flowing
    assert requirement.reason in flowing
    assert page.endswith(f"kl-conformance run -k {name}")
    for line in page.splitlines():
        assert len(line) <= WIDTH or "https://" in line


def test_a_page_has_the_known_deviations() -> None:
    """A user who meets a NaN finds the implementations that return it, the region and the upstream issue."""
    page = explained("support/zero-over-zero")
    assert "torch.nn.functional.kl_div" in page
    assert "p == 0 and log_q == -inf" in page
    assert "https://github.com/google-deepmind/optax/pull/1786" in page


def test_doctor_reports_why_a_framework_cannot_be_tested(tmp_path: Path) -> None:
    """A framework whose import fails is listed with the reason, beside the others that work."""
    fake = command.broken_frameworks(tmp_path / "fake", "torch", "jax")
    command.broken_frameworks(fake, "tensorflow", missing=True)
    done = command.run_cli("doctor", at=tmp_path, path=fake)
    assert done.code == 0, done.all
    assert f"kl-conformance {__version__}" in done.out
    assert "the reference can be trusted" in done.out
    for name in ("torch", "jax"):
        assert re.search(rf"^{name} +- +{name} fails to import .*lib{name}.so", done.out, re.MULTILINE)
    assert re.search(
        r"^tensorflow +- +tensorflow is not installed .*kl-conformance\[tensorflow\]", done.out, re.MULTILINE
    )
    assert re.search(r"^scipy +cpu +can be tested", done.out, re.MULTILINE)
