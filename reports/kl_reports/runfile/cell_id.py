"""Ids of cells and of requirements."""

from dataclasses import dataclass
from typing import Self


def chapter_of(requirement: str) -> str:
    """Return the chapter of a requirement's id, ``values`` of ``values/sum``."""
    return requirement.partition("/")[0]


def slug_of(requirement: str) -> str:
    """Return a requirement's id without its chapter, ``sum`` of ``values/sum``."""
    return requirement.partition("/")[2]


@dataclass(frozen=True, slots=True)
class CellId:
    """The id of a cell: a requirement's id and a column's key, as text ``requirement@column``."""

    requirement: str
    column: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse ``requirement@column``; the column is empty if the text has no ``@``."""
        requirement, _, column = text.partition("@")
        return cls(requirement, column)

    def __str__(self) -> str:
        return f"{self.requirement}@{self.column}"

    @property
    def chapter(self) -> str:
        """The chapter of its requirement."""
        return chapter_of(self.requirement)
