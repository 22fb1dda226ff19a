"""The one right answer to a problem."""

from __future__ import annotations

from functools import partial

import numpy as np

from kl_reference import coarse, swift
from kl_reference.condition import term_scale
from kl_reference.convention import Reduction, Side
from kl_reference.distribution import Distribution
from kl_reference.enclosure import Enclosure
from kl_reference.machine import require_ieee
from kl_reference.problem import Problem
from kl_reference.reduction import Terms, divisor, gathered, kept, outer, restored, sheet_shape, summed_axes
from kl_reference.sheet import BLOCK, Sheet, Summer, finely
from kl_reference.term import term
from kl_reference.working import Working


def answer(problem: Problem, working: Working | None = None) -> Enclosure:
    """Return the exact answer to a problem, and the scales its tolerance is built from.

    The inputs are taken as the real numbers they are; what is lost on the way is inside the radius, about
    1e-4 of what a float64 evaluation may err (NUMERICS 1.2).

    Parameters
    ----------
    problem
        Operands whose shapes broadcast.
    working
        What another reduction of the same problem has worked out already.

    Returns
    -------
    Enclosure
        Of the broadcast shape for ``TERMS``, of that shape without its class axis for ``ROWS``, else 0-D.
        p = 0 contributes 0 for every q ≥ 0 (``GENERALISED``: q), p > 0 with q = 0 gives +inf; negative
        probabilities and NaN give NaN in their term and in the sums that contain it. A row of logits that
        are all −inf, or of probabilities to be normalised that sum to 0, is NaN. The mean of nothing is NaN.

    Raises
    ------
    ValueError
        The shapes do not broadcast, there is no such axis, or probabilities are to be normalised and smoothed.
    FloatingPointError
        The thread's arithmetic does not round to nearest or flushes subnormal numbers.
    """
    whole = totalled(problem, working)
    return whole if isinstance(whole, Enclosure) else divided(whole, problem)


def divided(total: Terms, problem: Problem) -> Enclosure:
    """Return the answer to a problem whose terms are summed; see :func:`totalled`."""
    shape, axis, reduction = problem.shape, problem.class_axis, problem.reduction
    own = outer(shape, axis) if reduction is Reduction.ROWS else ()
    with np.errstate(all="ignore"):
        return total.divided(divisor(reduction, shape, axis)).enclosure(lambda part: part.reshape(own))


def totalled(problem: Problem, working: Working | None = None) -> Terms | Enclosure:
    """Return a problem's terms summed as far as its reduction sums, not yet divided; of ``TERMS`` the answer.

    All reductions to one number have one total: :func:`divided` gives the answer to each.

    Raises
    ------
    ValueError, FloatingPointError
        As :func:`answer` does.
    """
    require_ieee()
    work = Working(problem) if working is None else working
    shape, axis, reduction = problem.shape, problem.class_axis, problem.reduction
    sheet = sheet_shape(shape, axis)
    dtype, large = problem.target.dtype, coarse.suits(problem)
    size, summer = (coarse.BLOCK, coarse.coarsely) if large else (BLOCK, finely)
    make = fine = _finely(problem)
    if large:
        make = coarse.certified(fine, problem.formula, dtype, summed_axes(reduction))
    with np.errstate(all="ignore"):
        p, q = (
            work.sheet(side, partial(sheet_of, problem, side, summer)).broadcast(sheet)
            for side in (Side.TARGET, Side.MODEL)
        )

        def block(rows: slice, columns: slice) -> Terms:
            return work.terms(lambda: make(p.block(rows, columns), q.block(rows, columns)))

        if large and swift.suits(problem, p, q):
            return swift.gathered(p, q, reduction, dtype, fine, make)
        if reduction is Reduction.TERMS:
            return kept(sheet, block, size, lambda part: restored(part, sheet, axis, shape))
        return gathered(sheet, block, reduction, size)


def _finely(problem: Problem) -> coarse.Make:
    """Return what makes a block of terms in double-double, not summed."""
    formula, dtype = problem.formula, problem.target.dtype

    def make(p: Distribution, q: Distribution) -> Terms:
        value = term(formula, p, q)
        return Terms(value, term_scale(formula, p, q, np.abs(value.rough), dtype))

    return make


def sheet_of(problem: Problem, side: Side, summer: Summer = finely) -> Sheet:
    """Return the operand of a side, clipped, normalised or smoothed as the problem says, with its classes last."""
    operand, smoothing = problem.side(side), problem.smoothing if side is Side.TARGET else 0.0
    return Sheet.of(operand, problem.class_axis, problem.clip, problem.normalise, smoothing, summer)
