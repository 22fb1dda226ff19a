"""Started by pytest, in one process or several, the suite has the same cells, verdicts and run file."""

import gzip
import importlib.util
import json
import re
from pathlib import Path

import pytest

from kl_cases.recipes import TestProfile
from kl_conformance.runs.plan import evaluation_order, resolve
from kl_conformance.runs.selection import Selection
from kl_conformance.suite.options import check
from kl_conformance_testkit.command import CRASHING, DEFECTIVE, UNCATCHABLE, broken_frameworks, run_pytest, run_suite
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Run, Verdict

QUICK = ("--profile", "quick", "--dtype", "float32", "--run-file", "run.jsonl.gz")
EARLIER = b"an earlier run"
without_xdist = importlib.util.find_spec("xdist") is None
needs_xdist = pytest.mark.skipif(without_xdist, reason="pytest-xdist is not installed")


def recorded(folder: Path) -> dict[str, Verdict]:
    """Return the verdict of every cell in the run file of a folder."""
    return {each.cell: each.verdict for each in read(folder / "run.jsonl.gz").results}


@needs_xdist
def test_several_processes_have_the_results_of_one(tmp_path: Path) -> None:
    """With ``-n 2`` the run file is complete, and has the verdicts of a single process."""
    name = "scipy.special.rel_entr"
    found: list[Run] = []
    for processes in ("0", "2"):
        folder = tmp_path / processes
        folder.mkdir()
        done = run_suite("--implementation", name, "-k", "signs", "-n", processes, *QUICK, at=folder)
        assert done.code == 0, done.all
        found.append(read(folder / "run.jsonl.gz"))
    one, several = found
    assert one.finished is not None
    assert several.finished is not None
    assert sorted(one.header.planned) == sorted(several.header.planned)
    of_one, of_several = ({each.cell: each.verdict for each in run.results} for run in (one, several))
    assert of_one == of_several


def test_an_item_is_a_cell(tmp_path: Path) -> None:
    """``-k`` selects cells by name; verdicts become outcomes of pytest."""
    options = ("--implementation", "scipy.special.kl_div", "--dtype", "float64", "--profile", "quick")
    done = run_suite(*options, "-k", "values/pointwise or values/sum or values/extreme", "-rA", at=tmp_path)
    assert done.code == 0, done.all
    assert "PASSED" in done.out
    assert "test_requirements.py::test_values[values/pointwise@scipy.special.kl_div-" in done.out
    assert "UNSUPPORTED: offers no reduction" in done.out
    assert "XFAIL" in done.out
    assert "scipy-kl-div-ratio-range: " in done.out
    assert not list(tmp_path.glob("*.jsonl.gz"))


def test_one_requirement_is_evaluated_for_all_implementations_before_the_next(tmp_path: Path) -> None:
    """The header of the run file has the cells in the order of the plan."""
    names = ("scipy.special.kl_div", "scipy.special.rel_entr")
    selection = Selection(names, dtypes=("float64", "float32"), profile=TestProfile.QUICK)
    dtypes = ("--dtype=float64", "--dtype=float32")
    options = (*dtypes, "-k", "signs/", "--profile=quick", "--run-file=run.jsonl.gz")
    done = run_suite(*(f"--implementation={name}" for name in names), *options, at=tmp_path)
    assert done.code == 0, done.all
    run = read(tmp_path / "run.jsonl.gz")
    lines = gzip.decompress((tmp_path / "run.jsonl.gz").read_bytes()).decode().splitlines()
    planned = resolve(selection).chapter("signs")
    assert run.header.planned == tuple(cell.key for cell in planned)
    rows = map(json.loads, lines)
    order = evaluation_order(planned)
    started = [row["cell"] for row in rows if row["kind"] == "started"]
    assert started == [cell.key for cell in order]
    evaluated = [
        (cell.column.dtype, cell.requirement.id, cell.implementation.name) for cell in evaluation_order(planned)
    ]
    assert [each[2] for each in evaluated] == [*names] * (len(planned) // 2)
    assert all(one[:2] == other[:2] for one, other in zip(evaluated[::2], evaluated[1::2], strict=True))


def test_a_defective_kernel_fails_its_items(tmp_path: Path) -> None:
    """A FAIL is a failed item with the requirement's sentence and the numbers, without a traceback."""
    done = run_suite("--implementation", DEFECTIVE, "-k", "values/batch or values/sum", *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    assert "The mean over rows is within its tolerance." in done.out
    assert "FAIL: defective_kl(" in done.out
    assert "Traceback" not in done.out
    assert sorted(verdict.name for verdict in recorded(tmp_path).values()) == ["FAIL", "PASS"]


@needs_xdist
def test_a_process_that_crashes_among_several_is_replaced(tmp_path: Path) -> None:
    """With pytest-xdist the cell of the crash is CRASHED, and no other cell is lost."""
    done = run_suite("--implementation", CRASHING, "-k", "values", "-n", "1", *QUICK, at=tmp_path)
    assert done.code == 1, done.all
    found = recorded(tmp_path)
    planned = resolve(Selection((CRASHING,), dtypes=("float32",))).chapter("values")
    assert found.keys() == {cell.key for cell in planned}
    assert {Verdict.PASS, Verdict.CRASHED} <= set(found.values())
    assert Verdict.MISSING not in found.values()


def test_a_failure_of_the_harness_ends_with_3(tmp_path: Path) -> None:
    """It is UNDECIDED, not a failure of the implementation."""
    done = run_suite("--implementation", UNCATCHABLE, "-k", "values/sum", *QUICK, at=tmp_path)
    assert done.code == 3, done.all
    assert list(recorded(tmp_path).values()) == [Verdict.UNDECIDED]


@pytest.mark.parametrize(
    ("selection", "message"),
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
        (Selection(frameworks=("scipy",), devices=("cuda",)), "can be tested on cpu in float64, float32"),
        (Selection(), "torch, tensorflow, jax, paddle, tfp, mlx, tinygrad would share one process"),
        (Selection(frameworks=("jax", "torch")), "torch, jax would share one process"),
    ],
    ids=range(9),
)
def test_a_selection_that_one_process_cannot_test_is_an_error_of_usage(selection: Selection, message: str) -> None:
    """Unknown names, an empty selection, and frameworks that must not share a process are errors of usage."""
    with pytest.raises(pytest.UsageError, match=re.escape(message)):
        check(selection)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--framework nope", "ERROR: unknown framework 'nope'"),
        ("--framework scipy --profile nope", "ERROR: unknown profile 'nope'; known: quick, standard, thorough"),
        ("--framework scipy --run-file folder", "ERROR: folder: cannot be written: it is a folder"),
        pytest.param("--framework nope -n 2", "ERROR: unknown framework 'nope'", marks=needs_xdist),
    ],
)
def test_an_error_of_usage_is_one_message_and_keeps_an_earlier_run(
    tmp_path: Path, arguments: str, message: str
) -> None:
    """An error in the options ends with exit code 4 before anything is evaluated or overwritten."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "run.jsonl.gz").write_bytes(EARLIER)
    done = run_suite("--run-file", "run.jsonl.gz", *arguments.split(), at=tmp_path)
    assert done.code == 4, done.all
    assert message in done.err
    assert "Traceback" not in done.all
    assert (tmp_path / "run.jsonl.gz").read_bytes() == EARLIER


@pytest.mark.parametrize("several", [(), pytest.param(("-n", "1"), marks=needs_xdist)], ids=["one", "several"])
def test_a_selected_framework_that_cannot_be_imported_is_an_error_of_usage(
    tmp_path: Path, several: tuple[str, ...]
) -> None:
    """The exit code is 4, and an earlier run file is kept."""
    fake = broken_frameworks(tmp_path / "fake", "torch")
    (tmp_path / "run.jsonl.gz").write_bytes(EARLIER)
    done = run_suite("--framework", "torch", "-k", "values/sum", *several, *QUICK, at=tmp_path, path=fake)
    assert done.code == 4, done.all
    assert "torch fails to import (ImportError: libtorch.so" in done.err
    assert (tmp_path / "run.jsonl.gz").read_bytes() == EARLIER


def test_a_framework_may_be_tested_only_if_it_is_installed(tmp_path: Path) -> None:
    """With ``--if-installed`` the cells of a framework that fails to import are MISSING, which is no failure."""
    fake = broken_frameworks(tmp_path / "fake", "torch")
    options = ("--framework", "torch", "--if-installed", "-k", "values/sum")
    done = run_suite(*options, *QUICK, at=tmp_path, path=fake)
    assert done.code == 0, done.all
    assert set(recorded(tmp_path).values()) == {Verdict.MISSING}


def test_other_sessions_keep_their_options(tmp_path: Path) -> None:
    """Other test suites of a machine may have options named ``--device`` or ``--profile``."""
    (tmp_path / "conftest.py").write_text(
        "def pytest_addoption(parser):\n"
        "    for name in ('--device', '--profile', '--dtype', '--mode', '--framework'):\n"
        "        parser.addoption(name, default='other')\n",
        encoding="utf-8",
    )
    (tmp_path / "test_other.py").write_text(
        "def test_other(request):\n    assert request.config.getoption('--device') == 'gpu'\n", encoding="utf-8"
    )
    done = run_pytest("--device", "gpu", "test_other.py", at=tmp_path)
    assert done.code == 0, done.all
