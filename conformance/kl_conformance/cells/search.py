"""Searches for failing problems with Hypothesis."""

from collections.abc import Callable, Sequence
from functools import cache

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded

from kl_cases.family import Shape
from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, recipes
from kl_conformance.judging.cache import cached_pair
from kl_conformance.requirements.requirement import Requirement
from kl_reference.dtype import Dtype

Fails = Callable[[Pair], bool]


def search(
    requirement: Requirement, dtype: Dtype, shapes: Sequence[Shape], examples: int, seed: int, fails: Fails
) -> Pair | None:
    """Draw pairs until one fails, and return it unshrunk; None when none of ``examples`` pairs fails."""
    recipes = drawn(tuple(requirement.families), dtype, tuple(shapes), requirement.corners, examples, seed)
    return next(filter(fails, map(cached_pair, recipes)), None)


@cache
def drawn(
    families: tuple[str, ...],
    dtype: Dtype,
    shapes: tuple[Shape, ...],
    corners: tuple[str, ...],
    examples: int,
    seed: int,
) -> tuple[Recipe, ...]:
    """Draw recipes with Hypothesis; equal arguments give equal recipes.

    Only small things are drawn (family, shape, 32-bit seed, corners); NumPy builds the arrays.
    """
    found: list[Recipe] = []
    if not examples:
        return ()

    @seeded(seed)
    @settings(
        max_examples=examples,
        database=None,  # a failing pair is kept as a witness in the run file
        deadline=None,
        phases=(Phase.generate,),  # kl_conformance.cells.shrink makes the arrays smaller, not the seeds
        suppress_health_check=[HealthCheck.too_slow],  # on a busy machine a draw may pause
        verbosity=Verbosity.quiet,
    )
    @given(recipes(list(families), dtype, shapes=shapes, corners=corners))
    def draw(recipe: Recipe) -> None:
        found.append(recipe)

    draw()
    return tuple(found)
