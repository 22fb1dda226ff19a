"""`bisect` asks each release in an environment of its own, keeps every answer, and goes on where it was ended."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from kl_conformance.cli import bisect
from kl_conformance.cli.bisect import BisectOptions, between, execute
from kl_conformance.versions import environments, witness_file
from kl_conformance.versions.environments import Environment, InstallError, environment, suite_copy
from kl_conformance.versions.replay import ReplayRequest, ReplayResult, replay_all
from kl_conformance.versions.witness_file import WitnessFile
from kl_conformance_testkit.command import run_cli
from kl_reports.comparison.change import Observation

RELEASES = ["1.0", "1.1", "1.2", "1.10", "2.0", "2.1"]
TURNS_AT = "1.10"


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a witness against SciPy's kl_div."""
    made = tmp_path_factory.mktemp("bisect")
    asked = ("run", "scipy.special.kl_div", "--dtype", "float64", "--profile", "quick", "--seed", "1")
    assert run_cli(*asked, "-k", "values and extreme", "-o", "run.jsonl.gz", at=made).code == 0
    file = made / "witness.json"
    file.write_text(witness_file.dumps(witness_file.load(str(made / "run.jsonl.gz"))), encoding="utf-8")
    return file


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let releases be made up: broken from 1.10 on, and 1.1 has no wheel. Returns what was installed."""
    installed = list[str]()

    def released(package: str, *, prereleases: bool = False) -> list[str]:
        del package, prereleases
        return RELEASES

    @contextmanager
    def made(packages: Sequence[str], suite: Path) -> Generator[Environment]:
        version = packages[0].partition("==")[2]
        installed.append(version)
        if version == "1.1":
            raise InstallError("ERROR: No matching distribution found for toy==1.1")
        yield Environment(suite, {"VERSION": version})

    def answered(
        tasks: Sequence[ReplayRequest], interpreter: str, variables: dict[str, str]
    ) -> list[ReplayResult]:
        del tasks, interpreter
        bad = RELEASES.index(variables["VERSION"]) >= RELEASES.index(TURNS_AT)
        return [ReplayResult(Observation.FAILED if bad else Observation.PASSED, "It is so.")]

    monkeypatch.setattr(bisect, "released", released)
    monkeypatch.setattr(bisect, "environment", made)
    monkeypatch.setattr(bisect, "replay_all", answered)
    return installed


def request(
    witness: Path, folder: Path, good: str = "1.0", bad: str = "2.1", *, every: bool = False
) -> BisectOptions:
    """Return what is asked on the command line."""
    state = folder / "state.json"
    return BisectOptions(
        str(witness), "scipy", good, bad, every=every, state=state, output=folder / "told.md"
    )


def test_the_turn_is_found_and_told(
    witness: Path, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which release is good, which is bad, the input in bits, a script, and what was asked."""
    assert execute(request(witness, tmp_path)) == 0
    told = capsys.readouterr().out
    assert "# scipy.special.kl_div is broken since scipy 1.10" in told
    assert "- scipy **1.2** is good" in told
    assert "- scipy **1.10** is bad" in told
    assert " f64:" in told
    assert "import scipy.special" in told
    assert (tmp_path / "told.md").read_text(encoding="utf-8") == told
    assert asked[:2] == ["1.0", "2.1"]


def test_a_fix_is_found_by_asking_from_new_to_old(
    witness: Path,
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The good end may be the newer one; then the title says up to which release it was bad."""
    plain = vars(bisect)["replay_all"]

    def mended(*arguments: object) -> list[ReplayResult]:
        (answer,) = plain(*arguments)
        return [
            replace(
                answer,
                observation=Observation.PASSED
                if answer.observation is Observation.FAILED
                else Observation.FAILED,
            )
        ]

    monkeypatch.setattr(bisect, "replay_all", mended)
    assert execute(request(witness, tmp_path, good="2.1", bad="1.0")) == 0
    assert "# scipy.special.kl_div was bad up to scipy 1.2" in capsys.readouterr().out
    assert asked[:2] == ["2.1", "1.0"]


def test_what_was_asked_is_not_asked_again(witness: Path, asked: list[str], tmp_path: Path) -> None:
    """The same command goes on from what is kept; what could not be installed is tried again."""
    assert execute(request(witness, tmp_path, every=True)) == 0
    assert sorted(asked) == sorted(RELEASES)
    asked.clear()
    assert execute(request(witness, tmp_path, every=True)) == 0
    assert asked == ["1.1"]


def test_an_interruption_loses_nothing(
    witness: Path,
    asked: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ended in the middle, it says how to go on, and what was known is known."""
    plain = vars(bisect)["replay_all"]
    calls = list[int]()

    def ends(*arguments: object) -> list[ReplayResult]:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        given: list[ReplayResult] = plain(*arguments)
        return given

    monkeypatch.setattr(bisect, "replay_all", ends)
    assert execute(request(witness, tmp_path)) == 2
    assert "the same command goes on from there" in capsys.readouterr().err
    kept_ = json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))["probes"]
    assert {version: each["outcome"] for version, each in kept_.items()} == {"1.0": "good", "2.1": "bad"}
    before = len(asked)
    assert execute(request(witness, tmp_path)) == 0
    assert not {"1.0", "2.1"} & set(asked[before:])


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("2.0", "1.0", "version 2.0 is bad, expected good"),
        ("1.0", "1.3", "version 1.3 is not among the releases"),
        ("1.0", "one", "'one' is no version; known: 1.0"),
        ("1.0", "1.0", "nothing lies between them"),
    ],
)
def test_ends_that_are_none_are_said_so(
    witness: Path,
    asked: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    good: str,
    bad: str,
    words: str,
) -> None:
    """Both ends are asked first, and a version nobody released names those near it."""
    del asked
    assert execute(request(witness, tmp_path, good, bad)) == 2
    assert words in capsys.readouterr().err


def test_the_state_of_another_bisection_is_left_alone(
    witness: Path, asked: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Answers to one question are never taken for answers to another."""
    del asked
    state = tmp_path / "state.json"
    state.write_text('{"about": {"witness": "another"}, "probes": {}}', encoding="utf-8")
    assert execute(request(witness, tmp_path)) == 2
    assert "is the state of another bisection" in capsys.readouterr().err
    state.write_text("[", encoding="utf-8")
    assert execute(request(witness, tmp_path)) == 2
    assert "is no state of a bisection" in capsys.readouterr().err


def test_what_is_installed_beside_is_named_once(witness: Path) -> None:
    """A package pinned by `--with` is not asked for a second time without its pin, however the pin is written."""
    found = witness_file.load(str(witness))
    for pin in ("SciPy<1.12", "scipy == 1.11.4", "scipy~=1.11"):
        asked = BisectOptions(str(witness), "numpy", "1.26.0", "1.26.4", beside=(pin,))
        assert bisect.beside(asked, found) == [pin]
    assert bisect.beside(BisectOptions(str(witness), "numpy", "1.26.0", "1.26.4"), found) == ["scipy"]


def test_releases_are_ordered_as_versions() -> None:
    """1.10 comes after 1.2, and the range runs from good to bad, whichever is older."""
    assert between(RELEASES, "1.2", "2.0") == ["1.2", "1.10", "2.0"]
    assert between(RELEASES, "2.0", "1.2") == ["2.0", "1.10", "1.2"]


def test_a_fresh_environment_has_what_it_was_asked_for(witness: Path) -> None:
    """An older release is installed, and asked by this very suite; where no index is in reach this is skipped."""
    try:
        versions = environments.released("packaging")
    except InstallError as error:
        pytest.skip(f"no package index is in reach: {error}")
    assert "23.1" in versions
    asked: WitnessFile = witness_file.load(str(witness))
    with suite_copy() as suite, environment(["packaging==23.1"], suite) as fresh:
        (answer,) = replay_all([ReplayRequest(asked)], str(fresh.python), fresh.variables)
        listed = [path.name for path in fresh.python.parents[1].glob("lib*/python*/site-packages/packaging*")]
    assert answer.observation is Observation.FAILED, answer.message
    assert "packaging-23.1.dist-info" in listed
    assert not fresh.python.exists()


def test_a_release_that_is_none_is_an_error_in_words() -> None:
    """The installer's own last word, and no traceback."""
    with (
        suite_copy() as suite,
        pytest.raises(InstallError, match=r"(?i)error|no solution"),
        environment(["kl-conformance-no-such-package==1.0"], suite),
    ):
        pass
