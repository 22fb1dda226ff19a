"""Reads a user implementation's declarations in a child process: importing it may do anything."""

from typing import Any

from kl_conformance import processes
from kl_conformance.runs import header
from kl_conformance.runs.plan import resolve
from kl_conformance.runs.selection import Selection
from kl_reports.runfile.codec import decode
from kl_reports.runfile.lines import encode
from kl_reports.runfile.records import Header

SECONDS = 300


def probe(selection: Selection) -> Header:
    """Return the header of a run of user implementations without importing them in this process.

    Raises
    ------
    ValueError
        One cannot be imported, or is not a valid Implementation.
    """
    try:
        answer = processes.request("kl_conformance.runs.probe", selection.to_json(), seconds=SECONDS)
    except processes.NoAnswerError as error:
        name = ", ".join(selection.implementations)
        raise ValueError(f"{name!r} cannot be imported: {error}") from None
    if "error" in answer:
        raise ValueError(answer["error"])
    return decode(Header, answer)


def _answer(data: Any) -> dict[str, Any]:
    try:
        plan = resolve(Selection.from_json(data))
        return dict(encode(header.header(plan.selection, plan.cells)))
    except ValueError as error:
        return {"error": str(error)}


if __name__ == "__main__":
    processes.respond(_answer)
