"""FAQ section and table of declared properties: both are answered by measured cells of each implementation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from kl_reports.analysis.scores import column_of, severity
from kl_reports.analysis.wording import LOOKS, count, one_line, outcome, short_dtype
from kl_reports.page.links import fragment
from kl_reports.page.matrix import Chip, figure
from kl_reports.runfile.records import Result, Run

_MOST = 12  # FAQ entries, and requirements of one entry
ARITHMETIC = "arithmetic"  # measured column by column; no convention declares it


@dataclass(frozen=True, slots=True)
class FaqAnswer:
    """The answer of one implementation: the declared property, and one chip for each requirement of the entry."""

    name: str
    version: str
    declared: str
    chips: tuple[Chip, ...]


@dataclass(frozen=True, slots=True)
class FaqEntry:
    """A frequent question, its general answer, and the answers of the implementations."""

    question: str
    answer: str
    property: str
    requirements: tuple[str, ...]
    answers: tuple[FaqAnswer, ...]


@dataclass(frozen=True, slots=True)
class DeclaredProperty:
    """One property of one implementation, and the requirements that measure it, each with its chip."""

    declared: str
    evidence: tuple[tuple[Chip, str], ...]


@dataclass(frozen=True, slots=True)
class DescribedImplementation:
    """One implementation with its properties, in the order of :meth:`Evidence.properties`."""

    name: str
    link: str
    properties: tuple[DeclaredProperty, ...]


class Evidence:
    """The cells of a run that were run, by implementation and requirement.

    ``links`` has the link of each cell that has details elsewhere on the page.
    """

    def __init__(self, run: Run, links: Mapping[str, str]) -> None:
        self._run = run
        self._links = links
        self._cells: dict[tuple[str, str], list[Result]] = {}
        for result in run.results:
            if result.verdict.has_run:
                name = column_of(run, result.column).implementation
                self._cells.setdefault((name, result.requirement), []).append(result)

    def faq(self) -> Iterator[FaqEntry]:
        """Yield the FAQ entries of the run's guide that any cell of this run answers."""
        for entry in _objects(self._run.header.guide.get("questions"))[:_MOST]:
            requirements = _texts(entry.get("requirements"))[:_MOST]
            tested = tuple(name for name in requirements if any(key[1] == name for key in self._cells))
            question, answer, name = (str(entry.get(key, "")) for key in ("question", "answer", "property"))
            if answers := tuple(self._answers(tested, name)):
                yield FaqEntry(question, answer, name, tested, answers)

    def properties(self) -> list[str]:
        """Return the names of the properties that describe implementations, measured ones last."""
        declared = (name for entry in self._run.header.implementations.values() for name in entry)
        measured = [ARITHMETIC] if self._arithmetic() else []
        names = dict.fromkeys((*declared, *self._requirements(), *measured))
        return [name for name in names if name not in {"framework", "package", "documentation"}]

    def implementations(self) -> Iterator[DescribedImplementation]:
        """Yield every implementation with its properties, each with the cells that measure it."""
        requirements, properties, measured = self._requirements(), self.properties(), self._arithmetic()
        for name, declared in self._run.header.implementations.items():
            values = {**declared, ARITHMETIC: measured.get(name, "")}
            entries = tuple(
                DeclaredProperty(
                    str(values.get(each, "")),
                    tuple(
                        (self._chip(name, requirement), requirement)
                        for requirement in requirements.get(each, ())
                        if (name, requirement) in self._cells
                    ),
                )
                for each in properties
            )
            yield DescribedImplementation(name, str(values.get("documentation", "")), entries)

    def _arithmetic(self) -> dict[str, str]:
        """Return the measured arithmetic of each implementation's columns."""
        found: dict[str, list[str]] = {}
        for result in self._run.results:
            if result.arithmetic:
                column = column_of(self._run, result.column)
                text = f"{column.dtype} on {column.device}: {result.arithmetic}"
                found.setdefault(column.implementation, []).append(one_line(text))
        return {name: "; ".join(dict.fromkeys(texts)) for name, texts in found.items()}

    def _requirements(self) -> dict[str, list[str]]:
        """Return the requirements that measure each property."""
        found = self._run.header.guide.get("evidence")
        if not isinstance(found, dict):
            return {}
        entries = cast("dict[str, Any]", found)
        return {name: _texts(requirements)[:_MOST] for name, requirements in entries.items()}

    def _answers(self, requirements: Sequence[str], name: str) -> Iterator[FaqAnswer]:
        """Yield the answers of the implementations that were tested with any of these requirements."""
        header = self._run.header
        versions: dict[str, dict[str, None]] = {}
        for column in header.columns.values():
            versions.setdefault(column.implementation, {})[column.version] = None
        for implementation, tested in versions.items():
            if any((implementation, requirement) in self._cells for requirement in requirements):
                declared = str(header.implementations.get(implementation, {}).get(name, ""))
                chips = tuple(self._chip(implementation, requirement) for requirement in requirements)
                yield FaqAnswer(implementation, ", ".join(tested), declared, chips)

    def _chip(self, name: str, requirement: str) -> Chip:
        """Return the chip of an implementation's worst cell of one requirement."""
        results = sorted(self._cells.get((name, requirement), ()), key=severity)
        where = f"{one_line(requirement)} on {one_line(name)}"
        if not results:
            return Chip("–", "s", f"{where}: not applicable", "")
        worst = results[0]
        dtype = short_dtype(column_of(self._run, worst.column).dtype)
        label = f"{where}, worst of {count(len(results), 'cell')}, {one_line(dtype)}: {outcome(worst)}"
        link = self._links.get(worst.cell) or fragment(requirement)
        return Chip(figure(worst), LOOKS[worst.verdict].style, label, link)


def _objects(value: Any) -> list[dict[str, Any]]:
    entries = cast("list[Any]", value) if isinstance(value, list | tuple) else []
    return [cast("dict[str, Any]", each) for each in entries if isinstance(each, dict)]


def _texts(value: Any) -> list[str]:
    entries = cast("list[Any]", value) if isinstance(value, list | tuple) else []
    return [each for each in entries if isinstance(each, str)]
