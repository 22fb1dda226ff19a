"""A child process answers JSON with JSON; if it does not, its exit is described."""

import os
from pathlib import Path

import pytest

from kl_conformance import processes
from kl_conformance.processes import Exit, NoAnswerError

CHILD = """
import os, signal, sys, time
from kl_conformance import processes

def answer(payload):
    print("printed by the code under test", flush=True)
    os.write(1, b"written below Python\\n")
    assert sys.stdin.read() == ""
    if payload == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    if payload == "exit":
        os._exit(0)
    if payload == "sleep":
        time.sleep(60)
    if payload == "raise":
        raise RuntimeError("no such thing")
    return [payload, 1.5]

processes.respond(answer)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that answers."""
    (tmp_path / "answering.py").write_text(CHILD, encoding="utf-8")
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    return "answering"


def test_an_answer_is_what_the_module_returned(child: str) -> None:
    """What the code under test prints or reads does not change it."""
    assert processes.request(child, {"é": [1, None]}, seconds=60) == [{"é": [1, None]}, 1.5]


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        ("crash", "its process was ended by signal 9 (SIGKILL)"),
        ("exit", "its process ended with exit code 0"),
        ("raise", "its process ended with exit code 1 (RuntimeError: no such thing)"),
    ],
)
def test_a_process_without_an_answer_is_described(child: str, payload: str, message: str) -> None:
    """The message contains the signal or the exit code, and the last line on stderr."""
    with pytest.raises(NoAnswerError) as error:
        processes.request(child, payload, seconds=60)
    assert str(error.value).startswith(message)


def test_a_time_limit_keeps_the_earlier_answers(child: str) -> None:
    """The process is killed during the next one."""
    answers, end = processes.requests(child, ["one", "sleep", "never"], seconds=5)
    assert (answers, end) == ([["one", 1.5]], Exit(None))
    with pytest.raises(NoAnswerError, match="no answer within 2 s"):
        processes.request(child, "sleep", seconds=2)
