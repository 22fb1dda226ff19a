"""The fixed problems of a cell: corpus cases and the grid, equal in every run of a profile."""

from collections.abc import Iterator
from functools import cache
from hashlib import blake2b
from typing import NamedTuple

from kl_cases.corpus import case_pair, cases_for
from kl_cases.distributions import FAMILIES
from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, TestProfile, build
from kl_conformance.cells.effort import LARGE, RULES, Effort
from kl_conformance.judging.cache import cached_pair
from kl_conformance.requirements.requirement import FaultSource, Requirement
from kl_reference.dtype import Dtype

GRID_SEED = 0  # the same in every run: two runs have the same grid


class FixedProblem(NamedTuple):
    """A fixed problem.

    Parameters
    ----------
    pair
        The pair to evaluate.
    case
        Its id in the corpus, ``chapter/id``; None for a pair of the grid.
    rotation
        The half of the call forms (see ``ProblemBuilder.problems``) to evaluate; None for all.
    """

    pair: Pair
    case: str | None = None
    rotation: int | None = None


def fixed_problems(requirement: Requirement, dtype: Dtype, effort: Effort) -> Iterator[FixedProblem]:
    """Yield the fixed problems of a requirement in a dtype: cases of the corpus first, then the grid."""
    cases = [each for each in cases_for(requirement.id) if effort.includes_case(each.dtype, case_pair(each))]
    for place, case in enumerate(cases):
        pair = case_pair(case)
        rotation = effort.case_rotation(place, pair, len(cases))
        yield FixedProblem(pair, f"{case.chapter}/{case.id}", rotation)
    for point in effort.grid:
        for corner in _corners(requirement):
            recipe = Recipe(point.family, point.shape, dtype, GRID_SEED, corner)
            yield FixedProblem(cached_pair(recipe), None, point.rotation)


def omitted_problems(requirement: Requirement, dtype: Dtype, effort: Effort) -> Iterator[FixedProblem]:
    """Yield the problems that the effort leaves out: the requirement's other shapes, then the other cases.

    A cell that its fixed problems do not decide evaluates these until one does.
    """
    for shape in requirement.shapes:
        if shape not in effort.shapes:
            for name in requirement.families[:1]:
                yield FixedProblem(cached_pair(Recipe(name, shape, dtype, GRID_SEED)))
    for case in cases_for(requirement.id):
        pair = case_pair(case)
        if not effort.includes_case(case.dtype, pair):
            yield FixedProblem(pair, f"{case.chapter}/{case.id}")


def problem_set(requirement: Requirement, profile: TestProfile) -> str:
    """Return a hash of the fixed problems of a profile: cells with different hashes cannot be compared.

    It covers the cases, the shapes, and one pair of each family, so that it changes whenever the generated pairs
    do; 16 hexadecimal digits.
    """
    digest = blake2b(digest_size=8)
    for case in cases_for(requirement.id):
        digest.update(f"{case.chapter}/{case.id}|{case.dtype}|{case_pair(case).id}\n".encode())
    for name in requirement.families:
        for corner in _corners(requirement):
            digest.update(f"{name}|{corner}|{_small_pair_id(name, corner)}\n".encode())
    shapes = requirement.shapes or requirement.palette[profile]
    digest.update(f"{shapes}|{requirement.once}|{RULES}".encode())
    if profile is TestProfile.QUICK:
        digest.update(f"|in turns|{LARGE}|{requirement.fault_source is FaultSource.CALL}".encode())
    return digest.hexdigest()


def _corners(requirement: Requirement) -> tuple[tuple[str, ...], ...]:
    return tuple((each,) for each in requirement.corners) or ((),)


@cache
def _small_pair_id(name: str, corner: tuple[str, ...]) -> str:
    """Return the id of one small pair of a family."""
    return build(Recipe(name, (2, max(4, FAMILIES[name].classes)), Dtype.FLOAT32, GRID_SEED, corner)).id
