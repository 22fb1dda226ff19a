"""`bisect` tests each release in its own environment, keeps every result, and continues after an interruption."""

import json
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kl_conformance.cli.bisect import Releases, find_release, installed_beside, release_range
from kl_conformance.versions import environments, witness_file
from kl_conformance.versions.environments import Environment, InstallError, environment, suite_copy
from kl_conformance.versions.replay import ReplayRequest, ReplayResult, replay_all
from kl_conformance.versions.witness_file import WitnessFile
from kl_conformance_testkit.command import Capsys, run_cli
from kl_reports.comparison.change import Observation

Find = Callable[..., int]
RELEASES = ["1.0", "1.1", "1.2", "1.10", "2.0", "2.1"]
CHANGED_IN = "1.10"


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the file of a witness against SciPy's kl_div."""
    made = tmp_path_factory.mktemp("bisect")
    command = ("run", "scipy.special.kl_div", "--dtype", "float64", "--profile", "quick", "--seed", "1")
    assert run_cli(*command, "-k", "values and extreme", "-o", "run.jsonl.gz", at=made).code == 0
    file = made / "witness.json"
    file.write_text(witness_file.dumps(witness_file.load(str(made / "run.jsonl.gz"))), encoding="utf-8")
    return file


@dataclass
class FakeReleases:
    """Six releases of a package, bad from 1.10 on; 1.1 has no wheel."""

    installed: list[str] = field(default_factory=list[str])
    repaired: bool = False  # good from 1.10 on instead
    interrupted_at: int = 0  # the replay that is interrupted; 0 for none
    replays: int = 0

    @property
    def releases(self) -> Releases:
        """The functions that `bisect` calls."""
        return Releases(self.released, self.environment, self.replay_all)

    def released(self, package: str, *, early: bool) -> list[str]:
        """Return all six."""
        del package, early
        return RELEASES

    @contextmanager
    def environment(self, packages: Sequence[str], suite: Path) -> Generator[Environment]:
        """Note the installed release."""
        version = packages[0].partition("==")[2]
        self.installed.append(version)
        if version == "1.1":
            raise InstallError("ERROR: No matching distribution found for toy==1.1")
        yield Environment(suite, {"VERSION": version})

    def replay_all(
        self, requests: Sequence[ReplayRequest], interpreter: str, variables: dict[str, str]
    ) -> list[ReplayResult]:
        """Return the result of the release."""
        del requests, interpreter
        self.replays += 1
        if self.replays == self.interrupted_at:
            raise KeyboardInterrupt
        changed = RELEASES.index(variables["VERSION"]) >= RELEASES.index(CHANGED_IN)
        passed = changed is self.repaired
        return [ReplayResult(Observation.PASSED if passed else Observation.FAILED, "It is so.")]


@pytest.fixture
def fake() -> FakeReleases:
    """Return releases that need no package index."""
    return FakeReleases()


@pytest.fixture
def find(witness: Path, fake: FakeReleases, tmp_path: Path) -> Find:
    """Return a function that bisects the fake releases and returns the exit code."""
    state, output = tmp_path / "state.json", tmp_path / "result.md"

    def call(good: str = "1.0", bad: str = "2.1", *, every: bool = False) -> int:
        ends = str(witness), "scipy", good, bad
        return find_release(*ends, every=every, state=state, output=output, releases=fake.releases)

    return call


def test_the_transition_is_found_and_described(find: Find, fake: FakeReleases, tmp_path: Path, capsys: Capsys) -> None:
    """The result has the good and the bad release, the input in bits and a script."""
    assert find() == 0
    text = capsys.readouterr().out
    assert "# scipy.special.kl_div fails since scipy 1.10" in text
    assert "- scipy **1.2** is good" in text
    assert "- scipy **1.10** is bad" in text
    assert "(probability, 1) f64:" in text
    assert "import scipy.special" in text
    assert (tmp_path / "result.md").read_text(encoding="utf-8") == text
    assert fake.installed[:2] == ["1.0", "2.1"]


def test_a_fix_is_found_from_new_to_old(find: Find, fake: FakeReleases, capsys: Capsys) -> None:
    """The good end may be the newer one; then the title has the last bad release."""
    fake.repaired = True
    assert find(good="2.1", bad="1.0") == 0
    assert "# scipy.special.kl_div was bad up to scipy 1.2" in capsys.readouterr().out
    assert fake.installed[:2] == ["2.1", "1.0"]


def test_a_release_is_tested_once(find: Find, fake: FakeReleases) -> None:
    """The same command continues from the kept results; a release that could not be installed is tried again."""
    assert find(every=True) == 0
    assert sorted(fake.installed) == sorted(RELEASES)
    fake.installed.clear()
    assert find(every=True) == 0
    assert fake.installed == ["1.1"]


def test_an_interruption_loses_no_result(find: Find, fake: FakeReleases, tmp_path: Path, capsys: Capsys) -> None:
    """After an interruption the message names the next command, which continues from the kept results."""
    fake.interrupted_at = 3
    assert find() == 2
    assert "the same command continues from the results" in capsys.readouterr().err
    probes = json.loads((tmp_path / "state.json").read_text(encoding="utf-8"))["probes"]
    assert {version: each["outcome"] for version, each in probes.items()} == {"1.0": "good", "2.1": "bad"}
    before = len(fake.installed)
    assert find() == 0
    assert not {"1.0", "2.1"} & set(fake.installed[before:])


@pytest.mark.parametrize(
    ("good", "bad", "words"),
    [
        ("2.0", "1.0", "version 2.0 is bad, expected good"),
        ("1.0", "1.3", "version 1.3 is not among the releases"),
        ("1.0", "one", "'one' is not a version; known: 1.0"),
        ("1.0", "1.0", "the range is empty"),
    ],
)
def test_invalid_ends_are_refused(find: Find, capsys: Capsys, good: str, bad: str, words: str) -> None:
    """Both ends are tested first; the message about an unknown version names the nearest ones."""
    assert find(good=good, bad=bad) == 2
    assert words in capsys.readouterr().err


def test_the_state_of_another_bisection_is_refused(find: Find, tmp_path: Path, capsys: Capsys) -> None:
    """Results of one bisection are never used in another."""
    state = tmp_path / "state.json"
    state.write_text('{"about": {"witness": "another"}, "probes": {}}', encoding="utf-8")
    assert find() == 2
    assert "the state of another bisection" in capsys.readouterr().err
    state.write_text("[", encoding="utf-8")
    assert find() == 2
    assert "not the state of a bisection" in capsys.readouterr().err


def test_a_pinned_package_is_installed_once(witness: Path) -> None:
    """A package pinned by `--with` is not also installed without the pin, however the pin is written."""
    found = witness_file.load(str(witness))
    for pin in ("SciPy<1.12", "scipy == 1.11.4", "scipy~=1.11"):
        assert installed_beside("numpy", [pin], found) == [pin]
    assert installed_beside("numpy", [], found) == ["scipy"]


def test_releases_are_ordered_as_versions() -> None:
    """1.10 comes after 1.2, and the range runs from good to bad, whichever is older."""
    assert release_range(RELEASES, "1.2", "2.0") == ["1.2", "1.10", "2.0"]
    assert release_range(RELEASES, "2.0", "1.2") == ["2.0", "1.10", "1.2"]


def test_a_new_environment_has_the_requested_release(witness: Path) -> None:
    """An older release is installed and tested by this suite; skipped if no package index can be reached."""
    try:
        versions = environments.released("packaging")
    except InstallError as error:
        pytest.skip(f"no package index can be reached: {error}")
    assert "23.1" in versions
    recorded: WitnessFile = witness_file.load(str(witness))
    with suite_copy() as suite, environment(["packaging==23.1"], suite) as fresh:
        (result,) = replay_all([ReplayRequest(recorded)], str(fresh.python), fresh.variables)
        listed = [path.name for path in fresh.python.parents[1].glob("lib*/python*/site-packages/packaging*")]
    assert result.observation is Observation.FAILED, result.message
    assert "packaging-23.1.dist-info" in listed
    assert not fresh.python.exists()


def test_an_unknown_package_is_reported_by_the_installer() -> None:
    """The message is the last line of the installer."""
    with (
        suite_copy() as suite,
        pytest.raises(InstallError, match=r"(?i)error|no solution"),
        environment(["kl-conformance-no-such-package==1.0"], suite),
    ):
        pass
