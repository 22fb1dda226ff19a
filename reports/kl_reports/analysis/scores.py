"""Scores of a run: how much of it ran, and how many requirements of each level every implementation passes."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kl_reports.analysis.wording import count, counted, listed, one_line
from kl_reports.runfile.records import Absence, Column, Result, Run, Verdict

LEVELS = ("MUST", "SHOULD", "CONVENTION")
DEVICES = {"cuda": "GPU"}  # what a machine without a device does not have

# Verdicts in the order in which they are listed after the number that passed.
LISTED = (
    *(Verdict.EXPECTED, Verdict.FIXED, Verdict.FAIL, Verdict.NONDETERMINISTIC),
    *(Verdict.CRASHED, Verdict.TIMED_OUT, Verdict.UNDECIDED),
)
# The verdicts of cells that decide the state of their requirement, the first one present first.
_STATES = (
    *(Verdict.FAIL, Verdict.NONDETERMINISTIC, Verdict.CRASHED, Verdict.TIMED_OUT),
    *(Verdict.EXPECTED, Verdict.FIXED, Verdict.PASS, Verdict.UNDECIDED),
)
_WORST_FIRST = (
    *(Verdict.FAIL, Verdict.CRASHED, Verdict.TIMED_OUT, Verdict.NONDETERMINISTIC, Verdict.FIXED),
    *(Verdict.EXPECTED, Verdict.UNDECIDED, Verdict.PASS, Verdict.MISSING, Verdict.UNSUPPORTED),
)


def state(verdicts: Collection[Verdict]) -> Verdict | None:
    """Return the state of a requirement over its cells, as a verdict; None where no cell ran.

    It is failed if any cell failed; else crashed or timed out; else a known deviation if any cell is one; else fixed
    (the record must be removed); else passed if any cell passed; else undecided.
    """
    found = next((verdict for verdict in _STATES if verdict in verdicts), None)
    return Verdict.FAIL if found is Verdict.NONDETERMINISTIC else found


def passed_of_total(counts: Mapping[Verdict, int], noun: str = "") -> str:
    """Return counts by verdict as numbers that add up, such as ``58 of 72 passed, 14 known deviations``.

    ``counts`` are of requirements by state, or of cells by verdict; those that did not run are not part of the total.
    ``noun`` is what is counted, such as ``cells``.
    """
    total = sum(number for verdict, number in counts.items() if verdict.has_run)
    passed = " ".join(filter(None, (f"{counts.get(Verdict.PASS, 0):,} of {total:,}", noun, "passed")))
    return ", ".join((passed, *(counted(counts[verdict], verdict) for verdict in LISTED if counts.get(verdict))))


@dataclass(frozen=True, slots=True)
class Completeness:
    """How many of the planned cells have which verdict, and whether the run was cut off.

    ``no_device`` counts the cells that need a device which this machine does not have, by device.
    """

    planned: int
    counts: Mapping[Verdict, int]
    no_device: Mapping[str, int]
    cut_off: bool

    @property
    def missing(self) -> int:
        """Cells that were not run, apart from those for which there is no device."""
        return self.counts.get(Verdict.MISSING, 0) - sum(self.no_device.values())

    @property
    def runnable(self) -> Mapping[Verdict, int]:
        """Cells by verdict, without those for which there is no device."""
        return {**self.counts, Verdict.MISSING: self.missing}

    @property
    def complete(self) -> bool:
        """Whether the run finished and every planned cell ran and returned."""
        without = (verdict for verdict in self.counts if verdict.is_silent or verdict is Verdict.MISSING)
        return not self.cut_off and not any(self.counts[verdict] for verdict in without)

    @property
    def sentence(self) -> str:
        """What came out of the cells, such as ``Complete: 90 of 94 cells passed, 4 known deviations.``."""
        ran = any(verdict.has_run and number for verdict, number in self.counts.items())
        starts = {"Cut off: ": self.cut_off, "Incomplete: ": self.missing, "Complete: ": self.complete}
        start = next((start for start, applies in starts.items() if applies), "")
        text = passed_of_total(self.counts, "cells") if ran else "no cell ran"
        others = {Verdict.UNSUPPORTED: self.counts.get(Verdict.UNSUPPORTED, 0), Verdict.MISSING: self.missing}
        rest = ", ".join(counted(number, verdict) for verdict, number in others.items() if number)
        sentence = "; ".join(filter(None, (f"{start}{text}", rest)))
        return f"{sentence[0].upper()}{sentence[1:]}."

    @property
    def absent_devices(self) -> tuple[str, ...]:
        """A line for each absent device, such as ``no GPU here: CUDA columns not run (8,836 cells)``."""
        return tuple(
            f"no {DEVICES.get(device, device)} here: {device.upper()} columns not run ({count(cells, 'cell')})"
            for device, cells in self.no_device.items()
        )


@dataclass(frozen=True, slots=True)
class LevelScore:
    """The requirements of one level that were run on an implementation, by their state."""

    level: str
    counts: Mapping[Verdict, int]

    @property
    def total(self) -> int:
        """How many requirements were run."""
        return sum(self.counts.values())

    @property
    def passed(self) -> int:
        """How many requirements passed in every cell that was judged."""
        return self.counts.get(Verdict.PASS, 0)

    @property
    def failed(self) -> bool:
        """Whether any requirement failed, crashed or timed out; known deviations apart."""
        return any(self.counts.get(each) for each in (Verdict.FAIL, Verdict.CRASHED, Verdict.TIMED_OUT))

    @property
    def text(self) -> str:
        """Such as ``58 of 72 passed, 14 known deviations``; the numbers add up to the total."""
        return passed_of_total(self.counts)


@dataclass(frozen=True, slots=True)
class Score:
    """One implementation in one version, over all its columns, on each level of which a requirement was run.

    ``missing`` counts the cells that were not run, apart from those for which there is no device.
    """

    implementation: str
    framework: str
    version: str
    levels: tuple[LevelScore, ...]
    missing: int

    def at(self, level: str) -> LevelScore | None:
        """Return the score on one level, None where no requirement of it was run."""
        return next((score for score in self.levels if score.level == level), None)

    @property
    def sentence(self) -> str:
        """The scores of all levels; levels are never added up."""
        levels = [f"{level.level} {level.text}." for level in self.levels] or ["No cell ran."]
        missing = [f"{count(self.missing, 'cell')} not run."] if self.missing else []
        return " ".join((*levels, *missing))


def column_of(run: Run, key: str) -> Column:
    """Return a column by its key; a result may name one that its header lacks."""
    return run.header.columns.get(key) or Column(key, "unlisted", "", "", "", "")


def package_of(run: Run, column: Column) -> str:
    """Return the package that the version of a column belongs to, such as ``optax``; by default its framework."""
    return str(run.header.implementations.get(column.implementation, {}).get("package", column.framework))


def packages(run: Run, columns: Iterable[Column]) -> list[str]:
    """Return the packages of columns with their versions, each once."""
    names = (f"{package_of(run, column)} {column.version}".strip() for column in columns)
    return list(dict.fromkeys(names))


def short_names(run: Run) -> dict[str, str]:
    """Return for each column the shortest name, without dtype, that distinguishes it from the others that ran."""
    ran: dict[str, set[tuple[str, str, str]]] = {}
    names: dict[str, str] = {}
    columns = {key: column_of(run, key) for key in (*run.header.columns, *(cell.column for cell in run.results))}
    for result in run.results:
        if result.verdict is not Verdict.MISSING:
            column = columns[result.column]
            ran.setdefault(column.implementation, set()).add((column.version, column.device, column.mode))
    for key, column in columns.items():
        place = (column.version, column.device, column.mode)
        only = ran.get(column.implementation) == {place}
        names[key] = " ".join(filter(None, (column.implementation, *(() if only else place))))
    return names


def level_of(run: Run, requirement: str) -> str:
    """Return the level of a requirement, or ``UNLISTED`` where the header lacks it."""
    return one_line(str(run.header.requirements.get(requirement, {}).get("level", "UNLISTED")), 40)


def tested_columns(run: Run) -> list[Column]:
    """Return the columns in which any cell ran; all columns if none did."""
    ran = dict.fromkeys(result.column for result in run.results if result.verdict is not Verdict.MISSING)
    return [column_of(run, key) for key in ran] or list(run.header.columns.values())


def completeness(run: Run) -> Completeness:
    """Count the cells of a run by verdict."""
    counts = Counter(result.verdict for result in run.results)
    devices = Counter(
        column_of(run, result.column).device.partition(",")[0] for result in run.results if _no_device(result)
    )
    return Completeness(len(run.results), counts, devices, run.finished is None)


def headline(run: Run) -> tuple[str, bool]:
    """Return the outcome of a run in a few words, and whether it is a bad one."""
    failed = [result for result in run.results if result.verdict.is_news and result.verdict.is_bad]
    whole = completeness(run)
    if failed:
        requirements = {result.requirement for result in failed}
        text = f"New failures: {count(len(failed), 'cell')} of {count(len(requirements), 'requirement')}"
    elif any(result.verdict is Verdict.FIXED for result in run.results):
        text = "Known deviations are gone: their records must be removed"
    elif any(result.verdict.has_run for result in run.results):
        text = f"No new failures{' in the cells that ran' if whole.missing or whole.cut_off else ''}"
    else:
        text = "No cell ran"
    files = [one_line(each.file, 60) for each in run.cut_off]
    start = f"Cut off: {listed(files)}. " if files else "Cut off. " if whole.cut_off else ""
    return f"{start}{text}", bool(failed) or whole.cut_off


def scores(run: Run) -> tuple[Score, ...]:
    """Return the score of each implementation, in the order of the header's columns."""
    parts: dict[tuple[str, str, str], list[Result]] = {}
    for column in run.header.columns.values():
        parts[column.framework, column.implementation, column.version] = []
    for result in run.results:
        column = column_of(run, result.column)
        parts.setdefault((column.framework, column.implementation, column.version), []).append(result)
    return tuple(
        Score(
            implementation=implementation,
            framework=framework,
            version=version,
            levels=tuple(level_scores(run, results)),
            missing=sum(result.verdict is Verdict.MISSING and not _no_device(result) for result in results),
        )
        for (framework, implementation, version), results in parts.items()
    )


def level_scores(run: Run, results: Sequence[Result]) -> Iterator[LevelScore]:
    """Yield the score of some cells on each level of which a requirement was run."""
    levels = {name: level_of(run, name) for name in dict.fromkeys(result.requirement for result in results)}
    for level in (*LEVELS, *sorted(set(levels.values()) - set(LEVELS))):
        counts = state_counts(result for result in results if levels[result.requirement] == level)
        if counts:
            yield LevelScore(level, counts)


def state_counts(results: Iterable[Result]) -> Mapping[Verdict, int]:
    """Return how many requirements are in each state; empty where no cell ran."""
    verdicts: dict[str, set[Verdict]] = {}
    for result in results:
        verdicts.setdefault(result.requirement, set()).add(result.verdict)
    return Counter(found for found in map(state, verdicts.values()) if found is not None)


def _no_device(result: Result) -> bool:
    return result.verdict is Verdict.MISSING and result.absence is Absence.NO_DEVICE


def severity(result: Result) -> tuple[int, float]:
    """Return a sort key with the worst first: by verdict, then by headroom."""
    return _WORST_FIRST.index(result.verdict), -(result.headroom or 0.0)
