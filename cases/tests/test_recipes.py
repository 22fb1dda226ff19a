"""Recipes build the same pairs on every machine, and insert corners where documented."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from kl_cases.corners import CORNERS
from kl_cases.distributions import FAMILIES
from kl_cases.recipes import ODD, PALETTE, Recipe, TestProfile, build, grid, recipes
from kl_reference.convention import Space
from kl_reference.dtype import Dtype

# One recipe of each family. A change of an id makes every stored run incomparable.
PINNED: dict[str, str] = {
    "dirichlet-flat": "f76d9b1cfe088c8e",
    "dirichlet-sparse": "98f542b9622efa8f",
    "dirichlet-dense": "21b5f68ef5ac0c56",
    "uniform": "1b4d68f73b82f7a5",
    "power-law": "dcdf9c4a30f9a203",
    "one-hot": "45726695c49a14c5",
    "near-one-hot": "d72e50a528aaa3a7",
    "near-equal": "450d424b7a588dc3",
    "same": "22be05ae696e7b09",
    "sparse": "65a968ddbe8e92df",
    "masked": "3413175858659a89",
    "masked-finite": "3e272dc8a04ae960",
    "flat-logits": "22299ac65d5873a2",
    "peaked-logits": "6f8db9a8a4350b6b",
    "grid-logits": "e379ac15923d2b0c",
    "asymmetric": "d4bbea183550ad09",
    "distant-logs": "c796db18700e0a19",
    "ladder": "15f512c3ce1ad51f",
    "measure": "d3913b19ff602b68",
    "extreme": "32b86ca3802b2eee",
    "largest": "4e4b7269991f1bb9",
    "dyadic": "7ac58e784859129f",
    "exact-sum": "f6b310a5e18f873f",
    "half-range": "33ceb252e9e2008a",
    "unit-target": "d6456ec8bb56c33a",
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_recipe_always_builds_the_same_pair(name: str) -> None:
    """With every NumPy and on every processor a recipe gives these bits."""
    assert build(Recipe(name, (8, 31), Dtype.FLOAT32, 7)).id == PINNED[name]


def test_other_parameters_make_other_pairs() -> None:
    """Family, shape, seed and corners each change the problem."""
    plain = Recipe("dirichlet-flat", (3, 5), Dtype.FLOAT32, 1)
    others = [
        Recipe("uniform", (3, 5), Dtype.FLOAT32, 1),
        Recipe("dirichlet-flat", (5, 3), Dtype.FLOAT32, 1),
        Recipe("dirichlet-flat", (3, 5), Dtype.FLOAT32, 2),
        Recipe("dirichlet-flat", (3, 5), Dtype.FLOAT32, 1, ("zero-target",)),
    ]
    assert len({build(recipe).id for recipe in [plain, *others]}) == len(others) + 1


def test_families_do_not_share_their_numbers() -> None:
    """From one seed, two families draw different numbers."""
    one, other = (build(Recipe(name, (4,), Dtype.FLOAT32, 1)) for name in ("same", "dirichlet-flat"))
    assert (one.p.values != other.p.values).all()


def test_a_recipe_is_printed_in_one_line() -> None:
    """The origin of a pair contains all parameters to rebuild it."""
    recipe = Recipe("ladder", (8, 31), Dtype.FLOAT32, 7, ("zero-target",))
    assert build(recipe).origin == str(recipe) == "ladder 8x31 float32 #7 +zero-target"
    assert str(Recipe("ladder", (), Dtype.FLOAT16, 0)) == "ladder scalar float16 #0"


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("laddder", (4,), Dtype.FLOAT32, 0), "unknown family 'laddder'; known: .*ladder"),
        (Recipe("ladder", (4,), Dtype.FLOAT32, 0, ("zero",)), "unknown corner 'zero'; known: zero-target"),
        (Recipe("asymmetric", (3, 1), Dtype.FLOAT32, 0), "needs 2 classes"),
    ],
)
def test_an_invalid_recipe_names_the_known_values(recipe: Recipe, message: str) -> None:
    """The message contains the given value and the known values."""
    with pytest.raises(ValueError, match=message):
        build(recipe)


@pytest.mark.parametrize("family", ["dirichlet-flat", "ladder", "peaked-logits", "distant-logs"])
@pytest.mark.parametrize("name", CORNERS)
def test_a_corner_is_where_documented(name: str, family: str) -> None:
    """In each row, or in one, one class (or the whole row) has the corner's numbers; all others are unchanged."""
    corner = CORNERS[name]
    seen: set[int] = set()
    for seed in range(12):
        before = build(Recipe(family, (4, 9), Dtype.FLOAT32, seed))
        after = build(Recipe(family, (4, 9), Dtype.FLOAT32, seed, (name,)))
        touched = np.zeros((4, 9), dtype=np.bool_)
        for old, new, number in ((before.p, after.p, corner.p), (before.q, after.q, corner.q)):
            kept = old.expressed(new.space)
            changed = (new.values != kept) | (np.signbit(new.values) != np.signbit(kept))
            touched |= changed
            if number is None:
                assert not changed.any()
                continue
            wanted = np.array(number(Dtype.FLOAT32))
            if new.space is not Space.PROBABILITY:
                with np.errstate(divide="ignore"):
                    wanted = np.log(wanted)
            np.testing.assert_allclose(new.values[changed], wanted, rtol=1e-15)
        assert set(touched.sum(-1)) <= {0, 9 if corner.whole else 1}
        seen.add(int(touched.any(-1).sum()))
    assert seen == ({1} if corner.whole else {1, 4})


def test_two_corners_take_two_classes() -> None:
    """Corners do not overwrite each other if there are enough classes."""
    for seed in range(20):
        p = build(Recipe("uniform", (4, 3), Dtype.FLOAT32, seed, ("zero-target", "nan-target"))).p.values
        assert np.isnan(p).sum() == (p == 0.0).sum() in (1, 4)


def test_a_corner_in_a_scalar() -> None:
    """A single number can be a corner."""
    pair = build(Recipe("dirichlet-flat", (), Dtype.FLOAT32, 0, ("zero-target",)))
    assert pair.p.values.shape == ()
    assert pair.p.values == 0.0


def test_the_grid_is_the_same_list_every_time() -> None:
    """Two runs test the same problems, each of them once."""
    listed = grid(FAMILIES, Dtype.FLOAT16, "quick")
    assert listed == grid(list(FAMILIES), Dtype.FLOAT16, TestProfile.QUICK)
    assert len(listed) == len(set(listed)) == len(FAMILIES) * len(PALETTE[TestProfile.QUICK])
    assert len({build(recipe).id for recipe in listed}) == len(listed)


def test_the_grid_omits_impossible_shapes() -> None:
    """A family that needs two classes is not built with one."""
    shapes = {recipe.shape for recipe in grid(["asymmetric"], Dtype.FLOAT32, TestProfile.THOROUGH)}
    assert (1, 1) not in shapes
    assert (1, 131072) in shapes


def test_profiles_grow() -> None:
    """Each profile contains the smaller one, and more; the largest reaches the size of a vocabulary."""
    quick, standard, thorough = (set(PALETTE[profile]) for profile in TestProfile)
    assert quick < standard < thorough
    assert set(ODD[TestProfile.STANDARD]) < set(ODD[TestProfile.THOROUGH])
    assert max(shape[-1] for shape in thorough) == 131072


def test_an_unknown_family_or_profile_is_rejected() -> None:
    """The message lists the known ones."""
    with pytest.raises(ValueError, match="unknown family 'x'; known: dirichlet-flat"):
        grid(["x"], Dtype.FLOAT32, TestProfile.QUICK)
    with pytest.raises(ValueError, match="'huge' is not a valid TestProfile"):
        grid(["ladder"], Dtype.FLOAT32, "huge")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_drawn_recipes_can_be_built(data: st.DataObject) -> None:
    """A drawn recipe builds the same pair twice, and can be realised in its format."""
    dtype = data.draw(st.sampled_from(Dtype))
    shapes = [(), (1,), (4,), (3, 5), (2, 3, 4)]
    recipe = data.draw(recipes(list(FAMILIES), dtype, shapes=shapes, corners=list(CORNERS)))
    pair = build(recipe)
    assert pair.id == build(recipe).id
    assert pair.shape == recipe.shape
    assert len(recipe.corners) <= 2
    if recipe.shape:
        for operand in pair.realise(Space.PROBABILITY, Space.LOG, dtype):
            assert operand.values.dtype == dtype.carrier


def test_the_search_has_no_preference() -> None:
    """Families, shapes and corners are each drawn about equally often, and few recipes twice."""
    families, shapes = ["uniform", "ladder", "measure"], [(4,), (3, 5), (64, 128)]
    found: list[Recipe] = []

    @settings(max_examples=300, deadline=None, database=None, derandomize=True, phases=[Phase.generate])
    @given(recipes(families, Dtype.FLOAT32, shapes=shapes, corners=["zero-target", "equal"]))
    def draws(recipe: Recipe) -> None:
        found.append(recipe)

    draws()
    assert len(set(found)) > 250
    for counts in (
        Counter(recipe.family for recipe in found),
        Counter(recipe.shape for recipe in found),
        Counter(corner for recipe in found for corner in recipe.corners),
    ):
        assert min(counts.values()) > 0.5 * max(counts.values()), counts


def test_the_search_shrinks_to_the_simplest() -> None:
    """The simplest recipe is the first family in the smallest shape, with seed 0 and no corner."""
    found: list[Recipe] = []

    @settings(max_examples=200, deadline=None, database=None)
    @given(recipes(["uniform", "ladder"], Dtype.FLOAT32, shapes=[(64, 128), (4,)], corners=["zero-target"]))
    def fails(recipe: Recipe) -> None:
        found.append(recipe)
        raise AssertionError

    with pytest.raises(AssertionError):
        fails()
    assert found[-1] == Recipe("uniform", (4,), Dtype.FLOAT32, 0)


def test_odd_shapes_can_be_built() -> None:
    """Sizes next to powers of two, from one class to 65,537 rows or classes."""
    near_powers = {1, 2, 31, 33, 127, 129, 1023, 1025, 4097, 65535, 65537}
    assert {size for shape in ODD[TestProfile.STANDARD] for size in shape} >= near_powers
    for shape in {*ODD[TestProfile.QUICK], *ODD[TestProfile.STANDARD], *ODD[TestProfile.THOROUGH]}:
        assert build(Recipe("uniform", shape, Dtype.FLOAT32, 0)).shape == shape
