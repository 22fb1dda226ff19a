"""softmax and log-softmax of logits, as Enclosures."""

from collections.abc import Callable

import numpy as np

from kl_reference.bounds.ieee754 import require_ieee
from kl_reference.bounds.scaled import Scaled
from kl_reference.convention import Space
from kl_reference.enclosure import Array, Enclosure, Scale
from kl_reference.evaluation.blocks import BlockView
from kl_reference.evaluation.condition import ELEMENTARY, log_error
from kl_reference.evaluation.distribution import Distribution
from kl_reference.evaluation.reduction import Terms, evaluate_terms, restore_shape
from kl_reference.problem import Operand, class_axis


def log_softmax(logits: Operand, axis: int = -1) -> Enclosure:
    """Return x − log Σ e^x over the classes.

    Parameters
    ----------
    logits
        Of any shape, in the space ``LOGITS``.
    axis
        The class axis.

    Returns
    -------
    Enclosure
        Of the shape of the logits. A logit of −inf gives −inf; a row without a finite logit, or with NaN or
        +inf, is NaN. ``scale.fixed`` is 2·|value| + 5·ln n + 4 + h(n), with n classes and the growth h of the rounding
        error of a sum.

    Raises
    ------
    ValueError
        The operand is not in the space ``LOGITS``, or the axis does not exist.
    """
    return _evaluate(logits, axis, _log)


def softmax(logits: Operand, axis: int = -1) -> Enclosure:
    """Return e^x ÷ Σ e^x over the classes.

    Parameters
    ----------
    logits
        Of any shape, in the space ``LOGITS``.
    axis
        The class axis.

    Returns
    -------
    Enclosure
        Of the shape of the logits; 0 for a logit of −inf, NaN as in :func:`log_softmax`.
        ``scale.fixed`` is the value times the error of its logarithm and of one more exponential.

    Raises
    ------
    ValueError
        The operand is not in the space ``LOGITS``, or the axis does not exist.
    """
    return _evaluate(logits, axis, _probability)


def _evaluate(logits: Operand, axis: int, function: Callable[[Distribution], Terms]) -> Enclosure:
    """Evaluate a function on every block of a row-normalised operand."""
    if logits.space is not Space.LOGITS:
        raise ValueError(f"softmax needs an operand of logits, given {logits.space.value}")
    require_ieee()
    shape = logits.values.shape
    axis = class_axis(axis, shape)
    with np.errstate(all="ignore"):
        view = BlockView.of(logits, axis)
        whole = view.values.shape
        return evaluate_terms(
            whole,
            lambda rows, columns: function(view.block(rows, columns)),
            shaped=lambda part: restore_shape(part, whole, axis, shape),
        )


def _log(block: Distribution) -> Terms:
    value = Scaled.of(block.log(), block.extended)
    return Terms(value, _scale(log_error(block), np.abs(value.approximate)))


def _probability(block: Distribution) -> Terms:
    value = block.weight()
    size = np.abs(value.approximate)
    return Terms(value, _scale(size * (log_error(block) + ELEMENTARY + 1.0), size))


def _scale(fixed: Array, size: Array) -> Scale:
    """Return a scale that consists of pipeline error and one underflow per element."""
    one = np.ones_like(size)
    return Scale(np.zeros_like(size), fixed, size, one, one, 1)
