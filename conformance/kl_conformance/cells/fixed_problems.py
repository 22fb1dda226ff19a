"""The fixed problems: the corpus and the grid, which every run of a profile asks, today and next year."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

from kl_cases.corpus import case_pair, cases_for
from kl_cases.distributions import FAMILIES
from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, TestProfile, build
from kl_conformance.cells.effort import (
    CHOSEN,
    LONG,
    drawn_at,
    effective_profile,
    known,
    shapes,
    within_effort,
)
from kl_conformance.harness.subject import Subject
from kl_conformance.judging.cache import cached_pair
from kl_conformance.requirements.requirement import CALL_DRAWS, Requirement
from kl_reference.dtype import Dtype

MANY = 2**16  # elements of what is dear to ask
GRID_SEED = 0  # the grid is the same on every run, so that two runs answer the same questions


class FixedProblem(NamedTuple):
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


def fixed_problems(
    requirement: Requirement, subject: Subject, profile: TestProfile
) -> Iterator[FixedProblem]:
    """Yield the fixed problems of a requirement, the corpus with the ids of its cases first, then the grid.

    Where as little is asked as in the quick profile, families asked at the same shape take turns with the forms they
    are asked in: at every shape each form is asked, and of every family each space and each reduction. So do cases
    where the numbers are not the question, and those of ``MANY`` elements; and in the standard profile shapes of as
    many, of a known implementation.
    """
    quick = effective_profile(subject, profile) is TestProfile.QUICK
    cases = [
        each
        for each in cases_for(requirement.id)
        if within_effort(requirement, subject, each.dtype, case_pair(each), profile)
    ]
    for place, case in enumerate(cases):
        pair = case_pair(case)
        shared = (
            quick and len(cases) > 1 and (requirement.draws is CALL_DRAWS or math.prod(pair.shape) >= MANY)
        )
        yield FixedProblem(pair, f"{case.chapter}/{case.id}", place if shared else None)
    asked, spared = shapes(requirement, subject, profile), known(subject) and profile is TestProfile.STANDARD
    drawn = drawn_at(requirement.families, asked, subject, profile)
    for name in requirement.families:
        for shape in asked:
            alike = [each for each in requirement.families if (each, shape) in drawn]
            if name in alike:
                turn = alike.index(name) if quick and len(alike) > 1 else None
                if turn is None and spared and math.prod(shape) >= MANY - 1:  # 65,535 is of their size
                    turn = asked.index(shape)
                for corner in _corners(requirement):
                    yield FixedProblem(
                        cached_pair(Recipe(name, shape, subject.dtype, GRID_SEED, corner)), None, turn
                    )


def omitted_problems(
    requirement: Requirement, subject: Subject, profile: TestProfile
) -> Iterator[FixedProblem]:
    """Yield cases of other dtypes and shapes, and shapes of its own, asked only until one decides where nothing did."""
    for shape in requirement.shapes:
        if shape not in shapes(requirement, subject, profile):
            for name in requirement.families[:1]:
                yield FixedProblem(cached_pair(Recipe(name, shape, subject.dtype, GRID_SEED)))
    for case in cases_for(requirement.id):
        pair = case_pair(case)
        if not within_effort(requirement, subject, case.dtype, pair, profile):
            yield FixedProblem(pair, f"{case.chapter}/{case.id}")


def problem_set(requirement: Requirement, profile: TestProfile) -> str:
    """Return a hash of what every run of a profile asks: cells with another one cannot be compared.

    It is made of the cases, the shapes, and one pair of each family, so that it changes whenever what is drawn
    does; 16 hexadecimal digits.
    """
    digest = blake2b(digest_size=8)
    for case in cases_for(requirement.id):
        digest.update(f"{case.chapter}/{case.id}|{case.dtype}|{case_pair(case).id}\n".encode())
    for name in requirement.families:
        for corner in _corners(requirement):
            digest.update(f"{name}|{corner}|{_drawn(name, corner)}\n".encode())
    asked = requirement.shapes or requirement.palette[profile]
    digest.update(f"{asked}|{requirement.once}|{LONG}|{CHOSEN}".encode())
    if profile is TestProfile.QUICK:
        digest.update(f"|in turns|{MANY}|{requirement.draws is CALL_DRAWS}".encode())
    return digest.hexdigest()


def _corners(requirement: Requirement) -> tuple[tuple[str, ...], ...]:
    return tuple((each,) for each in requirement.corners) or ((),)


@cache
def _drawn(name: str, corner: tuple[str, ...]) -> str:
    """Return the id of one small pair of a family."""
    return build(Recipe(name, (2, max(4, FAMILIES[name].classes)), Dtype.FLOAT32, GRID_SEED, corner)).id
