"""What measured cells say of each implementation: people's questions answered, every property backed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kl_reports.analysis.scores import column_of, severity
from kl_reports.analysis.wording import LOOKS, count, one_line, outcome, ratio, short_dtype
from kl_reports.page.links import fragment
from kl_reports.page.matrix import Chip
from kl_reports.runfile.records import Result, Run

_MOST = 12  # questions, and requirements behind one of them, that are shown
ARITHMETIC = "arithmetic"  # measured column by column, and no word of a Convention


@dataclass(frozen=True, slots=True)
class FaqAnswer:
    """What one implementation says of itself in a question's matter, and a figure for each requirement behind it."""

    name: str
    version: str
    said: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True, slots=True)
class FaqEntry:
    """What people ask, the answer in words, and what was measured."""

    asked: str
    answer: str
    property: str
    requirements: tuple[str, ...]
    answers: tuple[FaqAnswer, ...]


@dataclass(frozen=True, slots=True)
class FaqRow:
    """One property of one implementation: what it says, and the figures that back it."""

    said: str
    named: tuple[tuple[Chip, str], ...]

    @property
    def chips(self) -> tuple[Chip, ...]:
        """The figures without the requirements they are of."""
        return tuple(chip for chip, _ in self.named)


@dataclass(frozen=True, slots=True)
class Described:
    """One implementation by its properties."""

    name: str
    link: str
    entries: tuple[FaqRow, ...]


class Evidence:
    """The cells of a run by implementation and requirement.

    Parameters
    ----------
    run
        The run.
    links
        For each cell of which the page says more, where.
    """

    def __init__(self, run: Run, links: Mapping[str, str]) -> None:
        self._run = run
        self._links = links
        self._cells: dict[tuple[str, str], list[Result]] = {}
        for result in run.results:
            if result.verdict.has_run:
                name = column_of(run, result.column).implementation
                self._cells.setdefault((name, result.requirement), []).append(result)

    def questions(self) -> Iterator[FaqEntry]:
        """Give the questions of the run's guide that any cell of this run answers."""
        for entry in _objects(self._run.header.guide.get("questions"))[:_MOST]:
            requirements = _texts(entry.get("requirements"))[:_MOST]
            known = tuple(name for name in requirements if any(key[1] == name for key in self._cells))
            own = str(entry.get("property", ""))
            answers = tuple(self._answers(known, own))
            if answers:
                asked, answer = (str(entry.get(key, "")) for key in ("asked", "answer"))
                yield FaqEntry(asked, answer, own, known, answers)

    def properties(self) -> list[str]:
        """Return the properties implementations are described by, in order, measured ones last."""
        described = (name for entry in self._run.header.implementations.values() for name in entry)
        known = dict.fromkeys((*described, *self._backing(), *([ARITHMETIC] if self._arithmetic() else ())))
        return [name for name in known if name not in {"framework", "package", "documentation"}]

    def described(self) -> Iterator[Described]:
        """Give every implementation with its properties, each with the cells that measured it."""
        backing, properties, measured = self._backing(), self.properties(), self._arithmetic()
        for name, said in self._run.header.implementations.items():
            own = {**said, ARITHMETIC: measured.get(name, "")}
            entries = tuple(
                FaqRow(str(own.get(each, "")), tuple(self._backed(name, backing.get(each, ()))))
                for each in properties
            )
            yield Described(name, str(own.get("documentation", "")), entries)

    def _arithmetic(self) -> dict[str, str]:
        """Return what was measured of the arithmetic of each implementation's columns."""
        found: dict[str, list[str]] = {}
        for result in self._run.results:
            if result.arithmetic:
                column = column_of(self._run, result.column)
                words = f"{column.dtype} on {column.device}: {result.arithmetic}"
                found.setdefault(column.implementation, []).append(one_line(words))
        return {name: "; ".join(dict.fromkeys(words)) for name, words in found.items()}

    def _backing(self) -> dict[str, list[str]]:
        found = self._run.header.guide.get("evidence")
        if not isinstance(found, dict):
            return {}
        entries = cast("dict[str, Any]", found)
        return {name: _texts(requirements)[:_MOST] for name, requirements in entries.items()}

    def _answers(self, requirements: Sequence[str], own: str) -> Iterator[FaqAnswer]:
        header = self._run.header
        for name in dict.fromkeys(column.implementation for column in header.columns.values()):
            if any((name, requirement) in self._cells for requirement in requirements):
                said = str(header.implementations.get(name, {}).get(own, ""))
                versions = [
                    column.version for column in header.columns.values() if column.implementation == name
                ]
                chips = tuple(self._chip(name, requirement) for requirement in requirements)
                yield FaqAnswer(name, ", ".join(dict.fromkeys(versions)), said, chips)

    def _backed(self, name: str, requirements: Iterable[str]) -> Iterator[tuple[Chip, str]]:
        for requirement in requirements:
            if (name, requirement) in self._cells:
                yield self._chip(name, requirement), requirement

    def _chip(self, name: str, requirement: str) -> Chip:
        """Return the worst of an implementation's cells of one requirement."""
        results = sorted(self._cells.get((name, requirement), ()), key=severity)
        where = f"{one_line(requirement)} on {one_line(name)}"
        if not results:
            return Chip("–", "s", f"{where}: not applicable", "")
        worst = results[0]
        look = LOOKS[worst.verdict]
        text = look.glyph if worst.headroom is None else f"{look.glyph} {ratio(worst.headroom)}"
        dtype = short_dtype(column_of(self._run, worst.column).dtype)
        label = f"{where}, the worst of {count(len(results), 'cell')}, {one_line(dtype)}: {outcome(worst)}"
        return Chip(text, look.style, label, self._links.get(worst.cell) or fragment(requirement))


def _objects(value: Any) -> list[dict[str, Any]]:
    entries = cast("list[Any]", value) if isinstance(value, list | tuple) else []
    return [cast("dict[str, Any]", each) for each in entries if isinstance(each, dict)]


def _texts(value: Any) -> list[str]:
    entries = cast("list[Any]", value) if isinstance(value, list | tuple) else []
    return [each for each in entries if isinstance(each, str)]
