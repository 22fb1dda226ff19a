"""A child process answers JSON with JSON, and its exit is described where it does not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from kl_conformance import processes
from kl_conformance.processes import Exit, NoAnswerError

CHILD = """
import os, signal, sys, time
from kl_conformance import host

def answer(payload):
    print("printed by the code under test", flush=True)
    os.write(1, b"written below Python\\n")
    assert sys.stdin.read() == ""
    if payload == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if payload == "leave":
        os._exit(0)
    if payload == "sleep":
        time.sleep(60)
    if payload == "raise":
        raise RuntimeError("no such thing")
    return [payload, 1.5]

host.respond(answer)
"""


@pytest.fixture
def child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the name of a module that answers."""
    (tmp_path / "answering.py").write_text(CHILD, encoding="utf-8")
    path = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(path))
    return "answering"


def test_an_answer_is_what_the_module_returned(child: str) -> None:
    """Whatever the code under test prints, and wherever it reads."""
    assert processes.request(child, {"é": [1, None]}, seconds=60) == [{"é": [1, None]}, 1.5]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        ("die", "its process was ended by signal 9 (SIGKILL)"),
        ("leave", "its process ended with exit code 0"),
        ("raise", "its process ended with exit code 1 (RuntimeError: no such thing)"),
    ],
)
def test_a_process_without_an_answer_is_described(child: str, payload: str, words: str) -> None:
    """The signal or the exit code, and the last line on stderr."""
    with pytest.raises(NoAnswerError) as error:
        processes.request(child, payload, seconds=60)
    assert str(error.value).startswith(words)


def test_a_time_limit_keeps_the_answers_given_before(child: str) -> None:
    """Those in full; the process is killed during the next one."""
    answers, end = processes.requests(child, ["one", "sleep", "never"], seconds=5)
    assert (answers, end) == ([["one", 1.5]], Exit(None))
    with pytest.raises(NoAnswerError, match="no answer within 2 s"):
        processes.request(child, "sleep", seconds=2)
