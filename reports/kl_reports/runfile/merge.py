"""Several runs become one, cell by cell; what differs between them is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.records import Header, Result, Run, Verdict

_LONGEST = 60  # characters of a run's name
_MACHINE = ("platform", "processor", "python", "threads")  # what tells machines apart, beside versions
_NAMED = 5  # so many cells are named one by one in the remarks; the rest are counted


def merge(runs: Sequence[Run]) -> Run:
    """Return one run holding every cell of the given ones; of two judgements of a cell the later wins.

    A MISSING placeholder never replaces a judgement. Each run keeps its environment, under its framework's name.

    Raises
    ------
    ValueError
        When no run is given.
    """
    if not runs:
        raise ValueError("merge needs at least one run")
    if len(runs) == 1:
        return runs[0]
    results, remarks = _results(runs)
    header, differences = _header(runs)
    finished = [run.finished for run in runs if run.finished is not None]
    return Run(
        header=header,
        results=tuple(results[cell] for cell in dict.fromkeys((*header.planned, *results))),
        finished=max(finished) if len(finished) == len(runs) else None,
        remarks=tuple(dict.fromkeys(sentence for run in runs for sentence in run.remarks))
        + differences
        + remarks,
        cut_off=tuple(dict.fromkeys(each for run in runs for each in run.cut_off)),
    )


def apart(runs: Sequence[Run]) -> list[Run]:
    """Return runs of which those that asked the same columns on different machines have columns of their own.

    Their device then names what differs, such as ``cpu, processor x``; runs of one machine stay as they are.
    """
    own = [{name: run.header.shared.get(name, "") for name in _MACHINE} for run in runs]
    told: list[Run] = []
    for run, machine in zip(runs, own, strict=True):
        others = [
            other
            for each, other in zip(runs, own, strict=True)
            if other != machine and each.header.columns.keys() & run.header.columns.keys()
        ]
        differing = [name for name in _MACHINE if any(other[name] != machine[name] for other in others)]
        words = ", ".join(f"{name} {machine[name] or 'not said'}" for name in differing)
        told.append(_placed(run, words) if words else run)
    return told


def _placed(run: Run, words: str) -> Run:
    """Return a run whose every column says on what machine it was asked."""
    header = run.header
    columns = {
        key: replace(column, device=f"{column.device}, {words}") for key, column in header.columns.items()
    }
    renamed = {key: column.key for key, column in columns.items()}

    def moved(cell: str) -> str:
        own = CellId.parse(cell)
        return str(CellId(own.requirement, renamed.get(own.column, own.column)))

    return replace(
        run,
        header=replace(
            header,
            columns={column.key: column for column in columns.values()},
            planned=tuple(map(moved, header.planned)),
        ),
        results=tuple(
            replace(result, column=renamed.get(result.column, result.column)) for result in run.results
        ),
    )


def _results(runs: Sequence[Run]) -> tuple[dict[str, Result], tuple[str, ...]]:
    results: dict[str, Result] = {}
    remarks: list[str] = []
    for run in runs:
        for result in run.results:
            earlier = results.get(result.cell)
            if earlier is not None and result.verdict is Verdict.MISSING:
                continue
            if earlier is not None and earlier.verdict not in {Verdict.MISSING, result.verdict}:
                remarks.append(
                    f"{result.cell} was judged twice: {earlier.verdict.name}, "
                    f"then {result.verdict.name}; the later is kept"
                )
            results[result.cell] = result
    if len(remarks) > _NAMED:
        remarks[_NAMED:] = [f"{len(remarks) - _NAMED} more cells were judged twice with different verdicts"]
    return results, tuple(remarks)


def _header(runs: Sequence[Run]) -> tuple[Header, tuple[str, ...]]:
    headers = [run.header for run in runs]
    requirements, changed = _union([header.requirements for header in headers])
    implementations, described = _union([header.implementations for header in headers])
    columns, _ = _union([header.columns for header in headers])
    remarks = [
        f"{name} is worded or revised differently in two of the runs; the later is shown" for name in changed
    ]
    remarks += [
        f"{name} is described differently in two of the runs; the later is shown" for name in described
    ]
    united = replace(
        headers[0],
        started=min(header.started for header in headers),
        suite=", ".join(dict.fromkeys(header.suite for header in headers)),
        profile=", ".join(dict.fromkeys(header.profile for header in headers)),
        environment=_environment(headers),
        requirements=requirements,
        implementations=implementations,
        columns=columns,
        guide=next((header.guide for header in reversed(headers) if header.guide), {}),
        planned=tuple(dict.fromkeys(cell for header in headers for cell in header.planned)),
    )
    return united, tuple(remarks)


def _union(parts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return all entries, the later over the earlier, and the keys whose entries differed."""
    whole: dict[str, Any] = {}
    differing: dict[str, None] = {}
    for part in parts:
        for key, entry in part.items():
            if whole.setdefault(key, entry) != entry:
                differing[key] = None
            whole[key] = entry
    return whole, list(differing)


def _environment(headers: Sequence[Header]) -> dict[str, dict[str, str]]:
    """Return the environment of every run by its label, with its seed where not all are the same."""
    united: dict[str, dict[str, str]] = {}
    for label, header in zip(_labels(headers), headers, strict=True):
        # A run that was merged itself keeps its parts where they differ.
        parts = header.environment if header.differing else {"": header.shared}
        for inner, entries in parts.items():
            name = inner or label
            united[f"{label} {name}" if name in united else name] = {"seed": str(header.seed), **entries}
    if len({own["seed"] for own in united.values()}) == 1:
        for own in united.values():
            del own["seed"]
    return united


def _labels(headers: Sequence[Header]) -> list[str]:
    """Return the shortest names that tell runs apart: by framework, version, day, or else by their order."""
    columns = [list(header.columns.values()) for header in headers]
    for labels in (
        ["+".join(dict.fromkeys(column.framework for column in own)) for own in columns],
        [
            "+".join(dict.fromkeys(f"{column.framework} {column.version}" for column in own))
            for own in columns
        ],
        [header.started for header in headers],
    ):
        if len(set(labels)) == len(labels) and all(labels) and max(map(len, labels)) <= _LONGEST:
            return labels
    return [f"run {position}" for position in range(1, len(headers) + 1)]
