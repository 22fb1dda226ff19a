"""What an implementation a user brings says of itself, read in a process of its own: importing it may do anything."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kl_cases.problems import Profile
from kl_conformance import heading, host, plan
from kl_conformance.plan import Selection
from kl_reports.line import encode
from kl_reports.record import decode
from kl_reports.result import Header

SECONDS = 300


def probe(selection: Selection) -> Header:
    """Return the header of a run that asks what a user brings; nothing of it is imported in this process.

    Raises
    ------
    ValueError
        It cannot be imported, or is no Implementation that can be asked.
    """
    name = ", ".join(selection.implementations)
    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "said.json"
        asked = json.dumps(asdict(selection) | {"profile": selection.profile.value})
        try:
            done = host.python("-m", "kl_conformance.probe", asked, str(said), seconds=SECONDS)
        except subprocess.TimeoutExpired:
            raise ValueError(f"{name!r} cannot be imported: no end of it after {SECONDS} s") from None
        try:
            answer = json.loads(said.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            how = f"{host.ending(done.returncode)} ({host.last_line(done)})"
            raise ValueError(f"{name!r} cannot be imported: its process {how}") from None
    if "error" in answer:
        raise ValueError(answer["error"])
    return decode(Header, answer)


def main(arguments: Sequence[str]) -> None:
    """Write what a selection sets out to ask, or why it cannot, into a file."""
    asked, said = arguments
    fields: dict[str, Any] = json.loads(asked)
    fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    fields["profile"] = Profile(fields["profile"])
    selection = Selection(**fields)
    try:
        answer = encode(heading.header(selection, plan.cells(selection)))
    except ValueError as error:
        answer = {"error": str(error)}
    Path(said).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
