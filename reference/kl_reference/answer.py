"""The exact divergence of a problem, as an Enclosure."""

from functools import partial

import numpy as np

from kl_reference.bounds.ieee754 import require_ieee
from kl_reference.convention import Reduction, Side
from kl_reference.enclosure import Enclosure
from kl_reference.evaluation import float64, float64_dot
from kl_reference.evaluation.blocks import BLOCK, BlockView, RowSum, sum_double_double
from kl_reference.evaluation.condition import term_scale
from kl_reference.evaluation.distribution import Distribution
from kl_reference.evaluation.float64 import LIMITS, Limits
from kl_reference.evaluation.intermediates import Intermediates
from kl_reference.evaluation.reduction import (
    Terms,
    divisor,
    evaluate_sums,
    evaluate_terms,
    matrix_shape,
    outer_shape,
    restore_shape,
    summed_axes,
)
from kl_reference.evaluation.term import term
from kl_reference.problem import Problem


def answer(problem: Problem, intermediates: Intermediates | None = None, *, limits: Limits = LIMITS) -> Enclosure:
    """Return the exact answer to a problem, and the scales from which its tolerance is built.

    The inputs are taken as exact real numbers. All rounding errors of the evaluation are inside the radius, which is
    about 1e-4 of the rounding error of a float64 evaluation.

    Parameters
    ----------
    problem
        Operands whose shapes broadcast.
    intermediates
        Intermediate results shared with other reductions of the same problem.
    limits
        Sizes at which the evaluation changes its method.

    Returns
    -------
    Enclosure
        Of the broadcast shape for ``TERMS``, of that shape without its class axis for ``ROWS``, else 0-D.
        p = 0 contributes 0 for every q ≥ 0 (``GENERALISED``: q), p > 0 with q = 0 gives +inf; negative
        probabilities and NaN give NaN in their term and in the sums that contain it. A row of logits that
        are all −inf, or of probabilities to be normalised that sum to 0, is NaN. The mean of an empty array is NaN.

    Raises
    ------
    ValueError
        The shapes do not broadcast, the class axis does not exist, or probabilities are to be both normalised and
        smoothed.
    FloatingPointError
        The thread's arithmetic does not round to nearest or flushes subnormal numbers.
    ArithmeticError
        NumPy's log or exp is less accurate than the float64 evaluation assumes.
    """
    whole = sum_terms(problem, intermediates, limits=limits)
    return whole if isinstance(whole, Enclosure) else divide_sum(whole, problem)


def divide_sum(total: Terms, problem: Problem) -> Enclosure:
    """Return the answer to a problem whose terms have been summed by :func:`sum_terms`."""
    shape, axis, reduction = problem.shape, problem.class_axis, problem.reduction
    own = outer_shape(shape, axis) if reduction is Reduction.ROWS else ()
    with np.errstate(all="ignore"):
        return total.divided(divisor(reduction, shape, axis)).enclosure(lambda part: part.reshape(own))


def sum_terms(
    problem: Problem, intermediates: Intermediates | None = None, *, limits: Limits = LIMITS
) -> Terms | Enclosure:
    """Return a problem's terms, summed over the axes of its reduction but not yet divided; for ``TERMS`` the answer.

    All reductions to one number share one sum: :func:`divide_sum` derives the answer to each of them.

    Raises
    ------
    ValueError, FloatingPointError, ArithmeticError
        As :func:`answer` does.
    """
    require_ieee()
    intermediates = Intermediates(problem) if intermediates is None else intermediates
    shape, axis, reduction = problem.shape, problem.class_axis, problem.reduction
    matrix = matrix_shape(shape, axis)
    dtype, large = problem.target.dtype, float64.applies(problem, limits)
    size, row_sum = (float64.BLOCK, float64.sum_float64) if large else (BLOCK, sum_double_double)
    make = fine = _double_double_terms(problem)
    if large:
        make = float64.checked_terms(fine, problem.formula, dtype, summed_axes(reduction))
    with np.errstate(all="ignore"):
        p, q = (
            intermediates.view(side, partial(block_view, problem, side, row_sum)).broadcast(matrix)
            for side in (Side.TARGET, Side.MODEL)
        )

        def block(rows: slice, columns: slice) -> Terms:
            return intermediates.terms(lambda: make(p.block(rows, columns), q.block(rows, columns)))

        if large and float64_dot.applies(problem, p, q, limits):
            return float64_dot.sum_by_dot_products(p, q, reduction, dtype, fine, make, limits.dot_chunk)
        if reduction is Reduction.TERMS:
            return evaluate_terms(matrix, block, size, lambda part: restore_shape(part, matrix, axis, shape))
        return evaluate_sums(matrix, block, reduction, size)


def _double_double_terms(problem: Problem) -> float64.MakeTerms:
    """Return a function that evaluates a block of terms in double-double, without summing them."""
    formula, dtype = problem.formula, problem.target.dtype

    def make(p: Distribution, q: Distribution) -> Terms:
        value = term(formula, p, q)
        return Terms(value, term_scale(formula, p, q, np.abs(value.approximate), dtype))

    return make


def block_view(problem: Problem, side: Side, row_sum: RowSum = sum_double_double) -> BlockView:
    """Return an operand, clipped, normalised or smoothed as the problem requires, with its classes last."""
    operand, smoothing = problem.side(side), problem.smoothing if side is Side.TARGET else 0.0
    return BlockView.of(operand, problem.class_axis, problem.clip, problem.normalise, smoothing, row_sum)
