"""Problems that break a requirement: drawn by Hypothesis, then made as small and plain as they can be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded

from kl_cases.pair import Pair
from kl_cases.recipes import Recipe, recipes
from kl_conformance.judging.cache import cached_pair
from kl_conformance.requirements.requirement import Requirement
from kl_reference.dtype import Dtype

Shape = tuple[int, ...]
Broken = Callable[[Pair], bool]


def search(
    requirement: Requirement, dtype: Dtype, shapes: Sequence[Shape], examples: int, seed: int, broken: Broken
) -> Pair | None:
    """Draw recipes until a pair is broken, and return it unshrunk; None when none was found."""
    recipes = drawn(tuple(requirement.families), dtype, tuple(shapes), requirement.corners, examples, seed)
    return next(filter(broken, map(cached_pair, recipes)), None)


@cache
def drawn(
    families: tuple[str, ...],
    dtype: Dtype,
    shapes: tuple[Shape, ...],
    corners: tuple[str, ...],
    examples: int,
    seed: int,
) -> tuple[Recipe, ...]:
    """Draw recipes by Hypothesis, the same for everybody who is asked the same.

    Only small things are drawn (family, shape, 32-bit seed, corners); NumPy builds the arrays.
    """
    found: list[Recipe] = []
    if not examples:
        return ()

    @seeded(seed)
    @settings(
        max_examples=examples,
        database=None,  # what was found lives on as a witness in the run file, not in a cache
        deadline=None,
        phases=(Phase.generate,),  # shrinking is ours: it makes the arrays smaller, not the seeds
        # On a busy machine a draw may pause, which is no fault of what is drawn.
        suppress_health_check=[HealthCheck.too_slow],
        verbosity=Verbosity.quiet,
    )
    @given(recipes(list(families), dtype, shapes=shapes, corners=corners))
    def draw(recipe: Recipe) -> None:
        found.append(recipe)

    draw()
    return tuple(found)
