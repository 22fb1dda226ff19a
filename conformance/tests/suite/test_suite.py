"""The suite asked by pytest itself, in one process or several: same cells, same verdicts, same run file."""

from __future__ import annotations

import gzip
import importlib.util
import json
import re
from pathlib import Path

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.runs.plan import in_turn, resolve
from kl_conformance.runs.selection import Selection
from kl_conformance.suite.options import check
from kl_conformance_testkit.command import BROKEN, DYING, RUDE, broken_frameworks, run_pytest, run_suite
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Run, Verdict

QUICK = ("--profile", "quick", "--dtype", "float32", "--run-file", "run.jsonl.gz")
EARLIER = b"an earlier run"
needs_xdist = pytest.mark.skipif(
    importlib.util.find_spec("xdist") is None, reason="pytest-xdist is not installed"
)


def recorded(folder: Path) -> dict[str, Verdict]:
    """Return the verdict of every cell in the run file of a folder."""
    return {each.cell: each.verdict for each in read(folder / "run.jsonl.gz").results}


@needs_xdist
def test_several_processes_write_what_one_does(tmp_path: Path) -> None:
    """With ``-n 2`` the run file is complete, and says what a single process says."""
    asked = "scipy.special.rel_entr"
    found: list[Run] = []
    for processes in ("0", "2"):
        folder = tmp_path / processes
        folder.mkdir()
        done = run_suite("--implementation", asked, "-k", "signs", "-n", processes, *QUICK, at=folder)
        assert done.code == 0, done.all
        found.append(read(folder / "run.jsonl.gz"))
    one, several = found
    assert one.finished is not None
    assert several.finished is not None
    assert sorted(one.header.planned) == sorted(several.header.planned)
    assert {each.cell: each.verdict for each in one.results} == {
        each.cell: each.verdict for each in several.results
    }


def test_an_item_is_a_cell(tmp_path: Path) -> None:
    """``-k`` chooses cells by their names; verdicts become outcomes people know."""
    options = ("--implementation", "scipy.special.kl_div", "--dtype", "float64", "--profile", "quick")
    done = run_suite(*options, "-k", "values/pointwise or values/sum or values/extreme", "-rA", at=tmp_path)
    assert done.code == 0, done.all
    assert "PASSED" in done.out
    assert "test_requirements.py::test_values[values/pointwise@scipy.special.kl_div-" in done.out
    assert "UNSUPPORTED: offers no reduction" in done.out
    assert "XFAIL" in done.out
    assert "scipy-kl-div-ratio-range: " in done.out
    assert not list(tmp_path.glob("*.jsonl.gz"))


def test_everybody_is_asked_one_requirement_before_the_next(tmp_path: Path) -> None:
    """What is asked of all is asked of one after the other; the file says the cells in the order of the plan."""
    names = ("scipy.special.kl_div", "scipy.special.rel_entr")
    asked = Selection(names, dtypes=("float64", "float32"), profile=TestProfile.QUICK)
    alike = (
        "--dtype=float64",
        "--dtype=float32",
        "-k",
        "signs/",
        "--profile=quick",
        "--run-file=run.jsonl.gz",
    )
    done = run_suite(*(f"--implementation={name}" for name in names), *alike, at=tmp_path)
    assert done.code == 0, done.all
    run = read(tmp_path / "run.jsonl.gz")
    lines = gzip.decompress((tmp_path / "run.jsonl.gz").read_bytes()).decode().splitlines()
    planned = resolve(asked).chapter("signs")
    assert run.header.planned == tuple(cell.key for cell in planned)
    rows = map(json.loads, lines)
    started = [row["cell"] for row in rows if row["kind"] == "started"]
    assert started == [cell.key for cell in in_turn(planned)]
    turns = [(cell.column.dtype, cell.requirement.id, cell.implementation.name) for cell in in_turn(planned)]
    assert [turn[2] for turn in turns] == [*names] * (len(planned) // 2)
    assert all(one[:2] == other[:2] for one, other in zip(turns[::2], turns[1::2], strict=True))


def test_a_broken_kernel_fails_its_items(tmp_path: Path) -> None:
    """A FAIL is a failed item that says the requirement's sentence and the numbers, without a traceback."""
    done = run_suite("--implementation", BROKEN, "-k", "values/batch or values/sum", *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    assert "The mean over rows is within its tolerance." in done.out
    assert "FAIL: broken_kl(" in done.out
    assert "Traceback" not in done.out
    assert sorted(verdict.name for verdict in recorded(tmp_path).values()) == ["FAIL", "PASS"]


@needs_xdist
def test_a_process_that_dies_among_several_is_replaced(tmp_path: Path) -> None:
    """With pytest-xdist the cell a dead process was asking is CRASHED, and no other cell is lost."""
    done = run_suite("--implementation", DYING, "-k", "values", "-n", "1", *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    found = recorded(tmp_path)
    planned = resolve(Selection((DYING,), dtypes=("float32",))).chapter("values")
    assert found.keys() == {cell.key for cell in planned}
    assert {Verdict.PASS, Verdict.CRASHED} <= set(found.values())
    assert Verdict.MISSING not in found.values()


def test_a_failure_of_the_harness_ends_with_3(tmp_path: Path) -> None:
    """What the harness cannot handle is not laid at the implementation's door."""
    done = run_suite("--implementation", RUDE, "-k", "values/sum", *QUICK, at=tmp_path)
    assert done.code == 3, done.all
    assert list(recorded(tmp_path).values()) == [Verdict.UNDECIDED]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (
            Selection(frameworks=("nope",)),
            "unknown framework 'nope'; known: torch, tensorflow, jax, scipy, paddle, tfp, mlx, tinygrad, numpy",
        ),
        (Selection(implementations=("nope",)), "unknown implementation 'nope'; known: torch.nn.functional"),
        (Selection(implementations=("nope.py:X",)), "'nope.py' cannot be imported: there is no such file"),
        (Selection(dtypes=("nope",)), "unknown dtype 'nope'; known: float64, float32, float16, bfloat16"),
        (Selection(devices=("nope",)), "unknown device 'nope'; known: cpu, cuda"),
        (Selection(modes=("nope",)), "unknown mode 'nope'; known: eager"),
        (Selection(frameworks=("scipy",), devices=("cuda",)), "can be asked on cpu in float64, float32"),
        (Selection(), "torch, tensorflow, jax, paddle, tfp, mlx, tinygrad would share one process"),
        (Selection(frameworks=("jax", "torch")), "torch, jax would share one process"),
    ],
    ids=range(9),
)
def test_what_one_process_cannot_ask_is_refused(asked: Selection, words: str) -> None:
    """A name nobody bears, a choice of nobody, and frameworks that must not meet are errors of use."""
    with pytest.raises(pytest.UsageError, match=re.escape(words)):
        check(asked)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--framework nope", "ERROR: unknown framework 'nope'"),
        (
            "--framework scipy --profile nope",
            "ERROR: unknown profile 'nope'; known: quick, standard, thorough",
        ),
        ("--framework scipy --run-file there", "ERROR: there: cannot be written: it is a folder"),
        pytest.param("--framework nope -n 2", "ERROR: unknown framework 'nope'", marks=needs_xdist),
    ],
)
def test_a_mistake_is_one_message_and_costs_no_earlier_run(
    tmp_path: Path, arguments: str, words: str
) -> None:
    """A mistake in the options ends with pytest's 4 before anything is asked or overwritten."""
    (tmp_path / "there").mkdir()
    (tmp_path / "run.jsonl.gz").write_bytes(EARLIER)
    done = run_suite("--run-file", "run.jsonl.gz", *arguments.split(), at=tmp_path)
    assert done.code == 4, done.all
    assert words in done.err
    assert "Traceback" not in done.all
    assert (tmp_path / "run.jsonl.gz").read_bytes() == EARLIER


@pytest.mark.parametrize(
    "several", [(), pytest.param(("-n", "1"), marks=needs_xdist)], ids=["one", "several"]
)
def test_a_framework_asked_by_name_that_is_not_there_is_an_error_of_use(
    tmp_path: Path, several: tuple[str, ...]
) -> None:
    """Asked by name, a framework that fails to import ends with 4 and costs no earlier run."""
    fake = broken_frameworks(tmp_path / "fake", "torch")
    (tmp_path / "run.jsonl.gz").write_bytes(EARLIER)
    done = run_suite("--framework", "torch", "-k", "values/sum", *several, *QUICK, at=tmp_path, path=fake)
    assert done.code == 4, done.all
    assert "torch fails to import (ImportError: libtorch.so" in done.err
    assert (tmp_path / "run.jsonl.gz").read_bytes() == EARLIER


def test_a_framework_may_be_asked_only_if_it_is_there(tmp_path: Path) -> None:
    """With ``--if-installed`` a framework that fails to import is MISSING, and that is no failure."""
    fake = broken_frameworks(tmp_path / "fake", "torch")
    options = ("--framework", "torch", "--if-installed", "-k", "values/sum")
    done = run_suite(*options, *QUICK, at=tmp_path, path=fake)
    assert done.code == 0, done.all
    assert set(recorded(tmp_path).values()) == {Verdict.MISSING}


def test_other_sessions_keep_their_options(tmp_path: Path) -> None:
    """A machine's other test suites may call their options ``--device`` or ``--profile``."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n"
        "    for name in ('--device', '--profile', '--dtype', '--mode', '--framework'):\n"
        "        parser.addoption(name, default='theirs')\n",
        encoding="utf-8",
    )
    (tmp_path / "test_theirs.py").write_text(
        "def test_theirs(request):\n    assert request.config.getoption('--device') == 'gpu'\n",
        encoding="utf-8",
    )
    done = run_pytest("--device", "gpu", "test_theirs.py", at=tmp_path)
    assert done.code == 0, done.all
