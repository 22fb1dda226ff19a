"""Plan: the cells of a selection, resolved once, before any framework is imported."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Self

from kl_conformance.cells.effort import has_chapter
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements import catalogue
from kl_conformance.requirements.requirement import Requirement
from kl_conformance.runs.selection import Selection, columns_of
from kl_reports.runfile.records import Column


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """One cell to evaluate."""

    requirement: Requirement
    implementation: Implementation
    column: Column

    @property
    def key(self) -> str:
        """``requirement@column``."""
        return f"{self.requirement.id}@{self.column.key}"


@dataclass(frozen=True, slots=True)
class Plan:
    """A selection and what it resolves to.

    Parameters
    ----------
    selection
        What the user selected.
    implementations
        The selected implementations.
    columns
        Their selected columns, in the order of the run file.
    cells
        One for each requirement in each column, column by column: the order of the run file.
    """

    selection: Selection
    implementations: tuple[Implementation, ...]
    columns: tuple[Column, ...]
    cells: tuple[PlannedCell, ...]

    @classmethod
    def of(cls, selection: Selection, implementations: Iterable[Implementation]) -> Self:
        """Return the plan of a selection for these implementations.

        In columns whose dtype has reduced effort, user kernels have only the numeric chapters if they are tested
        in the similar dtype as well.
        """
        tested = tuple(
            replace(each, typical_shape=selection.shape) if selection.shape else each for each in implementations
        )
        every = ((each, column) for each in tested for column in columns_of(each))
        selected = [(each, column) for each, column in every if selection.includes(column)]
        columns = tuple(column for _, column in selected)
        return cls(selection, tested, columns, tuple(_cells(selected, selection)))

    def chapter(self, name: str) -> list[PlannedCell]:
        """Return the cells of one chapter of the requirements."""
        return [cell for cell in self.cells if cell.requirement.chapter == name]


def resolve(selection: Selection) -> Plan:
    """Return the plan of a selection; user modules are imported.

    Raises
    ------
    ValueError
        A name is unknown, a user implementation cannot be tested, or two implementations have the same name.
    """
    return Plan.of(selection, selection.load_implementations())


def _cells(selected: Iterable[tuple[Implementation, Column]], selection: Selection) -> Iterator[PlannedCell]:
    for implementation, column in selected:
        for chapter, requirements in catalogue.CHAPTERS.items():
            if has_chapter(implementation, column, chapter, selection.profile, selection.reduced):
                yield from (PlannedCell(requirement, implementation, column) for requirement in requirements)


def evaluation_order(planned: Iterable[PlannedCell]) -> list[PlannedCell]:
    """Return cells in the order of evaluation: one requirement of each implementation before the next requirement.

    Problems and reference answers are shared by all columns of one framework, device, mode and dtype, and answers by
    the requirements of a column: this order computes each once.
    """
    cells = list(planned)
    requirements = {name: place for place, name in enumerate(catalogue.REQUIREMENTS)}
    keys = {key: place for place, key in enumerate(dict.fromkeys(cache_key(each.column) for each in cells))}
    return sorted(cells, key=lambda each: (keys[cache_key(each.column)], requirements[each.requirement.id]))


def cache_key(column: Column) -> tuple[str, ...]:
    """Return what is equal in columns that share problems, cached answers and compiled functions."""
    return column.framework, column.device, column.mode, column.dtype
