"""What a run sets out to judge: every requirement × every column asked for, named before any framework loads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from kl_cases.problems import Profile
from kl_conformance import catalogue, registry
from kl_conformance.implementation import Implementation
from kl_conformance.mode import EAGER, dtypes, modes
from kl_conformance.requirement import Requirement
from kl_reference.dtype import Dtype
from kl_reports.result import Column

ALIKE = {"float64": "float32", "bfloat16": "float16"}  # each beside the format it is most like
NUMBERS = ("values", "support", "signs", "reductions", "identities")


@dataclass(frozen=True, slots=True)
class Selection:
    """Who is to be asked, and how much; an empty tuple means all.

    Parameters
    ----------
    implementations
        Names, ``module:attribute`` or ``file.py:attribute``.
    frameworks, devices, dtypes, modes
        Names; without modes, ``eager``.
    profile, seed
        How much is asked, and the seed of the search.
    like
        Known implementation whose way the callables a user brings are asked in; the one of ``frameworks``, where
        it is named, then says whose tensors they take.
    strict
        Whether they must be right also where that one is recorded to be wrong.
    shape
        Rows and classes at which all are asked as well, whatever they say they are used at.
    brief
        Dtypes that are asked less; see :func:`brief`.
    only
        Keys of the columns that are asked, where another worker asks the others; empty for all.
    """

    implementations: tuple[str, ...] = ()
    frameworks: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    modes: tuple[str, ...] = ()
    profile: Profile = Profile.STANDARD
    seed: int = 0
    like: str = ""
    strict: bool = False
    shape: tuple[int, int] | None = None
    brief: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[str, ...]:
        """The dtypes that are asked for their numbers alone."""
        return self.brief if self.profile is Profile.QUICK else ()

    def check(self) -> None:
        """Refuse unknown names, without importing what a user brings.

        Raises
        ------
        UnknownNameError
            The message gives the name and the known ones.
        """
        frameworks = registry.FRAMEWORKS.values()
        registry.check("framework", self.frameworks, registry.FRAMEWORKS)
        registry.check("device", self.devices, dict.fromkeys(d for each in frameworks for d in each.devices))
        registry.check("dtype", self.dtypes, [dtype.label for dtype in Dtype])
        registry.check(
            "mode",
            self.modes,
            dict.fromkeys(
                (EAGER, *(m for each in frameworks for m in (*each.setting_modes, *each.compiled_modes)))
            ),
        )
        if self.like:
            registry.check("implementation", [self.like], registry.IMPLEMENTATIONS)
        for name in self.implementations:
            if not registry.is_brought(name):
                registry.implementation(name)

    def chosen(self) -> list[Implementation]:
        """Return the implementations to ask.

        Raises
        ------
        ValueError
            A name is unknown, what a user brings cannot be asked, or two implementations bear one name.
        """
        self.check()
        tensors = self.frameworks[0] if self.like and self.frameworks else ""
        asked = [
            registry.implementation(name, self.like, framework=tensors, strict=self.strict)
            for name in dict.fromkeys(self.implementations)
        ]
        found: dict[str, Implementation] = {}
        for each in asked or registry.IMPLEMENTATIONS.values():
            if found.setdefault(each.name, each) is not each:
                raise ValueError(f"two implementations are named {each.name!r}; give one another name")
        return [
            replace(each, typical_shape=self.shape) if self.shape else each
            for each in found.values()
            if not self.frameworks or each.framework in self.frameworks
        ]

    def known(self) -> list[Implementation]:
        """Return those to ask that the registry knows, without importing what a user brings."""
        names = dict.fromkeys(self.implementations or registry.IMPLEMENTATIONS)
        known = [registry.implementation(name) for name in names if not registry.is_brought(name)]
        return [each for each in known if not self.frameworks or each.framework in self.frameworks]

    def columns(self) -> list[tuple[Implementation, Column]]:
        """Return every column to ask, in the order shown."""
        return [(each, column) for each in self.chosen() for column in columns(each) if self.wants(column)]

    def vain(self) -> str:
        """Return, in words, what was asked for that nobody has."""
        named = (("of", self.frameworks), ("on", self.devices), ("in", (*self.dtypes, *self.modes)))
        asked = " ".join(f"{word} {' or '.join(names)}" for word, names in named if names)
        there = [column for each in self.chosen() for column in columns(each)]
        if not there:
            known = ", ".join(registry.asked_frameworks())
            who = f"{'none of those named is' if self.implementations else 'no implementation'} {asked}"
            return f"nothing to ask: {who}; frameworks with implementations of their own: {known}"
        names = ", ".join(dict.fromkeys(each.implementation for each in there))
        devices = ", ".join(dict.fromkeys(each.device for each in there))
        dtypes = ", ".join(dict.fromkeys(each.dtype for each in there))
        return f"nothing to ask {asked}: {names} can be asked on {devices} in {dtypes}"

    def wants(self, column: Column) -> bool:
        """Whether a column is one of those asked for."""
        modes = self.modes or (EAGER,)  # the others take their time, and are asked where they are named
        asked = ((self.devices, column.device), (self.dtypes, column.dtype), (modes, column.mode))
        return all(not names or own in names for names, own in (*asked, (self.only, column.key)))


def shape(text: str) -> tuple[int, int] | None:
    """Return rows and classes written ``2048x131072``; None where nothing is written.

    Raises
    ------
    ValueError
        The message gives what is written instead.
    """
    if not text:
        return None
    try:
        rows, classes = (int(part) for part in text.split("x"))
    except ValueError:
        rows = classes = 0
    if min(rows, classes) < 1:
        raise ValueError(f"the shape {text!r} is not ROWSxCLASSES, such as 2048x131072")
    return rows, classes


@dataclass(frozen=True, slots=True)
class Planned:
    """One cell to judge."""

    requirement: Requirement
    implementation: Implementation
    column: Column

    @property
    def key(self) -> str:
        """``requirement@column``."""
        return f"{self.requirement.id}@{self.column.key}"


def columns(implementation: Implementation) -> list[Column]:
    """Return every column of an implementation: device × mode × dtype."""
    framework = registry.framework(implementation.framework)
    version = registry.installed_version(implementation.package)
    return [
        Column(implementation.name, implementation.framework, version, device, dtype.label, mode)
        for device in framework.devices
        for mode in modes(implementation, framework)
        for dtype in dtypes(implementation, framework, mode)
    ]


def cells(selection: Selection, *chapters: str) -> list[Planned]:
    """Return the cells of these chapters (of all when none is named), column by column."""
    return planned(selection.columns(), *chapters, numbers=selection.numbers)


def planned(
    asked: Iterable[tuple[Implementation, Column]], *chapters: str, numbers: tuple[str, ...] = ()
) -> list[Planned]:
    """Return a cell for every requirement of these chapters (of all when none is named) in every column.

    Of a kernel that is brought, columns of the dtypes in ``numbers`` have chapters ``NUMBERS`` alone, where the format
    they are like is asked as well.
    """
    return [
        Planned(requirement, implementation, column)
        for implementation, column in asked
        for chapter in chapters or catalogue.CHAPTERS
        if registry.is_known(implementation.name) or not for_numbers(implementation, column, chapter, numbers)
        for requirement in catalogue.CHAPTERS[chapter]
    ]


def in_turn(planned: Iterable[Planned]) -> list[Planned]:
    """Return cells in the order to ask them: one requirement of every implementation, before the next is.

    What is asked of all on one device, in one mode and dtype is drawn, built and answered by the reference once, and
    whoever answers a problem for one requirement still has the answer for the next.
    """
    places = {name: place for place, name in enumerate(catalogue.REQUIREMENTS)}
    kinds: dict[tuple[str, ...], int] = {}
    for each in (found := list(planned)):
        kinds.setdefault(kind(each.column), len(kinds))
    return sorted(found, key=lambda each: (kinds[kind(each.column)], places[each.requirement.id]))


def kind(column: Column) -> tuple[str, ...]:
    """Return what columns have alike that share what is drawn, remembered and compiled."""
    return column.framework, column.device, column.mode, column.dtype


def formats(selection: Selection, known: Iterable[Implementation]) -> tuple[str, ...]:
    """Return the dtypes that known implementations are asked in; empty for all.

    The quick profile asks float32, where neither a dtype nor a mode is named; of who does not take it, the first taken.
    """
    if selection.dtypes or selection.modes or selection.profile is not Profile.QUICK:
        return selection.dtypes
    first = (Dtype.FLOAT32 if Dtype.FLOAT32 in each.dtypes else each.dtypes[0] for each in known)
    return tuple(dict.fromkeys(dtype.label for dtype in first))


def brief(dtypes: Sequence[str], profile: Profile) -> tuple[str, ...]:
    """Return the dtypes that are asked less: the second of two alike, but in the thorough profile.

    One code serves both formats of a kind. Profile standard asks the second all requirements, and searches no longer
    than quick does; profile quick asks a kernel that is brought for its numbers alone in it, and in the first what a
    kernel does beside them (layouts, state, gradients). As many of the wrong kernels of the kill matrix are stopped so.
    """
    if profile is Profile.THOROUGH:
        return ()
    wanted = dtypes or [dtype.label for dtype in Dtype]
    return tuple(second for second, first in ALIKE.items() if {first, second} <= set(wanted))


def for_numbers(
    implementation: Implementation, column: Column, chapter: str, numbers: tuple[str, ...]
) -> bool:
    """Whether a chapter is left out in a column that is asked for its numbers alone: not where a mode is named."""
    return column.mode == EAGER and chapter not in NUMBERS and is_brief(implementation, column, numbers)


def is_brief(implementation: Implementation, column: Column, brief: tuple[str, ...]) -> bool:
    """Whether a column is one of these, and its implementation takes the format it is like as well."""
    taken = {dtype.label for dtype in implementation.dtypes}
    return column.dtype in brief and ALIKE[column.dtype] in taken
