"""Bad usage of `run` ends in one message before any work is done, and leaves earlier run files unchanged."""

import os
from pathlib import Path
from typing import Any, Protocol

import pytest

from kl_conformance.implementations.registry import FRAMEWORKS, IMPLEMENTATIONS
from kl_conformance.runs.execution import RunOptions, execute
from kl_conformance.runs.worker import NOTHING, USAGE
from kl_conformance_testkit.command import CORRECT, DEFECTIVE

DECLARED = """\
from kl_conformance import Implementation
from kl_reference import Convention, Reduction
OWN = Implementation(
    name={name}, framework={framework}, package="numpy", convention={convention}, call={call}, dtypes={dtypes}
)
"""
SOUND = {"name": "'own'", "framework": "'numpy'", "convention": "Convention()", "call": "print", "dtypes": "()"}


class Refused(Protocol):
    """Runs options that must be refused with an exit code; returns the message."""

    def __call__(self, code: int = USAGE, output: str = "run.jsonl.gz", **options: Any) -> str:
        """Run it."""
        ...


def _files(folder: Path) -> dict[Path, int]:
    """Return every file of a folder with its time, without the bytecode that Python writes."""
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path: path.stat().st_mtime_ns for path in files}


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refused:
    """Require that options are refused in one line, and that every file is unchanged."""
    monkeypatch.chdir(tmp_path)

    def run(code: int = USAGE, output: str = "run.jsonl.gz", **options: Any) -> str:
        before = _files(tmp_path)
        fields: dict[str, Any] = {"profile": "quick", **options}
        assert execute(RunOptions(output=Path(output), **fields)) == code
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
def test_the_message_about_an_unknown_name_lists_the_known_ones(
    refused: Refused, field: str, name: str, known: tuple[str, ...]
) -> None:
    """The message repeats the unknown name and lists every known name."""
    options: dict[str, Any] = {field: (name,)}
    message = refused(**options)
    assert repr(name) in message
    for each in known:
        assert each in message


def test_the_message_about_an_unknown_profile_lists_the_known_ones(refused: Refused) -> None:
    """The message repeats the unknown profile, suggests the nearest, and lists all three."""
    message = refused(profile="thorogh")
    assert "unknown profile 'thorogh'; did you mean 'thorough'? known: quick, standard" in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"frameworks": ("scipy",), "devices": ("cuda",)}, "of scipy on cuda: scipy.special.rel_entr"),
        ({"frameworks": ("scipy",), "dtypes": ("bfloat16",)}, "can be tested on cpu in float64, float32"),
        ({"frameworks": ("numpy",)}, "frameworks with built-in implementations: torch"),
        (
            {"implementations": ("scipy.stats.entropy",), "frameworks": ("jax",)},
            "none of the named implementations is of jax",
        ),
    ],
)
def test_an_empty_selection_ends_with_5(refused: Refused, options: dict[str, Any], words: str) -> None:
    """Known names may select nothing together: exit code 5, and a message with what can be tested."""
    assert words in refused(NOTHING, **options)


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
        (DECLARED.format(**SOUND | {"framework": "'pytorch'"}), "unknown framework 'pytorch'; did you mean 'torch'?"),
        (DECLARED.format(**SOUND | {"call": "None"}), "its call is None, which is not callable"),
        (
            DECLARED.format(**SOUND | {"convention": "'plain'"}),
            "its convention is of type str, not kl_reference.Convention",
        ),
        (DECLARED.format(**SOUND | {"convention": "Convention(default='mean')"}), "default reduction 'mean'"),
    ],
    ids=range(14),
)
def test_a_user_file_that_cannot_be_tested_is_refused_with_the_reason(
    refused: Refused, tmp_path: Path, text: str, words: str
) -> None:
    """Whatever a user file does when it is imported, the message names the file and what happened."""
    (tmp_path / "own.py").write_text(text, encoding="utf-8")
    message = refused(implementations=("own.py:OWN",))
    assert "own.py" in message
    assert words in message


def test_a_missing_file_or_module_is_named(refused: Refused, tmp_path: Path) -> None:
    """The message names the missing file and the folder that was searched."""
    message = refused(implementations=("own.py:OWN",))
    assert f"'own.py' cannot be imported: no such file in {tmp_path}" in message
    message = refused(implementations=("own.kernels:OWN",))
    assert "'own.kernels' cannot be imported: ModuleNotFoundError" in message


def test_two_implementations_cannot_have_one_name(refused: Refused, tmp_path: Path) -> None:
    """Two kernels of one name would overwrite each other's cells."""
    text = DECLARED.format(**SOUND | {"dtypes": "(Dtype.FLOAT32,)"})
    for file in ("first.py", "second.py"):
        (tmp_path / file).write_text(f"from kl_reference.dtype import Dtype\n{text}", encoding="utf-8")
    message = refused(implementations=("first.py:OWN", "second.py:OWN"))
    assert "two implementations are named 'own'" in message


def test_a_user_file_is_imported_in_a_child_process(refused: Refused, tmp_path: Path) -> None:
    """Importing a kernel may load a framework or end the process, so it happens in a child process."""
    pid_file = tmp_path.parent / f"{tmp_path.name}.pid"
    (tmp_path / "own.py").write_text(
        f"import os, pathlib\npathlib.Path({str(pid_file)!r}).write_text(str(os.getpid()))\n", encoding="utf-8"
    )
    refused(implementations=("own.py:OWN",))
    assert int(pid_file.read_text(encoding="utf-8")) != os.getpid()


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("folder", "it is a folder"),
        ("run.jsonl.gz/deeper/run.jsonl.gz", "Not a directory"),
        ("pipe", "it is not a regular file"),
        ("/proc/kl/run.jsonl.gz", "cannot be written"),
    ],
)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    refused: Refused, tmp_path: Path, output: str, words: str
) -> None:
    """A run does not start if its file cannot be written."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "run.jsonl.gz").write_bytes(b"an earlier run")
    message = refused(output=output, frameworks=("scipy",))
    assert output in message
    assert words in message


def test_bad_usage_does_not_change_an_earlier_run_file(refused: Refused, tmp_path: Path) -> None:
    """An existing run file is unchanged until the new run has results."""
    earlier = tmp_path / "run.jsonl.gz"
    earlier.write_bytes(b"an earlier run")
    refused(implementations=(CORRECT, DEFECTIVE, "nobody"))
    refused(frameworks=("scipy",), profile="slow")
    assert earlier.read_bytes() == b"an earlier run"
