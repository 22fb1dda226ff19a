"""Findings of a run, gathered for a report: new failures, near misses, cells not judged, known deviations."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from kl_reports.analysis.scores import column_of, level_of, severity, short_names
from kl_reports.analysis.wording import LOOKS, Look, ratio, short_dtype, web_address, width_order
from kl_reports.runfile.records import Absence, Result, Run, Verdict

_NOT_JUDGED = (Verdict.UNDECIDED, Verdict.MISSING, Verdict.UNSUPPORTED)


@dataclass(frozen=True, slots=True)
class FindingPlace:
    """An implementation, and the dtypes in which a finding occurs."""

    name: str
    dtypes: tuple[str, ...]
    href: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict on one requirement, with all places in which it occurs."""

    requirement: str
    level: str
    sentence: str
    look: Look
    ratio: str
    places: tuple[FindingPlace, ...]
    cells: int


@dataclass(frozen=True, slots=True)
class Near:
    """A cell that passes, and how close it is to the allowed error."""

    requirement: str
    where: str
    dtype: str
    ratio: str
    style: str
    href: str


@dataclass(frozen=True, slots=True)
class ReasonGroup:
    """One reason for which cells were not judged, and all cells that have it."""

    anchor: str
    look: Look
    sentence: str
    places: tuple[FindingPlace, ...]
    cells: int
    no_device: bool


@dataclass(frozen=True, slots=True)
class Deviation:
    """A known deviation, its upstream link, and the places in which it occurs."""

    name: str
    reason: str
    link: str
    requirements: tuple[str, ...]
    places: tuple[FindingPlace, ...]
    cells: int
    fixed: bool


class Places:
    """Gathers cells by implementation, under the shortest name that is unique in the run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.names = short_names(run)

    def of(self, results: Iterable[Result], links: Mapping[str, str]) -> tuple[FindingPlace, ...]:
        """Return the implementations of some cells, each with its dtypes and the link to its first cell."""
        places: dict[str, tuple[dict[str, None], str]] = {}
        for result in results:
            dtypes, _ = places.setdefault(self.names[result.column], ({}, links.get(result.cell, "")))
            dtypes[short_dtype(column_of(self._run, result.column).dtype)] = None
        return tuple(FindingPlace(name, ordered(dtypes), href) for name, (dtypes, href) in places.items())


def findings(run: Run, places: Places, links: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return the new failures and fixed deviations, worst first, gathered by verdict and requirement."""
    gathered: dict[tuple[Verdict, str], list[Result]] = {}
    for result in sorted((result for result in run.results if result.verdict.is_news), key=severity):
        gathered.setdefault((result.verdict, result.requirement), []).append(result)
    return tuple(
        Finding(
            requirement=requirement,
            level=level_of(run, requirement),
            sentence=str(run.header.requirements.get(requirement, {}).get("sentence", "")),
            look=LOOKS[verdict],
            ratio="" if results[0].headroom is None else ratio(results[0].headroom),
            places=places.of(results, links),
            cells=len(results),
        )
        for (verdict, requirement), results in gathered.items()
    )


def nearest(run: Run, places: Places, links: Mapping[str, str], most: int) -> Iterator[Near]:
    """Yield the passing cells closest to the limit, one for each requirement and implementation."""
    seen: set[tuple[str, str, str]] = set()
    for result in passes(run):
        column = column_of(run, result.column)
        place = (result.requirement, column.implementation, column.version)
        if place in seen or result.headroom is None:
            continue
        seen.add(place)
        yield Near(
            requirement=result.requirement,
            where=places.names[result.column],
            dtype=short_dtype(column.dtype),
            ratio=ratio(result.headroom),
            style=f"p h{min(int(10 * result.headroom), 9)}",
            href=links.get(result.cell, ""),
        )
        if len(seen) == most:
            return


def passes(run: Run) -> list[Result]:
    """Return the passing cells that were measured, closest to the limit first."""
    measured = [
        result
        for result in run.results
        if result.verdict is Verdict.PASS and result.headroom is not None and 0 <= result.headroom <= 1
    ]
    return sorted(measured, key=severity)


def reasons(run: Run, places: Places) -> tuple[tuple[ReasonGroup, ...], dict[str, str]]:
    """Return the reasons for cells that were not judged, most cells first, and the link of each cell to its reason."""
    gathered: dict[tuple[Verdict, str], list[Result]] = {}
    for result in run.results:
        if result.verdict in _NOT_JUDGED:
            gathered.setdefault((result.verdict, result.detail), []).append(result)
    ordered = sorted(gathered.items(), key=lambda entry: (_NOT_JUDGED.index(entry[0][0]), -len(entry[1])))
    found: list[ReasonGroup] = []
    links: dict[str, str] = {}
    for number, ((verdict, detail), results) in enumerate(ordered, start=1):
        name = f"why-{number}"
        links.update({result.cell: f"#{name}" for result in results})
        found.append(
            ReasonGroup(
                name,
                LOOKS[verdict],
                detail,
                places.of(results, {}),
                len(results),
                no_device=all(result.absence is Absence.NO_DEVICE for result in results),
            )
        )
    return tuple(found), links


def deviations(run: Run, places: Places, links: Mapping[str, str]) -> tuple[Deviation, ...]:
    """Return the known deviations that occur in the run, and those that are gone, which come first.

    A cell with several deviations counts for each of them; its detail belongs to the first.
    """
    gathered: dict[tuple[str, Verdict], list[Result]] = {}
    reasons: dict[str, str] = {}
    for result in run.results:
        if result.verdict.is_recorded:
            names = result.deviations or ("",)
            reasons.setdefault(names[0], result.detail)
            for name in names:
                gathered.setdefault((name, result.verdict), []).append(result)
    ordered = sorted(gathered.items(), key=lambda entry: entry[0][1] is not Verdict.FIXED)
    return tuple(
        Deviation(
            name=name or "not named",
            reason=reasons.get(name) or f"Occurs together with {', '.join(results[0].deviations[:1])}.",
            link=next(filter(None, (web_address((result.witness or {}).get("link")) for result in results)), ""),
            requirements=tuple(dict.fromkeys(result.requirement for result in results)),
            places=places.of(results, links),
            cells=len(results),
            fixed=verdict is Verdict.FIXED,
        )
        for (name, verdict), results in ordered
    )


def differences(run: Run) -> tuple[tuple[str, ...], dict[str, dict[str, str]]]:
    """Return the labels of the merged runs, and each entry of the environment in which the runs differ."""
    found = run.header.differing
    return tuple(dict.fromkeys(label for values in found.values() for label in values)), found


def by_pair(run: Run) -> dict[str, list[Result]]:
    """Return the cells whose witness is made from a pair of distributions, by pair."""
    pairs: dict[str, list[Result]] = {}
    for result in run.results:
        pair = (result.witness or {}).get("pair")
        if isinstance(pair, str) and pair:
            pairs.setdefault(pair, []).append(result)
    return pairs


def elsewhere(result: Result, same: Iterable[Result], places: Places) -> list[tuple[str, tuple[FindingPlace, ...]]]:
    """Return the other places in which the same distributions fail, by requirement; of the first forty cells."""
    others: dict[str, list[Result]] = {}
    for other in islice(same, 40):
        if other.cell != result.cell:
            others.setdefault(other.requirement, []).append(other)
    return [(requirement, places.of(cells, {})) for requirement, cells in others.items()]


def ordered(dtypes: Iterable[str]) -> tuple[str, ...]:
    """Return the short names of dtypes, the widest first."""
    return tuple(sorted(dtypes, key=width_order))
