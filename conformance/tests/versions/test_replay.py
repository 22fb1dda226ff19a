"""A witness is the same question wherever it is asked, and the answer is an exit code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kl_conformance.diagnosis.confirmation import ScriptResult as Shown
from kl_conformance.diagnosis.confirmation import execute
from kl_conformance.versions import witness_file
from kl_conformance.versions.replay import ReplayRequest, replay, replayed
from kl_conformance.versions.witness_file import WitnessError, WitnessFile
from kl_conformance_testkit.command import broken_frameworks, run_cli
from kl_reports.comparison.change import Observation
from kl_reports.runfile.file import read, write

CELL = "values/extreme@scipy.special.kl_div"
KERNELS = """
import os, signal
import numpy as np
import scipy.special

def right(p, q):
    return np.asarray(scipy.special.rel_entr(p, q))

def wrong(p, q):
    return np.full(np.broadcast_shapes(np.shape(p), np.shape(q)), np.nan, np.result_type(p, q))

def dying(p, q):
    os.kill(os.getpid(), signal.SIGSEGV)

times = []
def moody(p, q):
    times.append(1)
    return wrong(p, q) if len(times) % 2 else right(p, q)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run file in which SciPy's kl_div is broken as recorded, and some kernels."""
    made = tmp_path_factory.mktemp("replay")
    asked = ("run", "scipy.special.kl_div", "--dtype", "float64", "--profile", "quick", "--seed", "1")
    done = run_cli(*asked, "-k", "values and extreme", "-o", "run.jsonl.gz", at=made)
    assert done.code == 0, done.all
    (made / "kernels.py").write_text(KERNELS, encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def found(folder: Path) -> WitnessFile:
    """Return the witness in it."""
    return witness_file.load(str(folder / "run.jsonl.gz"))


def test_a_witness_is_broken_again_where_it_was_found(folder: Path) -> None:
    """Asked again of who broke it, it is broken, and 1 says so; so is the file it was kept in."""
    done = run_cli("replay", "run.jsonl.gz", "--keep", "witness.json", at=folder)
    assert done.code == 1, done.all
    assert "BROKEN: scipy.special.kl_div" in done.out
    assert "Next: kl-conformance bisect witness.json --package scipy" in done.out
    again = run_cli("replay", "witness.json", at=folder)
    assert again.code == 1, again.all


def test_a_witness_can_be_put_to_another(found: WitnessFile) -> None:
    """The same question, realised in another's Convention, is held by who is right."""
    answer = replay(ReplayRequest(found, on="scipy.special.rel_entr"))
    assert answer.seen is Observation.HELD
    assert answer.column is not None
    assert answer.column.implementation == "scipy.special.rel_entr"


@pytest.mark.parametrize(
    ("kernel", "seen", "words"),
    [
        ("right", Observation.HELD, "Held"),
        ("wrong", Observation.BROKEN, "gave nan"),
        ("dying", Observation.BROKEN, "signal 11 (SIGSEGV)"),
        ("moody", Observation.UNSTABLE, "gave nan"),
        ("absent", Observation.UNASKED, "no implementation named"),
    ],
)
def test_a_witness_can_be_put_to_a_kernel_of_yours(
    folder: Path, found: WitnessFile, kernel: str, seen: Observation, words: str
) -> None:
    """Right, wrong, deadly, moody or not there: each is said, and none takes the suite with it."""
    task = ReplayRequest(found, f"{folder / 'kernels.py'}:{kernel}", "scipy.special.rel_entr")
    after = ReplayRequest(found, on="scipy.special.rel_entr")
    answer, other = replayed([task, after])
    assert answer.seen is seen
    assert words in answer.words
    assert other.seen is Observation.HELD


def test_what_cannot_be_asked_is_125(folder: Path, tmp_path: Path) -> None:
    """A framework that is not installed is no answer: `git bisect run` skips such a commit."""
    without = broken_frameworks(tmp_path, "torch", missing=True)
    done = run_cli("replay", "run.jsonl.gz", "--on", "torch.nn.functional.kl_div", at=folder, path=without)
    assert done.code == 125, done.all
    assert "COULD NOT BE ASKED: torch is not installed" in done.out


def test_a_column_there_is_not_cannot_be_asked(found: WitnessFile) -> None:
    """SciPy knows no compiled calls."""
    answer = replay(ReplayRequest(replace(found, column=replace(found.column, mode="jit"))))
    assert answer.seen is Observation.UNASKED
    assert "has no column cpu float64 jit" in answer.words


def test_a_script_can_be_had(folder: Path) -> None:
    """`--emit` prints the script alone, and the script shows the failure."""
    done = run_cli("replay", "run.jsonl.gz", "--emit", "numpy", at=folder)
    assert done.code == 1, done.all
    assert execute(done.out) is Shown.FAILURE


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("run.jsonl.gz#values/extrem@scipy",), f"name one, such as run.jsonl.gz#{CELL}"),
        (("nowhere.json",), "nowhere.json: cannot be read: No such file"),
        (("kernels.py",), "not gzip-compressed"),
        (("run.jsonl.gz", "--on", "scipy.rel_entr"), "did you mean 'scipy.special.rel_entr'"),
        (("run.jsonl.gz", "--emit", "mojo"), "unknown library 'mojo'; known: torch, tensorflow, jax, numpy"),
        (("run.jsonl.gz", "--keep", "no/where.json"), "does not exist"),
    ],
)
def test_bad_use_is_one_sentence(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    """The value given and the values known, and 2."""
    done = run_cli("replay", *arguments, at=folder)
    assert done.code == 2, done.all
    assert words in done.err
    assert "Traceback" not in done.err


def test_a_witness_comes_back_as_it_was(found: WitnessFile) -> None:
    """Kept in a file and read again, it asks the same question of the same column."""
    back = witness_file.loads(witness_file.text(found), "here")
    assert back.pair.id == found.pair.id
    assert replace(back, pair=found.pair) == found


@pytest.mark.parametrize(
    "damage", ["[]", "{", '{"format": "other"}', '{"format": "kl-conformance-witness/2"}']
)
def test_what_is_no_witness_is_said_so(damage: str) -> None:
    """Damaged, foreign or of an earlier day: never another question."""
    with pytest.raises(WitnessError, match=r"here: (is no witness|keeps no question)"):
        witness_file.loads(damage, "here")


def test_a_witness_of_an_earlier_day_is_said_so(folder: Path, tmp_path: Path) -> None:
    """A run file whose witnesses keep no question says what to do."""
    run = read(folder / "run.jsonl.gz")
    plain = tuple(
        replace(each, witness={k: v for k, v in (each.witness or {}).items() if k != "question"} or None)
        for each in run.results
    )
    write(tmp_path / "old.jsonl.gz", replace(run, results=plain))
    with pytest.raises(WitnessError, match="run the cell again"):
        witness_file.load(str(tmp_path / "old.jsonl.gz"))


def test_a_question_asked_by_json_alone(found: WitnessFile) -> None:
    """Nothing in a witness file is a printed number: every float is its bits."""
    assert "NaN" not in json.dumps(json.loads(witness_file.text(found))["witness"]["question"])
