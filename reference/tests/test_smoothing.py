"""Targets mixed with the uniform distribution: special values, sizes and tolerances; the audits cover the rest."""

from dataclasses import replace
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest

from kl_audit import oracle
from kl_reference import Dtype, Formula, Operand, Problem, Profile, Reduction, Side, Space, answer, gradient, tolerance
from kl_reference.curvature import curvature, tangent
from kl_reference.enclosure import Array, Enclosure
from kl_reference.evaluation.float64 import LIMITS

P, LOG, LOGITS = Space.PROBABILITY, Space.LOG, Space.LOGITS


def make_problem(p: Any, q: Any, model: Space = LOG, dtype: Dtype = Dtype.FLOAT64, **rest: Any) -> Problem:
    """Return a cross-entropy with labels smoothed by 0.1, with optional changes."""
    target, other = (np.asarray(each, dtype=np.float64) for each in (p, q))
    plain = Problem(Operand.of(target, P, dtype), Operand.of(other, model, dtype), Formula.CROSS_ENTROPY, smoothing=0.1)
    return replace(plain, **rest)


def is_near(exact: Enclosure, number: Array) -> None:
    """Assert that a number rounded once is in an enclosure."""
    assert np.all(np.abs(exact.error(number)) <= exact.radius + np.spacing(np.abs(number)))


@pytest.mark.parametrize("formula", Formula)
def test_a_smoothed_one_hot_label_has_no_zeros(formula: Formula) -> None:
    """No class of a smoothed one-hot label has p = 0: a class that the model excludes makes the loss infinite."""
    given = answer(make_problem([0.0, 1.0], [-np.inf, 0.0], formula=formula)).value
    assert given[0] == np.inf
    assert np.isfinite(given[1])


def test_zero_smoothing_changes_nothing() -> None:
    """Labels smoothed by 0 are the received ones."""
    plain, smoothed = (make_problem([0.2, 0.8], [-1.0, -2.0], smoothing=each) for each in (0.0, 2.0**-1000))
    np.testing.assert_array_equal(answer(plain).value, answer(smoothed).value)
    assert plain.id != smoothed.id


def test_invalid_probabilities_stay_invalid() -> None:
    """Smoothing does not hide a negative probability, NaN or infinity."""
    np.testing.assert_array_equal(
        answer(make_problem([-1e-3, np.nan, np.inf], [-1.0] * 3)).value, [np.nan, np.nan, np.inf]
    )


def test_only_probabilities_are_smoothed() -> None:
    """Smoothing changes neither a target of logarithms nor the model."""
    logs = replace(make_problem([0.5, 0.5], [-1.0, -2.0]), target=Operand.of(np.array([-1.0, -0.5]), LOG))
    np.testing.assert_array_equal(answer(logs).value, answer(replace(logs, smoothing=0.0)).value)


def test_smoothing_of_normalised_rows_is_rejected() -> None:
    """Normalisation and smoothing have no defined order."""
    with pytest.raises(ValueError, match="smoothing of normalised probabilities"):
        answer(make_problem([0.5, 0.5], [0.5, 0.5], P, normalise=True))


def test_the_classes_of_any_axis_are_counted() -> None:
    """The uniform distribution is over the class axis."""
    p, q = np.full((2, 3, 4), 0.0), np.full((2, 3, 4), -1.0)
    for axis, classes in ((0, 2), (1, 3), (-1, 4)):
        is_near(answer(make_problem(p, q, axis=axis)), np.full(p.shape, float(Fraction(0.1) / classes)))


def test_large_problems_are_enclosed() -> None:
    """A row with more elements than the limit of double-double is enclosed, too."""
    classes = LIMITS.double_double + 1
    problem = make_problem(np.zeros(classes), np.full(classes, -1.5), dtype=Dtype.FLOAT32, reduction=Reduction.SUM)
    exact = answer(problem)
    assert abs(float(exact.error(np.asarray(0.1 * 1.5)))) <= float(exact.radius) + 1e-16


@pytest.mark.parametrize("formula", Formula)
def test_the_tangent_of_a_smoothed_label(formula: Formula) -> None:
    """Along v a smoothed p changes by (1 − ε)·v: the same as differences with 70 digits."""
    v = np.array([1.0, -0.25])
    problem = make_problem([0.2, 0.8], [0.3, -0.2], LOGITS, reduction=Reduction.SUM, formula=formula)
    upstream = np.ones(())
    with mpmath.workdps(40):
        rates = [oracle.derivative(problem, Side.TARGET, (at,), upstream) for at in (0, 1)]
        rate = float(rates[0] * v[0] + rates[1] * v[1])
    is_near(tangent(problem, Side.TARGET, v), np.asarray(rate))


@pytest.mark.parametrize("formula", Formula)
def test_the_curvature_of_a_smoothed_label(formula: Formula) -> None:
    """By p′ the formula's second derivative is 1/p′, or 0 for the cross-entropy; by p it is (1 − ε)² times that."""
    p, v = np.array([0.2, 0.8]), np.array([1.0, -0.25])
    problem = make_problem(p, [0.3, -0.2], LOGITS, reduction=Reduction.SUM, formula=formula)
    left = 1 - Fraction(0.1)
    bent = [
        float(left**2 * Fraction(step) / (left * Fraction(each) + Fraction(0.1) / 2))
        for each, step in zip(p, v, strict=True)
    ]
    expected = np.zeros(2) if formula is Formula.CROSS_ENTROPY else np.array(bent)
    is_near(curvature(problem, Side.TARGET, v), expected)


@pytest.mark.parametrize("dtype", [Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16])
@pytest.mark.parametrize("side", [None, *Side])
def test_plain_numpy_is_within_tolerance(dtype: Dtype, side: Side | None) -> None:
    """Operation-by-operation NumPy is within the tolerance; another ε or number of classes is far outside."""
    rng = np.random.default_rng(3)
    p = rng.dirichlet(np.ones(5), 400).astype(dtype.carrier) * (rng.uniform(size=(400, 5)) > 0.3)
    logs = np.log(rng.dirichlet(np.ones(5), 400)).astype(dtype.carrier)
    problem = make_problem(p, logs, dtype=dtype)

    def given(epsilon: float, classes: int) -> np.ndarray[Any, Any]:
        if side is Side.TARGET:
            return np.asarray(-logs * dtype.carrier.type(1.0 - epsilon))
        mixed = problem.target.values * dtype.carrier.type(1.0 - epsilon) + dtype.carrier.type(epsilon / classes)
        return np.asarray(-mixed if side else -mixed * logs)

    exact = gradient(problem, side) if side else answer(problem)
    allowed = tolerance(problem, exact, Profile.of(dtype)).total

    def used(epsilon: float, classes: int) -> np.ndarray[Any, Any]:
        return np.abs(exact.error(given(epsilon, classes).astype(np.float64))) / allowed

    assert np.max(used(0.1, 5)) < 1.0
    assert np.max(used(0.11, 5)) > 1.0
    assert side is Side.TARGET or np.max(used(0.1, 4)) > 1.0


def test_the_oracle_smooths_likewise() -> None:
    """The oracle, with 70 digits, gives the same float64."""
    problem = make_problem([[0.25, 0.75], [0.0, 1.0]], [[-1.0, -2.0], [-3.0, -0.5]], reduction=Reduction.SUM)
    assert oracle.error_ratio(answer(problem), oracle.answer(problem)) <= 1.0
    assert float(answer(problem).value) == float(oracle.answer(problem))
