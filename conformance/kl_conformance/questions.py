"""The fixed problems: the corpus and the grid, which every run of a profile asks, today and next year."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from kl_cases.corpus import Case, cases_for
from kl_cases.corpus import load as load_cases
from kl_cases.distributions import FAMILIES
from kl_cases.family import Shape
from kl_cases.pair import Measure, Pair
from kl_cases.problems import Profile, Recipe, build
from kl_conformance import registry
from kl_conformance.plan import ALIKE
from kl_conformance.remembered import built
from kl_conformance.requirement import HOW, Requirement
from kl_conformance.subject import Subject
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

# Where every new shape is compiled:
LONG = (2, 1025)  # the one long shape of the standard profile
# What a known implementation is asked: no axis and one, one row, one class, an odd number of them, three axes, and more
# than 1024 classes. A kernel that is brought may work in blocks of its own, and is asked every size.
SIZES: frozenset[Shape] = frozenset({(), (5,), (1, 5), (3, 1), (3, 5), (2, 3, 5), LONG})
STEAD: dict[Shape, Shape] = {(4,): (5,), (1, 4): (1, 5)}  # shapes given way to those cut out of (3, 5) anyway
# In the second of two formats that one code serves:
AGAIN: frozenset[Shape] = frozenset({(3, 5), (2, 3, 5), LONG})
# Beside them, in the standard profile, the shapes that most cases were met in; fewer of gradients, which are
# compiled in three times as many pieces.
MET: frozenset[Shape] = frozenset({(1,), (2,), (3,), (1, 2), (1, 3), (2, 2), (2, 3)})
MET_BY_GRADIENTS: frozenset[Shape] = frozenset({(2,), (1, 3), (2, 2)})
# What is asked in the quick profile where that takes seconds.
FEW: frozenset[Shape] = frozenset({(1, 3), (2, 3), (3, 5), (8, 31)})
# Chapters asked by few forms of call: there a case may have a shape of its own.
FEW_FORMS = ("values", "support", "signs")
MANY = 2**16  # elements of a case that is dear to ask
GRID_SEED = 0  # the grid is the same on every run, so that two runs answer the same questions


class Question(NamedTuple):
    """A fixed problem.

    Parameters
    ----------
    pair
        What is asked about.
    case
        Its name, ``chapter/id``, in the corpus; None where it is of the grid.
    turn
        Whose half of the forms (see ``Poser.problems``) it is asked in; None for all.
    """

    pair: Pair
    case: str | None = None
    turn: int | None = None


def case(name: str) -> Case:
    """Return the corpus case called ``chapter/id``.

    Raises
    ------
    ValueError
        There is none.
    """
    chapter, _, own = name.partition("/")
    found = next((each for each in load_cases(chapter) if each.id == own), None)
    if found is None:
        known = ", ".join(f"{chapter}/{each.id}" for each in load_cases(chapter))
        raise ValueError(f"unknown case {name!r}; known: {known}")
    return found


def question(case: Case) -> Pair:
    """Return a case as a pair; where only shapes matter, of equal probabilities."""
    if case.pair is not None:
        return case.pair
    shape = case.shapes[0] if case.shapes else (3, 5)
    equal = Measure(np.full(shape, 1.0 / max(shape[-1], 1) if shape else 1.0), Space.PROBABILITY)
    return Pair(equal, equal, origin=f"case {case.id}")


def questions(requirement: Requirement, subject: Subject, profile: Profile) -> Iterator[Question]:
    """Yield the fixed problems of a requirement, the corpus with the ids of its cases first, then the grid.

    In the quick profile, families asked at the same shape take turns with the forms they are asked in: at every
    shape each form is asked, and of every family each space and each reduction. So do cases where the numbers are not
    the question, and those of ``MANY`` elements.
    """
    quick = profile is Profile.QUICK
    cases = [each for each in cases_for(requirement.id) if _affords(requirement, subject, each, profile)]
    for place, case in enumerate(cases):
        pair = question(case)
        shared = quick and len(cases) > 1 and (requirement.draws is HOW or math.prod(pair.shape) >= MANY)
        yield Question(pair, f"{case.chapter}/{case.id}", place if shared else None)
    for name in requirement.families:
        for shape in shapes(requirement, subject, profile):
            alike = [each for each in requirement.families if _fits(each, shape)]
            if name in alike:
                turn = alike.index(name) if quick and len(alike) > 1 else None
                for corner in _corners(requirement):
                    yield Question(built(Recipe(name, shape, subject.dtype, GRID_SEED, corner)), None, turn)


def _fits(family: str, shape: Shape) -> bool:
    return (shape or (1,))[-1] >= FAMILIES[family].classes


def other_cases(requirement: Requirement, subject: Subject, profile: Profile) -> Iterator[Question]:
    """Yield the cases of other dtypes and shapes, asked only where the fixed problems decide nothing."""
    for case in cases_for(requirement.id):
        if not _affords(requirement, subject, case, profile):
            yield Question(question(case), f"{case.chapter}/{case.id}")


def shapes(requirement: Requirement, subject: Subject, profile: Profile) -> tuple[Shape, ...]:
    """Return the shapes asked of a subject; fewer where each new one is compiled, and few where that takes long."""
    palette, kept = requirement.palette[profile], _sizes(subject, profile)
    if subject.compiles and (profile is Profile.STANDARD or kept is not None):
        palette = (*requirement.palette[Profile.QUICK], LONG)
    palette = requirement.shapes or palette
    if _hurries(subject, profile):
        kept = FEW
    elif kept is not None:
        palette = tuple(STEAD.get(shape, shape) for shape in palette)
    return palette if kept is None else tuple(shape for shape in palette if shape in kept) or palette[:1]


def problem_set(requirement: Requirement, profile: Profile) -> str:
    """Return a hash of what every run of a profile asks: cells with another one cannot be compared.

    It is made of the cases, the shapes, and one pair of each family, so that it changes whenever what is drawn
    does; 16 hexadecimal digits.
    """
    digest = blake2b(digest_size=8)
    for case in cases_for(requirement.id):
        digest.update(f"{case.chapter}/{case.id}|{case.dtype}|{question(case).id}\n".encode())
    for name in requirement.families:
        for corner in _corners(requirement):
            digest.update(f"{name}|{corner}|{_drawn(name, corner)}\n".encode())
    asked = requirement.shapes or requirement.palette[profile]
    chosen = [sorted(each) for each in (SIZES, STEAD.items(), AGAIN, MET, MET_BY_GRADIENTS, FEW)]
    digest.update(f"{asked}|{requirement.once}|{LONG}|{chosen}".encode())
    if profile is Profile.QUICK:
        digest.update(f"|in turns|{MANY}|{requirement.draws is HOW}".encode())
    return digest.hexdigest()


def _affords(requirement: Requirement, subject: Subject, case: Case, profile: Profile) -> bool:
    """Whether a case is asked in any event: where each new shape is compiled, only in the dtype it was met in.

    In chapters of many forms of call, too, only in a shape that is asked anyway, or one that most cases were met in.
    """
    if not subject.compiles or profile is Profile.THOROUGH:
        return True
    if case.dtype not in {None, subject.dtype}:
        return False
    if requirement.chapter in FEW_FORMS:
        return True
    kept = _sizes(subject, profile)
    if _hurries(subject, profile):
        kept = FEW
    elif kept is not None and profile is Profile.STANDARD:
        kept |= MET_BY_GRADIENTS if requirement.chapter == "gradients" else MET
    pair = question(case)
    return kept is None or {pair.p.values.shape, pair.q.values.shape} <= kept


def _sizes(subject: Subject, profile: Profile) -> frozenset[Shape] | None:
    """Return the shapes a known implementation is asked where each is compiled; None for all others."""
    known = subject.implementation.name in registry.IMPLEMENTATIONS
    if not known or not subject.compiles or profile is Profile.THOROUGH:
        return None
    return AGAIN if subject.column.dtype in ALIKE else SIZES


def _hurries(subject: Subject, profile: Profile) -> bool:
    return subject.slow and profile is Profile.QUICK


def _corners(requirement: Requirement) -> tuple[tuple[str, ...], ...]:
    return tuple((each,) for each in requirement.corners) or ((),)


@cache
def _drawn(name: str, corner: tuple[str, ...]) -> str:
    """Return the id of one small pair of a family."""
    return build(Recipe(name, (2, max(4, FAMILIES[name].classes)), Dtype.FLOAT32, GRID_SEED, corner)).id
