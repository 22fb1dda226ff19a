"""Test effort: how many problems, shapes, call forms, draws and seconds a cell gets (the only place).

User kernels get all of a profile, because no upstream project tests them. Built-in implementations get as much as
shows that they changed, and the fewest shapes where every new shape is compiled.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from kl_cases.distributions import FAMILIES
from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.harness.modes import EAGER
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements.requirement import FaultSource, Requirement
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column

# Pairs that the search draws for a cell.
DRAWS: Mapping[FaultSource, Mapping[TestProfile, int]] = {
    FaultSource.VALUES: {TestProfile.QUICK: 2, TestProfile.STANDARD: 20, TestProfile.THOROUGH: 200},
    FaultSource.CALL: {TestProfile.QUICK: 0, TestProfile.STANDARD: 5, TestProfile.THOROUGH: 50},
}
# The same for built-in implementations in the standard profile: a few more than the largest figures of
# studies/discovery/discovery.md, 13 and 1.
BUILTIN_DRAWS: Mapping[FaultSource, int] = {FaultSource.VALUES: 15, FaultSource.CALL: 2}

SHRINK_SECONDS = 6.0  # a shrink ends then with the smallest pair so far: some frameworks compile every new shape
LARGE = 2**16  # elements of an expensive problem

LONG_SHAPE = (2, 1025)  # the only long shape where there are few
# Shapes of built-in implementations where each shape is compiled: no axis and one, one row, one class, odd numbers,
# three axes, and more than 1024 classes. User kernels may work in blocks of their own, and get every size.
COMPILED_SHAPES: frozenset[Shape] = frozenset({(), (4,), (1, 4), (3, 1), (3, 5), (2, 3, 5), LONG_SHAPE})
# The same for gradients, which are compiled in three times as many pieces.
COMPILED_GRADIENT_SHAPES: frozenset[Shape] = frozenset({(3, 5), LONG_SHAPE})
# The same in the quick profile, and in the second of two similar dtypes.
COMPILED_QUICK_SHAPES: frozenset[Shape] = frozenset({(3, 5)})
# Shapes of most reported cases: added to COMPILED_SHAPES in the standard profile, except for gradients.
REPORTED_SHAPES: frozenset[Shape] = frozenset({(1,), (2,), (3,), (1, 2), (1, 3), (2, 2), (2, 3)})
# Shapes in the quick profile where each takes seconds.
SLOW_SHAPES: frozenset[Shape] = frozenset({(1, 3), (2, 3), (3, 5), (8, 31)})
_SHAPE_TABLES = (COMPILED_SHAPES, COMPILED_GRADIENT_SHAPES, COMPILED_QUICK_SHAPES, REPORTED_SHAPES, SLOW_SHAPES)
RULES = f"{LONG_SHAPE}|{[sorted(each) for each in _SHAPE_TABLES]}"  # part of the hash of a problem set
CHAPTERS_OF_FEW_FORMS = ("values", "support", "signs")  # few call forms: a case may have a shape of its own

# The second of two similar dtypes, and the first: most kernels run the same code in both.
SIMILAR_DTYPES = {"float64": "float32", "bfloat16": "float16"}
NUMERIC_CHAPTERS = ("values", "support", "signs", "reductions", "identities")
# A compiler or a setting may change answers and gradients; the other chapters run in eager columns only.
MODE_CHAPTERS = ("values", "support", "reductions", "gradients")
REDUCED_COST = 0.4  # time of a cell in a dtype with reduced effort ÷ that of a cell with full effort


@dataclass(frozen=True, slots=True)
class GridPoint:
    """One place of the grid.

    Parameters
    ----------
    family, shape
        The family that is drawn, and at which shape.
    rotation
        The half of the call forms that it is evaluated in; None for all.
    """

    family: str
    shape: Shape
    rotation: int | None = None


@dataclass(frozen=True, slots=True)
class Effort:
    """How much of one cell is tested.

    Parameters
    ----------
    skipped
        Why the profile skips the cell, or None.
    shapes
        Shapes of the grid and of the search.
    grid
        The fixed problems beside the cases, in order.
    draws
        Number of pairs that each search draws.
    rotates
        Whether drawn pairs and large cases are evaluated in half of the call forms each, in rotation.
    small_cases_rotate
        Whether all cases do, not only the large ones.
    case_dtype
        The only dtype of cases beside those of none; None for all dtypes.
    case_shapes
        The only shapes of both sides of a case; None for all shapes.
    shrink_seconds
        Time limit for shrinking a failing pair.
    """

    skipped: str | None
    shapes: tuple[Shape, ...]
    grid: tuple[GridPoint, ...]
    draws: int
    rotates: bool
    small_cases_rotate: bool
    case_dtype: Dtype | None
    case_shapes: frozenset[Shape] | None
    shrink_seconds: float = SHRINK_SECONDS

    def includes_case(self, dtype: Dtype | None, pair: Pair) -> bool:
        """Whether a case is evaluated even if other problems decide the cell."""
        if self.case_dtype is not None and dtype not in {None, self.case_dtype}:
            return False
        return self.case_shapes is None or {pair.p.values.shape, pair.q.values.shape} <= self.case_shapes

    def case_rotation(self, place: int, pair: Pair, cases: int) -> int | None:
        """Return the half of the call forms in which the case at a place is evaluated; None for all."""
        rotates = self.rotates and cases > 1 and (self.small_cases_rotate or math.prod(pair.shape) >= LARGE)
        return place if rotates else None


def effort_of(requirement: Requirement, subject: Subject, profile: TestProfile, *, reduced: bool = False) -> Effort:
    """Return the effort of one cell.

    In the standard profile a built-in implementation gets the problems of the quick profile in the second of two
    similar dtypes, whether or not the first is tested as well: the fixed problems depend on the profile alone, and
    runs can be compared. ``reduced`` limits the draws to those of the quick profile.
    """
    builtin = registry.is_builtin(subject.implementation.name)
    similar = builtin and subject.column.dtype in SIMILAR_DTYPES
    own = TestProfile.QUICK if similar and profile is TestProfile.STANDARD else profile
    quick = own is TestProfile.QUICK
    slow = requirement.skip_in_quick(subject)  # takes seconds per shape
    compiled = _compiled_shapes(requirement, subject, profile, builtin=builtin, quick=quick)
    shapes = _shapes(requirement, subject, profile, own, compiled)
    draws = DRAWS[requirement.fault_source]
    count = draws[TestProfile.QUICK if reduced else own]
    if own is TestProfile.STANDARD and builtin and not reduced:
        count = BUILTIN_DRAWS[requirement.fault_source]
    thorough = profile is TestProfile.THOROUGH
    one_dtype = not thorough and (subject.compiles or slow is not None or (quick and builtin))
    case_shapes: frozenset[Shape] | None = None
    if slow is not None:
        case_shapes = frozenset(shapes) if builtin and not thorough else None
    elif quick or requirement.chapter not in CHAPTERS_OF_FEW_FORMS:
        case_shapes = compiled
        if compiled is not None and profile is TestProfile.STANDARD and requirement.chapter != "gradients":
            case_shapes = compiled | REPORTED_SHAPES
    places = _places(requirement.families, shapes, one_each=quick and builtin)
    large_rotate = builtin and profile is TestProfile.STANDARD
    return Effort(
        skipped=slow if profile is TestProfile.QUICK else None,
        shapes=shapes,
        grid=tuple(_grid(requirement.families, shapes, places, quick=quick, large_rotate=large_rotate)),
        draws=count,
        rotates=quick,
        small_cases_rotate=requirement.fault_source is FaultSource.CALL,
        case_dtype=subject.dtype if one_dtype else None,
        case_shapes=case_shapes,
    )


def _compiled_shapes(
    requirement: Requirement, subject: Subject, profile: TestProfile, *, builtin: bool, quick: bool
) -> frozenset[Shape] | None:
    """Return the only shapes where each new shape is compiled; None for no limit."""
    if profile is TestProfile.THOROUGH or not subject.compiles:
        return None
    gradients = requirement.chapter == "gradients"
    if subject.slow and profile is TestProfile.QUICK and not (gradients and builtin):
        return SLOW_SHAPES
    if not builtin:
        return None
    return COMPILED_QUICK_SHAPES if quick else COMPILED_GRADIENT_SHAPES if gradients else COMPILED_SHAPES


def _shapes(
    requirement: Requirement,
    subject: Subject,
    profile: TestProfile,
    own: TestProfile,
    compiled: frozenset[Shape] | None,
) -> tuple[Shape, ...]:
    """Return the shapes of the grid: those of the requirement or of the profile, fewer where each is compiled."""
    palette = requirement.palette[own]
    if profile is TestProfile.STANDARD and (subject.compiles or own is not profile):
        palette = (*requirement.palette[TestProfile.QUICK], LONG_SHAPE)
    palette = requirement.shapes or palette
    if compiled is None:
        return palette
    return tuple(shape for shape in palette if shape in compiled) or palette[:1]


def _places(families: Sequence[str], shapes: Sequence[Shape], *, one_each: bool) -> frozenset[tuple[str, Shape]]:
    """Return which families are drawn at which shapes: each at all shapes of as many classes as it needs.

    With ``one_each``, each family has one shape, and each shape one family or more.
    """
    fitting = {name: [shape for shape in shapes if (shape or (1,))[-1] >= FAMILIES[name].classes] for name in families}
    every = {(name, shape) for name, own in fitting.items() for shape in own}
    if not one_each:
        return frozenset(every)
    chosen = {(name, own[place % len(own)]) for place, (name, own) in enumerate(fitting.items()) if own}
    for place, shape in enumerate(shapes):
        names = [name for name in families if (name, shape) in every]
        if names and not any(other == shape for _, other in chosen):
            chosen.add((names[place % len(names)], shape))
    return frozenset(chosen)


def _grid(
    families: Sequence[str],
    shapes: Sequence[Shape],
    places: frozenset[tuple[str, Shape]],
    *,
    quick: bool,
    large_rotate: bool,
) -> Iterator[GridPoint]:
    """Yield the grid, family by family.

    In the quick profile the families of one shape rotate through the call forms: every shape gets each form, and
    every family each space and each reduction. With ``large_rotate``, shapes of 65,535 elements and more rotate too.
    """
    for name in families:
        for place, shape in enumerate(shapes):
            if (name, shape) not in places:
                continue
            others = [each for each in families if (each, shape) in places]
            rotation = others.index(name) if quick and len(others) > 1 else None
            if rotation is None and large_rotate and math.prod(shape) >= LARGE - 1:
                rotation = place
            yield GridPoint(name, shape, rotation)


def skipped_mode(chapter: str, mode: str) -> str | None:
    """Return why a chapter is not evaluated in a mode, or None where it is."""
    if mode == EAGER or chapter in MODE_CHAPTERS:
        return None
    return f"mode {mode} has the chapters {', '.join(MODE_CHAPTERS)}; the others are evaluated in mode {EAGER}"


def reduced_dtypes(dtypes: Sequence[str], profile: TestProfile) -> tuple[str, ...]:
    """Return the dtypes with reduced effort: the second of two similar ones, except in the thorough profile.

    One code serves both dtypes of a kind. Profile standard tests the second in all requirements, and searches no
    longer than quick does; profile quick tests user kernels in it in the numeric chapters alone, and in the first in
    the others as well (layouts, state, gradients). As many mutants of the mutation study are detected.
    """
    if profile is TestProfile.THOROUGH:
        return ()
    wanted = dtypes or [dtype.label for dtype in Dtype]
    return tuple(second for second, first in SIMILAR_DTYPES.items() if {first, second} <= set(wanted))


def is_reduced(implementation: Implementation, column: Column, reduced: Sequence[str]) -> bool:
    """Whether a column's dtype is one of ``reduced``, and its implementation supports the similar one as well."""
    supported = {dtype.label for dtype in implementation.dtypes}
    return column.dtype in reduced and SIMILAR_DTYPES[column.dtype] in supported


def has_chapter(
    implementation: Implementation, column: Column, chapter: str, profile: TestProfile, reduced: Sequence[str]
) -> bool:
    """Whether a chapter is planned for a column.

    The quick profile has only the numeric chapters in eager columns of user kernels with reduced effort.
    """
    if registry.is_builtin(implementation.name) or profile is not TestProfile.QUICK:
        return True
    return column.mode != EAGER or chapter in NUMERIC_CHAPTERS or not is_reduced(implementation, column, reduced)


def builtin_dtypes(
    dtypes: Sequence[str], modes: Sequence[str], profile: TestProfile, implementations: Iterable[Implementation]
) -> tuple[str, ...]:
    """Return the dtypes in which built-in implementations are tested; empty for all.

    Without an explicit dtype or mode, the quick profile tests float32, or the first supported dtype if float32 is
    not supported.
    """
    if dtypes or modes or profile is not TestProfile.QUICK:
        return tuple(dtypes)
    first = (Dtype.FLOAT32 if Dtype.FLOAT32 in each.dtypes else each.dtypes[0] for each in implementations)
    return tuple(dict.fromkeys(dtype.label for dtype in first))
