"""What `run` cannot do is said in one message, before any work is done, and costs nothing already recorded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

import pytest

from kl_conformance.cli import run as run_command
from kl_conformance.cli.run import RunOptions
from kl_conformance.implementations.registry import FRAMEWORKS, IMPLEMENTATIONS
from kl_conformance.runs.worker import NOTHING, USAGE
from kl_conformance_testkit.command import CORRECT, DEFECTIVE

DECLARED = """\
from kl_conformance.implementation import Implementation
from kl_reference import Convention, Reduction
OWN = Implementation(
    name={name}, framework={framework}, package="numpy", convention={convention}, call={call}, dtypes={dtypes}
)
"""
SOUND = {
    "name": "'own'",
    "framework": "'numpy'",
    "convention": "Convention()",
    "call": "print",
    "dtypes": "()",
}


class Refused(Protocol):
    """Runs a request that must be refused with a code; returns the message."""

    def __call__(self, code: int = USAGE, output: str = "run.jsonl.gz", **asked: Any) -> str:
        """Run it."""
        ...


def _files(folder: Path) -> dict[Path, int]:
    """Return every file of a folder with its time; what Python compiles for itself is nobody's."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Demand that a request is refused in one line and leaves every file as it was."""
    monkeypatch.chdir(tmp_path)

    def run(code: int = USAGE, output: str = "run.jsonl.gz", **asked: Any) -> str:
        before = _files(tmp_path)
        fields: dict[str, Any] = {"profile": "quick", **asked}
        assert run_command.run(RunOptions(output=Path(output), **fields)) == code
        out, err = capsys.readouterr()
        assert not out
        assert err.startswith("kl-conformance run: ")
        assert err.count("\n") == 1
        assert _files(tmp_path) == before
        return err

    return run


@pytest.mark.parametrize(
    ("field", "name", "known"),
    [
        ("frameworks", "torc", FRAMEWORKS),
        ("devices", "tpu", ("cpu", "cuda")),
        ("dtypes", "float8", ("float64", "float32", "float16", "bfloat16")),
        ("modes", "jot", ("eager", "compile", "graph", "xla", "jit")),
        ("implementations", "torch.kl_div", IMPLEMENTATIONS),
    ],
)
def test_an_unknown_name_is_answered_with_the_known_ones(
    refused: Refused, field: str, name: str, known: tuple[str, ...]
) -> None:
    """A mistyped name is repeated, and every name that would have done is listed."""
    asked: dict[str, Any] = {field: (name,)}
    said = refused(**asked)
    assert repr(name) in said
    for each in known:
        assert each in said


def test_an_unknown_profile_is_answered_with_the_known_ones(refused: Refused) -> None:
    """A mistyped profile is repeated beside the three there are, and the nearest is guessed."""
    assert "unknown profile 'thorogh'; did you mean 'thorough'? known: quick, standard" in refused(
        profile="thorogh"
    )


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"frameworks": ("scipy",), "devices": ("cuda",)}, "of scipy on cuda: scipy.special.rel_entr"),
        ({"frameworks": ("scipy",), "dtypes": ("bfloat16",)}, "can be asked on cpu in float64, float32"),
        ({"frameworks": ("numpy",)}, "frameworks with implementations of their own: torch"),
        (
            {"implementations": ("scipy.stats.entropy",), "frameworks": ("jax",)},
            "none of those named is of jax",
        ),
    ],
)
def test_a_question_to_nobody_is_answered_with_whom_to_ask(
    refused: Refused, asked: dict[str, Any], words: str
) -> None:
    """Names that are known one by one may name nobody together: exit code 5, and who could be asked."""
    assert words in refused(NOTHING, **asked)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module' (line 1)"),
        ("1 +", "SyntaxError"),
        ("x = 1\nraise KeyError('deep')", "KeyError: 'deep' (line 2)"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by signal 9 (SIGKILL)"),
        ("def OWN(p, q): pass", "is of type function, not kl_conformance.Implementation"),
        ("OTHER = 1", "no implementation named"),
        (DECLARED.format(**SOUND), "its dtypes are ()"),
        (DECLARED.format(**SOUND | {"name": "''"}), "its name is ''"),
        (
            DECLARED.format(**SOUND | {"name": "'scipy.stats.entropy'"}),
            "'scipy.stats.entropy' is the name of a built-in implementation",
        ),
        (
            DECLARED.format(**SOUND | {"framework": "'pytorch'"}),
            "unknown framework 'pytorch'; did you mean 'torch'?",
        ),
        (DECLARED.format(**SOUND | {"call": "None"}), "its call is None, which is not callable"),
        (
            DECLARED.format(**SOUND | {"convention": "'plain'"}),
            "its convention is of type str, not kl_reference.Convention",
        ),
        (DECLARED.format(**SOUND | {"convention": "Convention(default='mean')"}), "default reduction 'mean'"),
    ],
    ids=range(14),
)
def test_a_user_s_file_that_cannot_be_asked_is_told_why(
    refused: Refused, tmp_path: Path, text: str, words: str
) -> None:
    """Whatever a user's file does when it is imported, the message names the file and what it did."""
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    said = refused(implementations=("own.py:OWN",))
    assert "own.py" in said
    assert words in said


def test_a_file_or_module_that_is_not_there_is_named(refused: Refused, tmp_path: Path) -> None:
    """A path that leads nowhere is repeated, with the folder it was looked for in."""
    assert f"'own.py' cannot be imported: no such file in {tmp_path}" in refused(
        implementations=("own.py:OWN",)
    )
    assert "'own.kernels' cannot be imported: ModuleNotFoundError" in refused(
        implementations=("own.kernels:OWN",)
    )


def test_two_implementations_cannot_bear_one_name(refused: Refused, tmp_path: Path) -> None:
    """Two kernels of one name would overwrite each other's cells."""
    text = DECLARED.format(**SOUND | {"dtypes": "(Dtype.FLOAT32,)"})
    for file in ("first.py", "second.py"):
        (tmp_path / file).write_text(f"from kl_reference.dtype import Dtype\n{text}", encoding="utf-8")
    said = refused(implementations=("first.py:OWN", "second.py:OWN"))
    assert "two implementations are named 'own'" in said


def test_a_user_s_file_is_imported_in_a_process_of_its_own(refused: Refused, tmp_path: Path) -> None:
    """Importing a kernel may load a framework, or end the process: never this one."""
    note = tmp_path.parent / f"{tmp_path.name}.pid"
    (tmp_path / "own.py").write_text(
        f"import os, pathlib\npathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n", encoding="utf-8"
    )
    refused(implementations=("own.py:OWN",))
    assert int(note.read_text(encoding="utf-8")) != os.getpid()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("there", "it is a folder"),
        ("run.jsonl.gz/deeper/run.jsonl.gz", "Not a directory"),
        ("pipe", "it is no ordinary file"),
        ("/proc/kl/run.jsonl.gz", "cannot be written"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_anything_is_asked(
    refused: Refused, tmp_path: Path, output: str, words: str
) -> None:
    """Nobody waits for a run only to hear that its file cannot be written."""
    (tmp_path / "there").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "run.jsonl.gz").write_bytes(b"an earlier run")
    said = refused(output=output, frameworks=("scipy",))
    assert output in said
    assert words in said


def test_a_mistake_does_not_cost_an_earlier_run(refused: Refused, tmp_path: Path) -> None:
    """A run file that is already there is not touched before something new is known."""
    earlier = tmp_path / "run.jsonl.gz"
    earlier.write_bytes(b"an earlier run")
    refused(implementations=(CORRECT, DEFECTIVE, "nobody"))
    refused(frameworks=("scipy",), profile="slow")
    assert earlier.read_bytes() == b"an earlier run"
