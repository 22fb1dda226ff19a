"""Large problems: float64 with a proven bound, in bounded memory."""

import itertools
import math
import tracemalloc
from typing import Any

import numpy as np
import pytest

from kl_audit import hard_inputs
from kl_reference import Dtype, Enclosure, Formula, Operand, Problem, Profile, Reduction, Space, answer, tolerance
from kl_reference.evaluation.float64 import LIMITS, Limits, applies

ALWAYS = Limits(double_double=-1)
"""float64 for problems of every size."""
PAIRS = list(itertools.product(Space, Space))


def both(problem: Problem) -> tuple[Enclosure, Enclosure]:
    """Return the answer in float64 and the answer in double-double."""
    return answer(problem, limits=ALWAYS), answer(problem)


def narrowed(rng: np.random.Generator, dtype: Dtype, shape: tuple[int, ...], spaces: tuple[Space, Space]) -> Any:
    """Return operands of a narrow dtype, with some elements 0, infinite, negative or NaN."""
    family = str(rng.choice(["uniform", "ladder", "near", "float32", "next to one"]))
    for operand in hard_inputs.operands(rng, family, shape, *spaces):
        values = operand.values.copy()
        marks = rng.integers(40, size=shape)
        for number, special in enumerate([0.0, -math.inf, math.inf, math.nan, -0.5]):
            values[marks == number] = special
        yield Operand.of(values if rng.integers(2) else operand.values, operand.space, dtype)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16])
@pytest.mark.parametrize("formula", Formula)
@pytest.mark.parametrize("spaces", PAIRS, ids=str)
def test_float64_answer_is_enclosed(dtype: Dtype, formula: Formula, spaces: tuple[Space, Space]) -> None:
    """The float64 answer is within its radius of the double-double answer, special values included."""
    rng = np.random.default_rng(1)
    for reduction, normalise in itertools.product(Reduction, (False, True)):
        p, q = narrowed(rng, dtype, (6, 9), spaces)
        approximate, fine = both(Problem(p, q, formula, reduction, normalise=normalise))
        finite = np.isfinite(fine.value)
        np.testing.assert_array_equal(approximate.value[~finite], fine.value[~finite])
        distance = np.abs((approximate.value[finite] - fine.value[finite]) - fine.tail[finite])
        assert np.all(distance <= (approximate.radius + fine.radius)[finite])
        assert np.all(approximate.radius[fine.radius == 0.0] == 0.0) or formula is Formula.GENERALISED
        assert approximate.scale.count == fine.scale.count
        for field in ("condition", "fixed", "gradual", "flushed"):
            np.testing.assert_allclose(getattr(approximate.scale, field), getattr(fine.scale, field), rtol=1e-9)


@pytest.mark.parametrize("spaces", PAIRS, ids=str)
def test_float64_radius_is_small(spaces: tuple[Space, Space]) -> None:
    """The radius of a long float64 sum is negligible compared with a float32 tolerance."""
    x, y = np.random.default_rng(2).normal(size=(2, 1, 100_000))
    positive = [np.exp(z) / np.exp(z).sum() for z in (x, y)]
    operands = [
        Operand.of(p if space is Space.PROBABILITY else np.log(p), space, Dtype.FLOAT32)
        for p, space in zip(positive, spaces, strict=True)
    ]
    problem = Problem(operands[0], operands[1], reduction=Reduction.SUM)
    approximate, fine = both(problem)
    allowed = tolerance(problem, fine, Profile.of(Dtype.FLOAT32)).total
    assert fine.radius < approximate.radius < 1e-4 * allowed


def test_an_inaccurate_logarithm_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    """An inaccurate NumPy logarithm raises an error instead of giving a float64 answer."""
    log = np.log

    def inaccurate(values: Any) -> Any:
        return log(values) * (1.0 + 1e-14)

    p = np.random.default_rng(3).uniform(0.1, 0.9, (50, 50)).astype(np.float32)
    problem = Problem(Operand.of(p, Space.PROBABILITY), Operand.of(p.T.copy(), Space.PROBABILITY))
    both(problem)
    monkeypatch.setattr(np, "log", inaccurate)
    with pytest.raises(ArithmeticError, match="4 ulp"):
        answer(problem, limits=ALWAYS)


def test_blocks_that_overflow_use_double_double() -> None:
    """A log-probability whose exponential overflows float64 does not affect the answer."""
    p = np.array([[800.0, -1.0, -2.0]], dtype=np.float32)
    q = np.array([[800.0, -2.0, -1.0]], dtype=np.float32)
    problem = Problem(Operand.of(p, Space.LOG), Operand.of(q, Space.LOG))
    approximate, fine = both(problem)
    np.testing.assert_array_equal(approximate.value, fine.value)
    assert approximate.value[0, 0] == 0.0


def test_underflow_is_inside_the_radius() -> None:
    """A probability far below float64's range is 0 with a positive radius, not exactly 0."""
    p = Operand.of(np.array([[-np.inf, -1.0]]), Space.LOG, Dtype.FLOAT32)
    q = Operand.of(np.array([[-1e4, -1.0]]), Space.LOG, Dtype.FLOAT32)
    for result in both(Problem(p, q, Formula.GENERALISED)):
        assert result.value[0, 0] == 0.0 < result.radius[0, 0]


def test_float64_applies_to_large_problems_of_narrow_dtypes() -> None:
    """A problem in float64 is never evaluated in float64."""

    def of(rows: int, dtype: Dtype) -> Problem:
        values = np.broadcast_to(np.ones(1, dtype=dtype.carrier), (rows, 1000))
        return Problem(Operand(values, Space.PROBABILITY, dtype), Operand(values, Space.PROBABILITY, dtype))

    assert applies(of(2001, Dtype.FLOAT32))
    assert not applies(of(2000, Dtype.FLOAT32))
    assert not applies(of(2001, Dtype.FLOAT64))


def extra_memory(problem: Problem, limits: Limits = LIMITS) -> int:
    """Return the peak memory in bytes of evaluating a problem and its tolerance."""
    tracemalloc.start()
    try:
        tolerance(problem, answer(problem, limits=limits), Profile.of(Dtype.FLOAT32))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("contiguous", [False, True])
def test_memory_is_bounded_by_the_block(contiguous: bool) -> None:
    """A reduction of five million terms needs a few megabytes beyond its operands."""
    row = np.random.default_rng(4).uniform(0.1, 1.0, 5000).astype(np.float32)
    p, q = (np.broadcast_to(values, (1000, 5000)) for values in (row, np.log(row)))
    if contiguous:
        p, q = p.copy(), q.copy()
    problem = Problem(
        Operand(p, Space.PROBABILITY, Dtype.FLOAT32), Operand(q, Space.LOG, Dtype.FLOAT32), reduction=Reduction.SUM
    )
    assert extra_memory(problem) < 12e6


@pytest.mark.parametrize(
    ("spaces", "rest"),
    [
        ((Space.PROBABILITY, Space.LOG), {"clip": (0.1, 1.0)}),
        ((Space.PROBABILITY, Space.PROBABILITY), {"clip": (0.1, 1.0), "normalise": True}),
        ((Space.LOGITS, Space.LOGITS), {"formula": Formula.GENERALISED}),
    ],
)
def test_memory_does_not_grow_with_the_rows(spaces: tuple[Space, Space], rest: dict[str, Any]) -> None:
    """Eight more rows of 131,072 classes, 8 MiB in float32, add at most a sixteenth of that to the memory in use."""

    def extra(rows: int) -> int:
        p, q = np.random.default_rng(6).uniform(0.05, 1.0, (2, rows, 131_072)).astype(np.float32)
        operands = (
            Operand(p, spaces[0], Dtype.FLOAT32),
            Operand(np.log(q) if spaces[1] is not Space.PROBABILITY else q, spaces[1], Dtype.FLOAT32),
        )
        return extra_memory(Problem(*operands, reduction=Reduction.ROWS, **rest), ALWAYS)

    assert extra(12) - extra(4) < 2**19
