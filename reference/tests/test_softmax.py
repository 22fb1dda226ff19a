"""Softmax and log-softmax of logits."""

import math

import numpy as np
import pytest

from kl_reference import Dtype, Operand, Space, log_softmax, softmax


def logits(values: object) -> Operand:
    """Return an operand of float64 logits."""
    return Operand.of(np.asarray(values, dtype=np.float64), Space.LOGITS)


def test_one_class_is_certain() -> None:
    """The softmax of one class is exactly 1, and its logarithm exactly 0."""
    for value in (0.0, -1e300, 5e-324):
        assert softmax(logits([value])).value == 1.0
        assert log_softmax(logits([value])).value == 0.0


def test_probabilities_sum_to_one() -> None:
    """Over any axis, probabilities sum to 1."""
    x = np.random.default_rng(0).normal(size=(3, 4, 5)) * 20.0
    for axis in range(-3, 3):
        p = softmax(logits(x), axis)
        np.testing.assert_allclose(p.value.sum(axis), 1.0, rtol=1e-15)
        np.testing.assert_allclose(np.exp(log_softmax(logits(x), axis).value), p.value, rtol=1e-13)


def test_shift_changes_nothing() -> None:
    """Adding a power of two to logits that are multiples of 1/8 changes no bit."""
    x = np.random.default_rng(1).integers(-64, 64, (5, 9)) / 8.0
    np.testing.assert_array_equal(log_softmax(logits(x)).value, log_softmax(logits(x + 1024.0)).value)


def test_long_rows() -> None:
    """A row longer than a block is normalised over all of its classes."""
    x = np.zeros((2, 20_001))
    np.testing.assert_array_equal(log_softmax(logits(x)).value, -math.log(20_001))


def test_log_of_a_probability_next_to_one() -> None:
    """The logarithm of a probability next to 1 is accurate to its last digit."""
    result = log_softmax(logits([0.0, -60.0]))
    assert result.value[0] == pytest.approx(-math.exp(-60.0), rel=1e-15)


def test_scalar_is_one_class() -> None:
    """A scalar is a distribution over one class."""
    assert softmax(logits(3.0)).value.shape == ()
    assert softmax(logits(3.0)).value == 1.0


def test_half_precision_logits() -> None:
    """Logits are taken as the numbers their dtype holds."""
    x = np.array([0.1, 0.2, 0.3])
    narrow = Operand.of(x, Space.LOGITS, Dtype.BFLOAT16)
    np.testing.assert_array_equal(
        log_softmax(narrow).value, log_softmax(logits(narrow.values.astype(np.float64))).value
    )


def test_special_logits() -> None:
    """A logit of −inf has probability 0; NaN, +inf, or a row of −inf only make the row NaN."""
    x = np.array([[0.0, -math.inf], [math.nan, 0.0], [math.inf, 0.0], [-math.inf, -math.inf]])
    rows = [[True, True], [False] * 2, [False] * 2, [False] * 2]
    np.testing.assert_array_equal(~np.isnan(softmax(logits(x)).value), rows)
    np.testing.assert_array_equal(log_softmax(logits(x)).value[0], [0.0, -math.inf])


def test_logits_too_far_apart_have_an_infinite_radius() -> None:
    """A difference of logits that overflows has an infinite radius, and probability 0."""
    far = np.finfo(np.float64).max
    result = log_softmax(logits([far, -far]))
    assert math.isinf(result.radius[1])
    np.testing.assert_array_equal(softmax(logits([far, -far])).value, [1.0, 0.0])


def test_only_logits_are_normalised() -> None:
    """The softmax of a probability is refused."""
    with pytest.raises(ValueError, match="given probability"):
        softmax(Operand.of(np.ones(3), Space.PROBABILITY))
    with pytest.raises(ValueError, match="axis 1 is out of range"):
        log_softmax(logits([1.0, 2.0]), axis=1)
