"""Rulings kept in a file as they fall: a study that is cut off goes on where it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kl_cases.problems import Profile
from kl_reports.line import encode
from kl_reports.record import decode
from kl_reports.result import Result
from studies.kill import everyone
from studies.kill.court import Plan, Ruling
from studies.kill.trial import Answer, Question


class Kept:
    """A file of rulings, a line each, behind a line that says what was asked.

    Parameters
    ----------
    path
        The file; None keeps nothing.
    plan
        What every kernel is asked. A file of another plan is begun anew.
    """

    def __init__(self, path: Path | None, plan: Plan) -> None:
        self.path = path
        self.rulings: dict[str, Ruling] = {}
        about = json.dumps([plan.profile.value, plan.seeds, plan.dtypes, plan.right and plan.right.value])
        if path is None:
            return
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        if lines[:1] != [about]:
            path.write_text(about + "\n", encoding="utf-8")
            return
        for line in lines[1:]:
            ruling = _read(json.loads(line))
            self.rulings[ruling.kernel.name] = ruling

    def keep(self, ruling: Ruling) -> None:
        """Add a ruling."""
        self.rulings[ruling.kernel.name] = ruling
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(_written(ruling)) + "\n")


def _written(ruling: Ruling) -> dict[str, Any]:
    return {
        "kernel": ruling.kernel.name,
        "profile": ruling.profile.value,
        "seconds": ruling.seconds,
        "answers": [_answer(each) for each in ruling.answers],
        "small": None if ruling.small is None else _answer(ruling.small),
    }


def _answer(answer: Answer) -> list[Any]:
    question = answer.question
    return [question.dtype, question.requirement, encode(answer.result), answer.mistake]


def _read(data: dict[str, Any]) -> Ruling:
    return Ruling(
        everyone.kernel(data["kernel"]),
        tuple(_answered(each) for each in data["answers"]),
        Profile(data["profile"]),
        None if data["small"] is None else _answered(data["small"]),
        data["seconds"],
    )


def _answered(data: list[Any]) -> Answer:
    dtype, requirement, result, mistake = data
    return Answer(Question(dtype, requirement), decode(Result, result), mistake)
