"""Reads and writes witness files; extracts a witness from a run file."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kl_cases.pair import Pair
from kl_conformance.judging.witness import decode_pair
from kl_reports.files import RunFileError
from kl_reports.runfile.codec import plain
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Column, Result, Run

FORMAT = "kl-conformance-witness/2"
_SEPARATOR = "#"  # between a run file and the cell in it


@dataclass(frozen=True, slots=True)
class WitnessFile:
    """A failure that can be replayed: the requirement, the column and the inputs.

    Parameters
    ----------
    requirement, revision
        Id and revision of the requirement that failed.
    column, package
        The column in which it failed, and the distribution whose version that column has.
    pair
        The inputs.
    call
        Text of the call that failed; other calls with the same inputs may pass.
    suite
        Version of kl-conformance that found the failure.
    witness
        The whole witness, as run files store it.
    """

    requirement: str
    revision: int
    column: Column
    package: str
    pair: Pair
    call: str
    suite: str
    witness: Mapping[str, Any]


class WitnessError(ValueError):
    """A witness cannot be read; the message gives the location, the reason and the known witnesses."""


def load(location: str) -> WitnessFile:
    """Return the witness in a file written with :func:`dumps`, or of the cell ``RUN#requirement@column`` of a run file.

    ``RUN`` alone is enough if the run has one witness.

    Raises
    ------
    WitnessError
        The file cannot be read or has no such witness.
    """
    path, _, cell = location.partition(_SEPARATOR)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WitnessError(f"{path} cannot be read: {error.strerror}") from None
    if data[:1] == b"{":
        return loads(data.decode("utf-8", "replace"), path)
    try:
        run = read(Path(path))
    except RunFileError as error:
        raise WitnessError(f"{error}; name a witness file or RUN{_SEPARATOR}REQUIREMENT@COLUMN") from None
    return from_result(run, _select(run, path, cell))


def from_result(run: Run, result: Result) -> WitnessFile:
    """Return the witness of a failed cell.

    Raises
    ------
    WitnessError
        The cell has no inputs to replay: an earlier suite recorded it, or its inputs were too large to record.
    """
    column = run.header.columns[result.column]
    description = run.header.implementations.get(column.implementation, {})
    return _decode(
        {
            "format": FORMAT,
            "requirement": result.requirement,
            "revision": result.revision,
            "column": asdict(column),
            "package": description.get("package") or column.framework,
            "suite": run.header.suite,
            "witness": result.witness or {},
        },
        result.cell,
    )


def dumps(witness: WitnessFile) -> str:
    """Return a witness as JSON, the text of a witness file."""
    data = {
        "format": FORMAT,
        "requirement": witness.requirement,
        "revision": witness.revision,
        "column": asdict(witness.column),
        "package": witness.package,
        "suite": witness.suite,
        "witness": plain(witness.witness),
    }
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def loads(text: str, location: str) -> WitnessFile:
    """Return the witness that :func:`dumps` wrote.

    Raises
    ------
    WitnessError
        The text is no witness; the message starts with the location.
    """
    try:
        data: Any = json.loads(text)
    except ValueError as error:
        raise WitnessError(f"{location} is no witness file: not JSON ({error})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise WitnessError(f"{location} is no witness file: its format is not {FORMAT!r}")
    return _decode(data, location)


def _decode(data: Mapping[str, Any], location: str) -> WitnessFile:
    witness: Any = data.get("witness")
    if not isinstance(witness, dict) or "question" not in witness:
        raise WitnessError(
            f"{location} has no inputs to replay: an earlier suite recorded it, or the inputs were too large; "
            "run the cell again"
        )
    try:
        return WitnessFile(
            requirement=str(data["requirement"]),
            revision=int(data["revision"]),
            column=Column(**data["column"]),
            package=str(data["package"]),
            pair=decode_pair(witness["question"], str(witness.get("origin", ""))),
            call=str(witness["call"]["text"]),
            suite=str(data["suite"]),
            witness=witness,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WitnessError(f"{location} is no witness file: {type(error).__name__}: {error}") from None


def _select(run: Run, path: str, cell: str) -> Result:
    """Return the result of the named cell, or of the only cell with a witness."""
    found = {result.cell: result for result in run.results if result.witness}
    if cell in found:
        return found[cell]
    if not cell and len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise WitnessError(f"{path} has no witness: no cell failed")
    near = get_close_matches(cell, found, n=3, cutoff=0.0) if cell else list(found)[:3]
    content = f"no witness of {cell!r}" if cell else f"{len(found)} witnesses"
    examples = ", ".join(f"{path}{_SEPARATOR}{each}" for each in near)
    raise WitnessError(f"{path} has {content}; name one, such as {examples}")
