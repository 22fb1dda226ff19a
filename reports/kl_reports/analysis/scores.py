"""A run counted: how complete it is, and what each implementation holds by level of requirement."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kl_reports.analysis.wording import count, listed, one_line
from kl_reports.runfile.records import Column, Result, Run, Verdict

LEVELS = ("MUST", "SHOULD", "CONVENTION")


@dataclass(frozen=True, slots=True)
class Completeness:
    """How much of what was planned was judged."""

    planned: int
    counts: Mapping[Verdict, int]
    cut_off: bool

    @property
    def missing(self) -> int:
        """Cells that never ran."""
        return self.counts.get(Verdict.MISSING, 0)

    @property
    def complete(self) -> bool:
        """Whether the run came to its own end and every planned cell was asked and answered."""
        lost = (verdict for verdict in self.counts if verdict.is_silent or verdict is Verdict.MISSING)
        return not self.cut_off and not any(self.counts[verdict] for verdict in lost)

    @property
    def sentence(self) -> str:
        """The sentence for the headline."""
        ran = self.planned - self.missing
        lost = [
            f"{self.counts[verdict]:,} {word}"
            for verdict, word in (
                (Verdict.MISSING, "missing"),
                (Verdict.CRASHED, "crashed"),
                (Verdict.TIMED_OUT, "timed out"),
            )
            if self.counts.get(verdict)
        ]
        if self.complete:
            return f"Complete: all {count(self.planned, 'planned cell')} ran."
        start = "Incomplete, the run was cut off" if self.cut_off else "Not all of it ran"
        return (
            f"{start}: {ran:,} of {count(self.planned, 'planned cell')} ran"
            + "".join(f"{mark} {entry}" for mark, entry in zip((";", ",", ","), lost, strict=False))
            + "."
        )


@dataclass(frozen=True, slots=True)
class LevelScore:
    """How many requirements of one level an implementation holds, of those it was asked."""

    level: str
    asked: int
    held: int
    broken: int
    silent: int
    undecided: int
    deviations: int

    @property
    def rest(self) -> str:
        """What is not plainly held, such as ``3 broken; 4 recorded deviations``; empty where nothing is."""
        words = (
            (self.broken, "broken"),
            (self.silent, "crashed or timed out"),
            (self.undecided, "undecided"),
        )
        parts = [f"{number} {word}" for number, word in words if number]
        recorded = [count(self.deviations, "recorded deviation")] if self.deviations else []
        return "; ".join(filter(None, (", ".join(parts), *recorded)))

    @property
    def sentence(self) -> str:
        """Such as ``MUST 61/64 held, 3 broken; 4 recorded deviations.``, on one line."""
        mark = "; " if self.held == self.asked else ", "
        return f"{self.level} {self.held}/{self.asked} held{mark if self.rest else ''}{self.rest}."


@dataclass(frozen=True, slots=True)
class Score:
    """One implementation in one version, over all its columns."""

    implementation: str
    framework: str
    version: str
    levels: tuple[LevelScore, ...]
    fixed: int
    missing: int

    def at(self, level: str) -> LevelScore | None:
        """Return the score on one level, where any requirement of it was asked."""
        return next((score for score in self.levels if score.level == level), None)

    @property
    def sentence(self) -> str:
        """The verdict sentence; levels stay apart, nothing is added up."""
        levels = [level.sentence for level in self.levels] or ["Nothing was judged."]
        fixed = [f"{count(self.fixed, 'cell')} fixed."] if self.fixed else []
        missing = [f"{count(self.missing, 'cell')} never ran."] if self.missing else []
        return " ".join((*levels, *fixed, *missing))


def column_of(run: Run, key: str) -> Column:
    """Return a column by its key; a result may name one that its header lacks."""
    return run.header.columns.get(key) or Column(key, "unlisted", "", "", "", "")


def package_of(run: Run, column: Column) -> str:
    """Return the package whose version a column bears, such as ``optax``; its framework where none is said."""
    return str(run.header.implementations.get(column.implementation, {}).get("package", column.framework))


def packages(run: Run, columns: Iterable[Column]) -> list[str]:
    """Return the packages of columns with their versions, each once."""
    names = (f"{package_of(run, column)} {column.version}".strip() for column in columns)
    return list(dict.fromkeys(names))


def short_names(run: Run) -> dict[str, str]:
    """Return for each column the shortest name, dtype apart, that tells it from the others that ran."""
    ran: dict[str, set[tuple[str, str, str]]] = {}
    names: dict[str, str] = {}
    columns = {
        key: column_of(run, key) for key in (*run.header.columns, *(cell.column for cell in run.results))
    }
    for result in run.results:
        if result.verdict is not Verdict.MISSING:
            column = columns[result.column]
            ran.setdefault(column.implementation, set()).add((column.version, column.device, column.mode))
    for key, column in columns.items():
        place = (column.version, column.device, column.mode)
        alone = ran.get(column.implementation) == {place}
        names[key] = " ".join(filter(None, (column.implementation, *(() if alone else place))))
    return names


def level_of(run: Run, requirement: str) -> str:
    """Return the level of a requirement, or ``UNLISTED`` where the header lacks it."""
    return one_line(str(run.header.requirements.get(requirement, {}).get("level", "UNLISTED")), 40)


def completeness(run: Run) -> Completeness:
    """Count the cells of a run by verdict."""
    counts = Counter(result.verdict for result in run.results)
    return Completeness(len(run.results), counts, run.finished is None)


def headline(run: Run) -> tuple[str, bool]:
    """Return a run's verdict in a few words, and whether it is a bad one."""
    broken = [result for result in run.results if result.verdict.is_news and result.verdict.is_bad]
    if broken:
        requirements = {result.requirement for result in broken}
        words = f"New or broken: {count(len(broken), 'cell')} of {count(len(requirements), 'requirement')}"
    elif any(result.verdict is Verdict.FIXED for result in run.results):
        words = "Recorded deviations are gone: their records must go"
    else:
        words = f"Nothing {'' if completeness(run).complete else 'that ran '}is newly broken"
    cut = run.finished is None
    names = [one_line(each.file, 60) for each in run.cut_off]
    start = f"Cut off: {listed(names)}. " if names else "Cut off. " if cut else ""
    return f"{start}{words}", bool(broken) or cut


def scores(run: Run) -> tuple[Score, ...]:
    """Return what each implementation holds, in the order of the header's columns."""
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
            levels=tuple(_levels(run, results)),
            fixed=sum(result.verdict is Verdict.FIXED for result in results),
            missing=sum(result.verdict is Verdict.MISSING for result in results),
        )
        for (framework, implementation, version), results in parts.items()
    )


def _levels(run: Run, results: Sequence[Result]) -> Iterable[LevelScore]:
    verdicts: dict[str, set[Verdict]] = {}
    recorded: dict[str, set[str]] = {}
    for result in results:
        verdicts.setdefault(result.requirement, set()).add(result.verdict)
        if result.verdict is Verdict.EXPECTED:
            recorded.setdefault(level_of(run, result.requirement), set()).add(
                result.deviation or result.requirement
            )
    ran = {name: {each for each in seen if each.has_run} for name, seen in verdicts.items()}
    asked = {name: seen for name, seen in ran.items() if seen}
    levels = {name: level_of(run, name) for name in asked}
    for level in (*LEVELS, *sorted(set(levels.values()) - set(LEVELS))):
        states = Counter(_state(seen) for name, seen in asked.items() if levels[name] == level)
        if states:
            yield LevelScore(
                level=level,
                asked=states.total(),
                held=states["held"],
                broken=states["broken"],
                silent=states["silent"],
                undecided=states["undecided"],
                deviations=len(recorded.get(level, ())),
            )


def _state(seen: set[Verdict]) -> str:
    if any(each.is_news and each.is_bad and not each.is_silent for each in seen):
        return "broken"
    if any(each.is_silent for each in seen):
        return "silent"
    return "held" if any(each.is_good or each.is_recorded for each in seen) else "undecided"


_WORST_FIRST = (
    Verdict.FAIL,
    Verdict.CRASHED,
    Verdict.TIMED_OUT,
    Verdict.NONDETERMINISTIC,
    Verdict.FIXED,
    Verdict.EXPECTED,
    Verdict.UNDECIDED,
    Verdict.PASS,
    Verdict.MISSING,
    Verdict.UNSUPPORTED,
)


def severity(result: Result) -> tuple[int, float]:
    """Return a sort key that puts the worst first: by verdict, then by headroom."""
    return _WORST_FIRST.index(result.verdict), -(result.headroom or 0.0)
