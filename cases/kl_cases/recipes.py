"""Recipe: name, shape, dtype and seed from which a pair is rebuilt."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import TypeVar

import numpy as np
from hypothesis import strategies as st

from kl_cases.corners import inject
from kl_cases.distributions import FAMILIES
from kl_cases.family import Shape
from kl_cases.pair import Measure, Pair
from kl_reference.dtype import Dtype

Option = TypeVar("Option")


class TestProfile(Enum):
    """The test depth; the value is the name on the command line."""

    __test__ = False  # not a class of tests, although its name begins like one

    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"


# Few shapes, because JAX and torch.compile compile once per shape. Sizes are next to powers of two and common
# block sizes; the vocabulary-sized ones are expensive and come last.
_QUICK: tuple[Shape, ...] = ((4,), (1, 4), (3, 5), (8, 31))
_STANDARD: tuple[Shape, ...] = (*_QUICK, (3, 4, 5), (129, 2), (2, 1025), (64, 128))
_THOROUGH: tuple[Shape, ...] = (
    *_STANDARD,
    (1, 1),
    (2, 3, 4, 5),
    (33, 127),
    (1023, 3),
    (2, 4097),
    (1, 32003),
    (1, 65537),
    (1, 131072),
)
PALETTE: dict[TestProfile, tuple[Shape, ...]] = {
    TestProfile.QUICK: _QUICK,
    TestProfile.STANDARD: _STANDARD,
    TestProfile.THOROUGH: _THOROUGH,
}
# Sizes next to powers of two and block sizes, with many rows of few classes and few rows of many classes.
_ODD: tuple[Shape, ...] = (
    *((3, classes) for classes in (1, 2, 31, 33, 127, 129, 1023, 1025)),
    *((1, classes) for classes in (4097, 65535, 65537)),
    *((rows, 3) for rows in (31, 33, 1025, 65537)),
)
ODD: dict[TestProfile, tuple[Shape, ...]] = {
    TestProfile.QUICK: ((3, 1), (3, 33), (1, 1025), (129, 3)),
    TestProfile.STANDARD: _ODD,
    TestProfile.THOROUGH: (*_ODD, (129, 3), (1023, 2), (4097, 1), (65535, 2), (33, 4097), (2, 65537)),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """The parameters of a pair.

    Parameters
    ----------
    family
        A name in ``FAMILIES``.
    shape
        The shape of both sides, classes last; ``()`` is one class without an axis.
    dtype
        The format for which the range and precision of the pair are meant.
    seed
        At least 0.
    corners
        Names in ``CORNERS``, inserted into the pair that the family has drawn.
    """

    family: str
    shape: Shape
    dtype: Dtype
    seed: int
    corners: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Return the recipe in one line, such as ``ladder 8x31 float32 #7 +zero-target``."""
        size = "x".join(map(str, self.shape)) or "scalar"
        extra = "".join(f" +{corner}" for corner in self.corners)
        return f"{self.family} {size} {self.dtype.label} #{self.seed}{extra}"


def build(recipe: Recipe) -> Pair:
    """Build the pair of a recipe, with the same bits on every machine.

    Raises
    ------
    ValueError
        The family or a corner is unknown, or the family needs more classes.
    """
    family = FAMILIES.get(recipe.family)
    if family is None:
        raise ValueError(f"unknown family {recipe.family!r}; known: {', '.join(FAMILIES)}")
    shape = recipe.shape or (1,)
    if shape[-1] < family.classes:
        raise ValueError(f"family {family.name!r} needs {family.classes} classes, not {recipe.shape}")
    # The name is part of the seed; otherwise all families would draw the same numbers from one seed.
    entropy = (recipe.seed, zlib.crc32(family.name.encode()))
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(entropy)))
    pair = inject(family.build(rng, shape, recipe.dtype), recipe.corners, rng, recipe.dtype)
    if not recipe.shape:
        pair = Pair(Measure(pair.p.values.reshape(()), pair.p.space), Measure(pair.q.values.reshape(()), pair.q.space))
    return replace(pair, origin=str(recipe))


def grid(
    families: Iterable[str], dtype: Dtype, profile: TestProfile | str = TestProfile.STANDARD, *, seed: int = 0
) -> list[Recipe]:
    """Return every family in every shape of the profile, the same list in every run.

    Parameters
    ----------
    families
        Names in ``FAMILIES``; shapes with too few classes for a family are omitted.
    dtype
        The format of all recipes.
    profile
        A profile or its name.
    seed
        The seed of all recipes.

    Raises
    ------
    ValueError
        A family or the profile is unknown.
    """
    recipes: list[Recipe] = []
    for name in families:
        if name not in FAMILIES:
            raise ValueError(f"unknown family {name!r}; known: {', '.join(FAMILIES)}")
        shapes = (shape for shape in PALETTE[TestProfile(profile)] if shape[-1] >= FAMILIES[name].classes)
        recipes.extend(Recipe(name, shape, dtype, seed) for shape in shapes)
    return recipes


# Bytes of a recipe: one each for the family, the shape, the number of corners, the first and the second corner; four
# for the seed.
_DRAWN = 9
_HOW_MANY_CORNERS = (0, 1, 1, 1, 2, 2)


@st.composite
def recipes(
    draw: st.DrawFn,
    families: Sequence[str],
    dtype: Dtype,
    shapes: Sequence[Shape] = _STANDARD,
    corners: Sequence[str] = (),
) -> Recipe:
    """Draw a recipe: a family, a shape, a 32-bit seed and up to two corners, but no array.

    The whole recipe is one draw of bytes, so that all families, shapes and corners are equally likely:
    Hypothesis draws integers near 0 more often than others, and may copy one choice to another.

    Parameters
    ----------
    draw
        Supplied by Hypothesis.
    families
        Names in ``FAMILIES``, the simplest first.
    dtype
        The format of the recipe.
    shapes
        The shapes to choose from; an example shrinks to the one with the fewest elements.
    corners
        Names in ``CORNERS`` that may be inserted.
    """
    drawn = draw(st.binary(min_size=_DRAWN, max_size=_DRAWN))
    family = FAMILIES[_pick(drawn[0], families)]
    fitting = [shape for shape in shapes if (shape or (1,))[-1] >= family.classes]
    shape = _pick(drawn[1], sorted(fitting, key=lambda shape: np.prod(shape, dtype=np.int64)))
    chosen: list[str] = []
    for byte in drawn[3 : 3 + _pick(drawn[2], _HOW_MANY_CORNERS)]:
        others = [corner for corner in corners if corner not in chosen]
        chosen += [_pick(byte, others)] if others else []
    return Recipe(family.name, shape, dtype, int.from_bytes(drawn[5:], "big"), tuple(chosen))


def _pick(byte: int, options: Sequence[Option]) -> Option:
    """Return one of the options, the first for 0; all are equally likely, to one byte in 256."""
    return options[byte * len(options) // 256]
