"""A witness is the same test wherever it is replayed, and the result is an exit code."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kl_conformance.diagnosis.confirmation import ScriptResult, execute
from kl_conformance.versions import witness_file
from kl_conformance.versions.replay import ReplayRequest, replay, replay_all
from kl_conformance.versions.witness_file import WitnessError, WitnessFile
from kl_conformance_testkit.command import broken_frameworks, run_cli
from kl_reports.comparison.change import Observation
from kl_reports.runfile.file import read, write

CELL = "values/extreme@scipy.special.kl_div"
KERNELS = """
import os, signal
import numpy as np
import scipy.special

def correct(p, q):
    return np.asarray(scipy.special.rel_entr(p, q))

def defective(p, q):
    return np.full(np.broadcast_shapes(np.shape(p), np.shape(q)), np.nan, np.result_type(p, q))

def crashing(p, q):
    os.kill(os.getpid(), signal.SIGSEGV)

times = []
def unstable(p, q):
    times.append(1)
    return defective(p, q) if len(times) % 2 else correct(p, q)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with some kernels and a run file in which SciPy's kl_div has its known deviation."""
    made = tmp_path_factory.mktemp("replay")
    command = ("run", "scipy.special.kl_div", "--dtype", "float64", "--profile", "quick", "--seed", "1")
    done = run_cli(*command, "-k", "values and extreme", "-o", "run.jsonl.gz", at=made)
    assert done.code == 0, done.all
    (made / "kernels.py").write_text(KERNELS, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> WitnessFile:
    """Return the witness in that run file."""
    return witness_file.load(str(folder / "run.jsonl.gz"))


def test_a_witness_fails_again_where_it_was_found(folder: Path) -> None:
    """Replayed on the same implementation a witness fails with exit code 1, from a run file and from a witness file."""
    done = run_cli("replay", "run.jsonl.gz", "--keep", "witness.json", at=folder)
    assert done.code == 1, done.all
    assert "FAILED: scipy.special.kl_div" in done.out
    assert "Next: kl-conformance bisect witness.json --package scipy" in done.out
    again = run_cli("replay", "witness.json", at=folder)
    assert again.code == 1, again.all


def test_a_witness_can_be_replayed_on_another_implementation(found: WitnessFile) -> None:
    """A correct implementation of another convention passes the same witness."""
    answer = replay(ReplayRequest(found, implementation="scipy.special.rel_entr"))
    assert answer.observation is Observation.PASSED
    assert answer.column is not None
    assert answer.column.implementation == "scipy.special.rel_entr"


@pytest.mark.parametrize(
    ("kernel", "observation", "message"),
    [
        ("correct", Observation.PASSED, "Passed"),
        ("defective", Observation.FAILED, "nan"),
        ("crashing", Observation.FAILED, "signal 11 (SIGSEGV)"),
        ("unstable", Observation.UNSTABLE, "nan"),
        ("absent", Observation.NOT_TESTED, "no implementation named"),
    ],
)
def test_a_witness_can_be_replayed_on_a_user_kernel(
    folder: Path, found: WitnessFile, kernel: str, observation: Observation, message: str
) -> None:
    """Correct, defective, crashing, unstable or absent: each has its result, and none ends the suite."""
    task = ReplayRequest(found, f"{folder / 'kernels.py'}:{kernel}", "scipy.special.rel_entr")
    after = ReplayRequest(found, implementation="scipy.special.rel_entr")
    answer, other = replay_all([task, after])
    assert answer.observation is observation
    assert message in answer.message
    assert other.observation is Observation.PASSED


def test_a_witness_that_cannot_be_tested_is_125(folder: Path, tmp_path: Path) -> None:
    """If the framework is not installed, the exit code is 125: `git bisect run` skips such a commit."""
    without = broken_frameworks(tmp_path, "torch", missing=True)
    done = run_cli("replay", "run.jsonl.gz", "--on", "torch.nn.functional.kl_div", at=folder, path=without)
    assert done.code == 125, done.all
    assert "NOT TESTED: torch is not installed" in done.out


def test_a_column_that_does_not_exist_is_not_tested(found: WitnessFile) -> None:
    """SciPy has no compiled calls."""
    answer = replay(ReplayRequest(replace(found, column=replace(found.column, mode="jit"))))
    assert answer.observation is Observation.NOT_TESTED
    assert "has no column cpu float64 jit" in answer.message


def test_a_script_can_be_printed(folder: Path) -> None:
    """`--emit` prints the script alone, and the script shows the failure."""
    done = run_cli("replay", "run.jsonl.gz", "--emit", "numpy", at=folder)
    assert done.code == 1, done.all
    assert execute(done.out) is ScriptResult.FAILURE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run.jsonl.gz#values/extrem@scipy",), f"name one, such as run.jsonl.gz#{CELL}"),
        (("nowhere.json",), "nowhere.json cannot be read: No such file"),
        (("kernels.py",), "not gzip-compressed"),
        (("run.jsonl.gz", "--on", "scipy.rel_entr"), "did you mean 'scipy.special.rel_entr'"),
        (("run.jsonl.gz", "--emit", "mojo"), "unknown library 'mojo'; known: torch, tensorflow, jax, numpy"),
        (("run.jsonl.gz", "--keep", "no/where.json"), "does not exist"),
    ],
)
def test_bad_usage_is_one_sentence(folder: Path, arguments: tuple[str, ...], message: str) -> None:
    """The message has the value given and the known values, and the exit code is 2."""
    done = run_cli("replay", *arguments, at=folder)
    assert done.code == 2, done.all
    assert message in done.err
    assert "Traceback" not in done.err


def test_a_witness_file_is_read_as_it_was_written(found: WitnessFile) -> None:
    """Written and read again, a witness has the same inputs and the same column."""
    back = witness_file.loads(witness_file.dumps(found), "w.json")
    assert back.pair.id == found.pair.id
    assert replace(back, pair=found.pair) == found


@pytest.mark.parametrize("damage", ["[]", "{", '{"format": "other"}', '{"format": "kl-conformance-witness/2"}'])
def test_a_damaged_witness_file_is_an_error(damage: str) -> None:
    """A damaged file or another format is never read as other inputs."""
    with pytest.raises(WitnessError, match=r"w.json (is no witness file|has no inputs)"):
        witness_file.loads(damage, "w.json")


def test_a_witness_without_inputs_is_an_error(folder: Path, tmp_path: Path) -> None:
    """If the witnesses of a run file have no inputs, the message has the next step."""
    run = read(folder / "run.jsonl.gz")
    plain = tuple(
        replace(each, witness={k: v for k, v in (each.witness or {}).items() if k != "question"} or None)
        for each in run.results
    )
    write(tmp_path / "old.jsonl.gz", replace(run, results=plain))
    with pytest.raises(WitnessError, match="run the cell again"):
        witness_file.load(str(tmp_path / "old.jsonl.gz"))


def test_a_witness_file_has_no_decimal_numbers(found: WitnessFile) -> None:
    """Every float in a witness file is written as its bits."""
    assert "NaN" not in json.dumps(json.loads(witness_file.dumps(found))["witness"]["question"])
