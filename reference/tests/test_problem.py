"""Problems, their ids, and rejected input."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from kl_reference import (
    Convention,
    Dtype,
    Enclosure,
    Formula,
    Operand,
    Problem,
    Reduction,
    Scale,
    Side,
    Space,
    answer,
    gradient,
)


def make_problem(**changes: Any) -> Problem:
    """Return a small problem with some of its fields changed."""
    p = Operand.of(np.array([[0.25, 0.75]]), Space.PROBABILITY, Dtype.FLOAT32)
    q = Operand.of(np.array([[-0.5, -1.0]]), Space.LOG, Dtype.FLOAT32)
    return replace(Problem(p, q), **changes)


def test_same_content_has_the_same_id() -> None:
    """The id depends on the content only: not on strides, not on byte order."""
    values = np.asfortranarray(np.random.default_rng(0).uniform(size=(3, 4)))
    swapped = values.astype(values.dtype.newbyteorder())
    ids = {
        replace(make_problem(), target=Operand(each, Space.PROBABILITY, Dtype.FLOAT64)).id
        for each in (values, values.copy(), swapped)
    }
    assert len(ids) == 1


def test_other_content_has_another_id() -> None:
    """Every change of the problem changes the id."""
    base = make_problem()
    others = [
        make_problem(formula=Formula.GENERALISED),
        make_problem(reduction=Reduction.SUM),
        make_problem(axis=0),
        make_problem(clip=(1e-7, 1.0)),
        make_problem(normalise=True),
        make_problem(smoothing=0.1),
        make_problem(layout="strided"),
        make_problem(target=base.model, model=base.target),
        make_problem(target=replace(base.target, values=base.target.values.reshape(2))),
        make_problem(target=replace(base.target, space=Space.LOGITS)),
        make_problem(target=replace(base.target, dtype=Dtype.BFLOAT16)),
        make_problem(target=Operand.of(-0.0 * base.target.values, Space.PROBABILITY)),
        make_problem(target=Operand.of(0.0 * base.target.values, Space.PROBABILITY)),
    ]
    assert len({base.id, *(other.id for other in others)}) == 1 + len(others)


def test_inputs_are_taken_as_rounded() -> None:
    """An operand is rounded to its dtype, and the answer is that of the rounded numbers."""
    p = Operand.of(np.array([0.1]), Space.PROBABILITY, Dtype.BFLOAT16)
    assert float(p.values[0]) == 0.10009765625
    q = Operand.of(np.array([0.0]), Space.LOG)
    expected = 0.10009765625 * np.log(0.10009765625)
    np.testing.assert_allclose(answer(Problem(p, q)).value, expected, rtol=1e-15)


def test_flushed_problem_has_no_subnormals() -> None:
    """Subnormal numbers of the dtype, and only those, are replaced by 0."""
    values = np.array([1e-40, -1e-40, 1.2e-38, 0.0, np.nan, np.inf], dtype=np.float32)
    for space in Space:
        operand = Operand.of(values, space)
        flushed = Problem(operand, operand).flushed()
        for side in Side:
            np.testing.assert_array_equal(flushed.side(side).values, [0.0, 0.0, values[2], 0.0, np.nan, np.inf])
    assert answer(make_problem()).value.dtype == np.float64


def test_shapes_must_broadcast() -> None:
    """Shapes that do not broadcast are rejected, even with equal numbers of elements."""
    p = Operand.of(np.ones((2, 3)), Space.PROBABILITY)
    for shape in ((3, 2), (6,), (2, 2)):
        problem = Problem(p, Operand.of(np.ones(shape), Space.PROBABILITY))
        with pytest.raises(ValueError, match="broadcast"):
            answer(problem)
        with pytest.raises(ValueError, match="broadcast"):
            gradient(problem, Side.MODEL)


@pytest.mark.parametrize("axis", [2, -3, 100])
def test_axis_must_exist(axis: int) -> None:
    """A class axis that the broadcast shape does not have is rejected and named."""
    with pytest.raises(ValueError, match=f"axis {axis} is out of range"):
        answer(make_problem(axis=axis))
    with pytest.raises(ValueError, match=f"axis {axis} is out of range"):
        gradient(make_problem(axis=axis), Side.TARGET)


def test_unknown_dtypes_are_rejected() -> None:
    """Integers, complex numbers and strings are rejected."""
    for values in (np.ones(2, dtype=np.int32), np.ones(2, dtype=np.complex128), np.array(["a"])):
        with pytest.raises(ValueError, match="unknown dtype"):
            Operand.of(values, Space.PROBABILITY)


def test_default_reduction_must_be_offered() -> None:
    """The default of a convention must be one of its reductions."""
    with pytest.raises(ValueError, match="'mean' is not offered; offered: none"):
        Convention(default="mean")
    assert Convention().named(Reduction.TERMS) == "none"
    assert Convention().named(Reduction.SUM) is None


def test_error_of_an_answer() -> None:
    """The error of an answer includes the tail; it is 0 for equal infinities and for NaN at NaN, and nowhere else."""
    nothing = np.zeros(6)
    scale = Scale(nothing, nothing, nothing, nothing, nothing, 1)
    value = np.array([1.0, np.inf, np.nan, np.inf, 2.0, 2.0])
    tail = np.array([2.0**-60, 0.0, 0.0, 0.0, 0.0, 0.0])
    got = np.array([1.0, np.inf, np.nan, -np.inf, np.nan, np.inf])
    error = Enclosure(value, tail, nothing, scale).error(got)
    np.testing.assert_array_equal(error, [-(2.0**-60), 0.0, 0.0, np.inf, np.inf, np.inf])
