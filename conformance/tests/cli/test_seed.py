"""The seed of a run: the option, else the environment variable; one seed for all tox environments."""

from configparser import ConfigParser
from pathlib import Path

import pytest

from kl_conformance_testkit.command import run_cli
from kl_reports.runfile.file import read

ROOT = next(folder for folder in Path(__file__).parents if (folder / "tox.ini").is_file())
VARIABLE = "KL_CONFORMANCE_SEED"
SELECTED = ("scipy.special.rel_entr", "-k", "errors/wrong-type", "--dtype", "float32")


@pytest.mark.parametrize(("options", "seed"), [((), 11), (("--seed", "12"), 12)])
def test_the_variable_is_the_default_of_the_option(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], seed: int
) -> None:
    """Without ``--seed`` a run has the seed of the environment variable; the option overrides it."""
    monkeypatch.setenv(VARIABLE, "11")
    done = run_cli("run", *SELECTED, "-o", "run.jsonl.gz", *options, at=tmp_path)
    assert read(tmp_path / "run.jsonl.gz").header.seed == seed, done.all


@pytest.mark.parametrize("command", ["run", "verify kernel.py:kl --like scipy.special.rel_entr"])
def test_an_invalid_seed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    """A wrong value is named with its option, before anything is called."""
    monkeypatch.setenv(VARIABLE, "eleven")
    done = run_cli(*command.split(), at=tmp_path)
    assert done.code in {2, 4}
    assert "'--seed'" in done.err
    assert "'eleven'" in done.err


def test_every_run_of_tox_has_one_seed() -> None:
    """Every environment that writes a run file inherits the seed, so that `report` merges runs of one seed."""
    tox = ConfigParser(interpolation=None)
    tox.read(ROOT / "tox.ini", encoding="utf-8")
    assert f"{VARIABLE} = " in tox["testenv"]["set_env"]
    named = (name for name in tox.sections() if name.startswith("testenv:"))
    runs = [name for name in named if "kl-conformance run" in tox[name]["commands"]]
    assert len(runs) >= 8
    for name in runs:
        assert "{[testenv]set_env}" in tox[name].get("set_env", "{[testenv]set_env}"), name
        assert "--seed" not in tox[name]["commands"], name
