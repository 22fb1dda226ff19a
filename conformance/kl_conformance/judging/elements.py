"""Element by element: the ratio of errors to allowed errors, the worst element and its condition."""

import math

import numpy as np

from kl_conformance.judging.evaluation import Evaluation
from kl_reference.enclosure import Array
from kl_reference.tolerance import accepts_overflow, tolerance


def ratio(error: Array, allowed: Array) -> Array:
    """Return error ÷ allowed, with 0 ÷ 0 = 0, and ∞ for anything that is not a number."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        quotient = np.where(error == 0, 0.0, error / allowed)
    return np.where(np.isnan(quotient), np.inf, quotient)


def error_ratio(evaluation: Evaluation) -> Array:
    """Return |error| ÷ tolerance of every element.

    An overflow to the correct infinity is 0 where the arithmetic allows it. Columns that flush subnormal numbers may
    also return the answer to the same inputs with subnormals set to zero.
    """
    found = ratio(np.abs(evaluation.enclosure.error(evaluation.answer)), evaluation.tolerance.total)
    may_overflow = accepts_overflow(evaluation.enclosure, evaluation.tolerance, evaluation.profile.storage)
    overflowed = np.isinf(evaluation.answer) & (np.sign(evaluation.answer) == np.sign(evaluation.enclosure.value))
    found = np.where(may_overflow & overflowed, 0.0, found)
    if evaluation.profile.flush_to_zero and np.any(found > 1):
        flushed = evaluation.problem.flushed()
        enclosure = evaluation.solve(flushed)
        allowed = tolerance(flushed, enclosure, evaluation.profile).total
        found = np.minimum(found, ratio(np.abs(enclosure.error(evaluation.answer)), allowed))
    return found


def worst(values: Array) -> tuple[int, ...]:
    """Return the index of the largest element; () if there is none."""
    if not values.size:
        return ()
    return tuple(int(i) for i in np.unravel_index(int(np.argmax(values)), values.shape))


def condition(evaluation: Evaluation, at: tuple[int, ...]) -> float | None:
    """Return the condition number S ÷ |answer| of one element, ∞ where S cancels to 0; None where it has none."""
    scale, value = evaluation.enclosure.scale.condition, evaluation.enclosure.value
    if not value.size or scale.shape != value.shape:
        return None
    total, size = float(scale[at]), abs(float(value[at]))
    if not (math.isfinite(total) and math.isfinite(size)) or total == 0:
        return None
    return total / size if size > total * 1e-300 else math.inf
