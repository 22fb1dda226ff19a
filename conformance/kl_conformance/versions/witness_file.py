"""A witness kept: taken out of a run file, carried alone, and put to whoever is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kl_cases.pair import Pair
from kl_conformance.diagnosis.reproducer import reproducer
from kl_conformance.implementations import registry
from kl_conformance.judging.witness import decode_pair
from kl_reports.files import RunFileError
from kl_reports.runfile.codec import plain
from kl_reports.runfile.file import read
from kl_reports.runfile.records import Column, Result, Run

FORMAT = "kl-conformance-witness/2"
_PARTS = "#"  # between a run file and the cell in it


@dataclass(frozen=True, slots=True)
class WitnessFile:
    """The question that broke a requirement, and who broke it.

    Parameters
    ----------
    requirement, revision
        What was broken.
    column, package
        By whom, and the distribution whose version the column bears.
    pair
        The question.
    call
        The text of the call that failed; other calls of the same question may pass.
    suite
        Version of kl-conformance that found it.
    witness
        All that was seen, as a run file has it.
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
    """A witness that cannot be had; the message gives the place, the reason and what is there instead."""


def load(where: str) -> WitnessFile:
    """Return the witness at a place: a file written by :func:`text`, or ``RUN#requirement@column`` of a run file.

    ``RUN`` alone is enough where it holds one broken cell.

    Raises
    ------
    WitnessError
        There is none; the message says what is there.
    """
    path, _, cell = where.partition(_PARTS)
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise WitnessError(f"{path}: cannot be read: {error.strerror}") from None
    if data[:1] == b"{":
        return loads(data.decode("utf-8", "replace"), path)
    try:
        run = read(Path(path))
    except RunFileError as error:
        raise WitnessError(f"{error}; a witness is a JSON file or RUN{_PARTS}REQUIREMENT@COLUMN") from None
    return from_result(run, _chosen(run, path, cell))


def from_result(run: Run, result: Result) -> WitnessFile:
    """Return the witness of a broken cell.

    Raises
    ------
    WitnessError
        The cell keeps no question: its file is of an earlier day, or the question was too large to be kept.
    """
    column = run.header.columns[result.column]
    own = run.header.implementations.get(column.implementation, {})
    return _made(
        {
            "format": FORMAT,
            "requirement": result.requirement,
            "revision": result.revision,
            "column": asdict(column),
            "package": own.get("package") or column.framework,
            "suite": run.header.suite,
            "witness": result.witness or {},
        },
        result.cell,
    )


def text(witness: WitnessFile) -> str:
    """Return a witness as JSON, for a file of its own."""
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


def loads(words: str, place: str) -> WitnessFile:
    """Return the witness that :func:`text` made JSON of.

    Raises
    ------
    WitnessError
        It is none.
    """
    try:
        data: Any = json.loads(words)
    except ValueError as error:
        raise WitnessError(f"{place}: is no witness: not JSON ({error})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise WitnessError(f"{place}: is no witness: its format is not {FORMAT!r}")
    return _made(data, place)


def _made(data: Mapping[str, Any], place: str) -> WitnessFile:
    witness: Any = data.get("witness")
    if not isinstance(witness, dict) or "question" not in witness:
        raise WitnessError(
            f"{place}: keeps no question that could be asked again: it was recorded by an earlier suite, or nothing "
            "in it could be made small; run the cell again"
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
        raise WitnessError(f"{place}: is no witness: {type(error).__name__}: {error}") from None


def _chosen(run: Run, path: str, cell: str) -> Result:
    """Return the result of a run that is meant."""
    found = {result.cell: result for result in run.results if result.witness}
    if cell in found:
        return found[cell]
    if not cell and len(found) == 1:
        return next(iter(found.values()))
    if not found:
        raise WitnessError(f"{path}: holds no witness: nothing in it is broken")
    near = get_close_matches(cell, found, n=3, cutoff=0.0) if cell else list(found)[:3]
    what = f"no witness of {cell!r}" if cell else f"{len(found)} witnesses"
    some = ", ".join(f"{path}{_PARTS}{each}" for each in near)
    raise WitnessError(f"{path}: holds {what}; name one, such as {some}")


def script_of(witness: WitnessFile) -> str:
    """Return the short script that shows a witness without this suite; empty where there is none."""
    return _script(witness.requirement, witness.column, witness.witness)


def _script(requirement: str, column: Column, data: Mapping[str, Any]) -> str:
    if column.implementation not in registry.IMPLEMENTATIONS:
        return ""
    return reproducer(requirement, column, data)
