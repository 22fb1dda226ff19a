"""Merges runs cell by cell and remarks on their differences."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kl_reports.runfile.cell_id import CellId
from kl_reports.runfile.records import Header, Result, Run, Verdict

_MAX_LABEL = 60  # characters of a run's label
_MACHINE = ("platform", "processor", "python", "threads")  # what distinguishes machines, apart from versions
_MAX_REMARKS = 5  # further cells with two results are only counted


def merge(runs: Sequence[Run]) -> Run:
    """Return one run with every cell of the given ones; of two results of a cell the later is kept.

    MISSING never replaces another verdict. Each run keeps its environment, labelled by its framework.

    Raises
    ------
    ValueError
        No run is given.
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
        remarks=tuple(dict.fromkeys(sentence for run in runs for sentence in run.remarks)) + differences + remarks,
        cut_off=tuple(dict.fromkeys(each for run in runs for each in run.cut_off)),
    )


def separate_machines(runs: Sequence[Run]) -> list[Run]:
    """Return runs in which equal columns of different machines are distinct columns.

    The device of such a column names the difference, such as ``cpu, processor x``; other columns do not change.
    """
    machines = [{name: run.header.shared.get(name, "") for name in _MACHINE} for run in runs]
    separated: list[Run] = []
    for run, machine in zip(runs, machines, strict=True):
        others = [
            other
            for each, other in zip(runs, machines, strict=True)
            if other != machine and each.header.columns.keys() & run.header.columns.keys()
        ]
        differing = [name for name in _MACHINE if any(other[name] != machine[name] for other in others)]
        label = ", ".join(f"{name} {machine[name] or 'unknown'}" for name in differing)
        separated.append(_with_machine(run, label) if label else run)
    return separated


def _with_machine(run: Run, label: str) -> Run:
    header = run.header
    columns = {key: replace(column, device=f"{column.device}, {label}") for key, column in header.columns.items()}
    renamed = {key: column.key for key, column in columns.items()}

    def renamed_cell(text: str) -> str:
        cell = CellId.parse(text)
        return str(CellId(cell.requirement, renamed.get(cell.column, cell.column)))

    return replace(
        run,
        header=replace(
            header,
            columns={column.key: column for column in columns.values()},
            planned=tuple(map(renamed_cell, header.planned)),
        ),
        results=tuple(replace(result, column=renamed.get(result.column, result.column)) for result in run.results),
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
                    f"{result.cell} has two results: {earlier.verdict.name}, "
                    f"then {result.verdict.name}; the later is kept"
                )
            results[result.cell] = result
    if len(remarks) > _MAX_REMARKS:
        remarks[_MAX_REMARKS:] = [f"{len(remarks) - _MAX_REMARKS} more cells have two results that differ"]
    return results, tuple(remarks)


def _header(runs: Sequence[Run]) -> tuple[Header, tuple[str, ...]]:
    headers = [run.header for run in runs]
    requirements, changed = _union([header.requirements for header in headers])
    implementations, redescribed = _union([header.implementations for header in headers])
    columns, _ = _union([header.columns for header in headers])
    remarks = [f"text or revision of {name} differs between runs; the later is shown" for name in changed]
    remarks += [f"description of {name} differs between runs; the later is shown" for name in redescribed]
    merged = replace(
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
    return merged, tuple(remarks)


def _union(parts: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """Return all entries, the later replacing the earlier, and the keys whose entries differ."""
    union: dict[str, Any] = {}
    differing: dict[str, None] = {}
    for part in parts:
        for key, entry in part.items():
            if union.setdefault(key, entry) != entry:
                differing[key] = None
            union[key] = entry
    return union, list(differing)


def _environment(headers: Sequence[Header]) -> dict[str, dict[str, str]]:
    """Return the environment of every run by its label, with its seed if seeds differ."""
    merged: dict[str, dict[str, str]] = {}
    for label, header in zip(_labels(headers), headers, strict=True):
        # A run that is itself merged keeps its parts if they differ.
        parts = header.environment if header.differing else {"": header.shared}
        for inner, entries in parts.items():
            name = inner or label
            merged[f"{label} {name}" if name in merged else name] = {"seed": str(header.seed), **entries}
    if len({entries["seed"] for entries in merged.values()}) == 1:
        for entries in merged.values():
            del entries["seed"]
    return merged


def _labels(headers: Sequence[Header]) -> list[str]:
    """Return the shortest labels that distinguish the runs: frameworks, versions, times, or else positions."""
    columns = [list(header.columns.values()) for header in headers]
    for labels in (
        ["+".join(dict.fromkeys(column.framework for column in each)) for each in columns],
        ["+".join(dict.fromkeys(f"{column.framework} {column.version}" for column in each)) for each in columns],
        [header.started for header in headers],
    ):
        if len(set(labels)) == len(labels) and all(labels) and max(map(len, labels)) <= _MAX_LABEL:
            return labels
    return [f"run {position}" for position in range(1, len(headers) + 1)]
