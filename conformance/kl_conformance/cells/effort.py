"""How much is asked of whom: all of a kernel brought, less of what is known, least where shapes are compiled."""

from __future__ import annotations

from collections.abc import Sequence

from kl_cases.distributions import FAMILIES
from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.recipes import TestProfile
from kl_conformance.harness.modes import EAGER
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.implementations.implementation import Implementation
from kl_conformance.requirements.requirement import CALL_DRAWS, Requirement
from kl_reference.dtype import Dtype
from kl_reports.runfile.records import Column

LONG = (2, 1025)  # the one long shape where few are asked
# What a known implementation is asked where each shape is compiled: no axis and one, one row, one class, an odd number
# of them, three axes, and more than 1024 classes. A kernel that is brought may work in blocks of its own, and is asked
# every size.
SIZES: frozenset[Shape] = frozenset({(), (4,), (1, 4), (3, 1), (3, 5), (2, 3, 5), LONG})
# There, of gradients, which are compiled in three times as many pieces; and in the quick profile and the second of two
# formats alike.
STEEP: frozenset[Shape] = frozenset({(3, 5), LONG})
ONE: frozenset[Shape] = frozenset({(3, 5)})
# Beside them, in the standard profile, the shapes that most cases were met in; not of gradients.
MET: frozenset[Shape] = frozenset({(1,), (2,), (3,), (1, 2), (1, 3), (2, 2), (2, 3)})
# What is asked in the quick profile where a shape takes seconds.
FEW: frozenset[Shape] = frozenset({(1, 3), (2, 3), (3, 5), (8, 31)})
# Pairs the standard profile draws for a known implementation, where the numbers are the question and where they are
# not: a few more than the largest figures of studies/discovery/discovery.md, 13 and 1; user kernels: more draws.
WHAT_NEEDS, HOW_NEEDS = 15, 2
# Chapters asked by few forms of call: there a case may have a shape of its own.
FEW_FORMS = ("values", "support", "signs")
CHOSEN = [sorted(each) for each in (SIZES, STEEP, ONE, MET, FEW)]


def known(subject: Subject) -> bool:
    """Whether somebody else's tests ask this implementation, too, and it is spared what is dear."""
    return registry.is_builtin(subject.implementation.name)


def effective_profile(subject: Subject, profile: TestProfile) -> TestProfile:
    """Return the profile whose problems are asked.

    One code serves both of two formats alike (``plan.ALIKE``): in the standard profile a known implementation is
    asked in the second what the quick profile asks, whether or not the first is asked beside it, so that what is
    fixed hangs on the profile alone and runs can be compared.
    """
    again = known(subject) and subject.column.dtype in ALIKE
    return TestProfile.QUICK if again and profile is TestProfile.STANDARD else profile


def draws(requirement: Requirement, subject: Subject, profile: TestProfile) -> int:
    """Return how many pairs the search draws."""
    own = effective_profile(subject, profile)
    if own is not TestProfile.STANDARD or not known(subject):
        return requirement.draws[own]
    return HOW_NEEDS if requirement.draws is CALL_DRAWS else WHAT_NEEDS


def shapes(requirement: Requirement, subject: Subject, profile: TestProfile) -> tuple[Shape, ...]:
    """Return the shapes asked of a subject; fewer where each new one is compiled, and few where that takes long."""
    palette, kept = (
        requirement.palette[effective_profile(subject, profile)],
        _sizes(requirement, subject, profile),
    )
    if profile is TestProfile.STANDARD and (
        subject.compiles or effective_profile(subject, profile) is not profile
    ):
        palette = (*requirement.palette[TestProfile.QUICK], LONG)
    palette = requirement.shapes or palette
    if kept is None:
        return palette
    return tuple(shape for shape in palette if shape in kept) or palette[:1]


def within_effort(
    requirement: Requirement, subject: Subject, dtype: Dtype | None, pair: Pair, profile: TestProfile
) -> bool:
    """Whether a case is asked in any event.

    Of a known implementation in the quick profile's depth, and where each new shape is compiled, only in the dtype it
    was met in, if any; where a shape takes seconds only in one that is asked anyway, and where shapes are compiled in
    those and, in the standard profile, in the ones most cases were met in, but for chapters of few forms of call.
    """
    if profile is TestProfile.THOROUGH:
        return True
    quickly, seconds = (
        effective_profile(subject, profile) is TestProfile.QUICK,
        _seconds(requirement, subject),
    )
    spares = subject.compiles or seconds or (quickly and known(subject))
    if spares and dtype not in {None, subject.dtype}:
        return False
    if seconds:
        kept = frozenset(shapes(requirement, subject, profile)) if known(subject) else None
    elif not subject.compiles or (requirement.chapter in FEW_FORMS and not quickly):
        kept = None
    else:
        kept = _sizes(requirement, subject, profile)
        if kept is not None and profile is TestProfile.STANDARD and requirement.chapter != "gradients":
            kept |= MET
    return kept is None or {pair.p.values.shape, pair.q.values.shape} <= kept


def drawn_at(
    families: Sequence[str], asked: Sequence[Shape], subject: Subject, profile: TestProfile
) -> set[tuple[str, Shape]]:
    """Return which families are drawn at which shapes: each at all that have as many classes as it needs.

    In the quick profile's depth a known implementation is asked each family at one shape, and at each shape one
    family or more.
    """
    fitting = {
        name: [shape for shape in asked if (shape or (1,))[-1] >= FAMILIES[name].classes] for name in families
    }
    every = {(name, shape) for name, there in fitting.items() for shape in there}
    if effective_profile(subject, profile) is not TestProfile.QUICK or not known(subject):
        return every
    taken = {
        (name, there[place % len(there)]) for place, (name, there) in enumerate(fitting.items()) if there
    }
    for place, shape in enumerate(asked):
        names = [name for name in families if (name, shape) in every]
        if names and not any(own == shape for _, own in taken):
            taken.add((names[place % len(names)], shape))
    return taken


def _seconds(requirement: Requirement, subject: Subject) -> bool:
    """Whether what is asked takes seconds a shape."""
    return requirement.skip_in_quick(subject) is not None


def _sizes(requirement: Requirement, subject: Subject, profile: TestProfile) -> frozenset[Shape] | None:
    """Return the shapes a known implementation is asked where each is compiled; None for all others."""
    if profile is TestProfile.THOROUGH or not subject.compiles:
        return None
    steep, quickly = (
        requirement.chapter == "gradients",
        effective_profile(subject, profile) is TestProfile.QUICK,
    )
    if subject.slow and profile is TestProfile.QUICK and not (steep and known(subject)):
        return FEW
    if not known(subject):
        return None
    return ONE if quickly else STEEP if steep else SIZES


ALIKE = {"float64": "float32", "bfloat16": "float16"}  # each beside the format it is most like

NUMBERS = ("values", "support", "signs", "reductions", "identities")


def reduced_effort(dtypes: Sequence[str], profile: TestProfile) -> tuple[str, ...]:
    """Return the dtypes with reduced effort: the second of two similar ones, but in the thorough profile.

    One code serves both formats of a kind. Profile standard tests the second in all requirements, and searches no
    longer than quick does; profile quick tests user kernels in it in the numeric chapters alone, and in the first in
    the others as well (layouts, state, gradients). As many mutants of the mutation study are detected.
    """
    if profile is TestProfile.THOROUGH:
        return ()
    wanted = dtypes or [dtype.label for dtype in Dtype]
    return tuple(second for second, first in ALIKE.items() if {first, second} <= set(wanted))


def for_numbers(
    implementation: Implementation, column: Column, chapter: str, numbers: tuple[str, ...]
) -> bool:
    """Whether a chapter is skipped in a column of the numeric chapters alone; never in a mode other than eager."""
    return column.mode == EAGER and chapter not in NUMBERS and is_reduced(implementation, column, numbers)


def is_reduced(implementation: Implementation, column: Column, reduced_effort: tuple[str, ...]) -> bool:
    """Whether a column's dtype is one of ``brief``, and its implementation supports the similar one as well."""
    taken = {dtype.label for dtype in implementation.dtypes}
    return column.dtype in reduced_effort and ALIKE[column.dtype] in taken
