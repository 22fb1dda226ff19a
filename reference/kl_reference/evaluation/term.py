"""One term of the sum over classes, and its derivatives."""

from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from kl_reference.bounds import ball
from kl_reference.bounds.ball import minus, plus
from kl_reference.bounds.scaled import UNSCALED, Scaled
from kl_reference.convention import Formula, Side
from kl_reference.evaluation.distribution import Distribution


def term(formula: Formula, p: Distribution, q: Distribution) -> Scaled:
    """Return the formula's value in the extended reals, except that 0·(log 0 − log q) = 0 for every q."""
    weight = p.weight()
    match formula:
        case Formula.PLAIN:
            return _weighted(weight, log_ratio(p, q), p, q)
        case Formula.CROSS_ENTROPY:
            return _weighted(weight, -_log(q), p, q)
        case Formula.GENERALISED:
            return _weighted(weight, log_ratio(p, q), p, q) + -weight + q.weight()
        case _:
            assert_never(formula)


def slope(formula: Formula, side: Side, logarithmic: bool, p: Distribution, q: Distribution) -> Scaled:
    """Return the derivative of the term by p or q, or, if ``logarithmic``, by its logarithm.

    At p = 0 it is the limit from the right: by p it is −inf if log p is in the formula (+inf at q = 0, where the term
    jumps from 0 to +inf), by log p 0; and by q or log q 0 (``GENERALISED``: 1 or q), also at q = 0.
    """
    if side is Side.TARGET:
        inner = _target_slope(formula, p, q)
        if logarithmic:
            return _weighted(p.weight(), inner, p, q)
        return inner.replaced((p.extended == -np.inf) & (q.extended == -np.inf), np.inf)
    weight = p.weight()
    if logarithmic:
        return q.weight() + -weight if formula is Formula.GENERALISED else -weight
    quotient = (weight / q.weight()).replaced(_vanishing(p, q), 0.0)
    if formula is Formula.GENERALISED:
        return Scaled.exact(np.ones(p.values.shape)) + -quotient
    return -quotient


def log_ratio(p: Distribution, q: Distribution) -> Scaled:
    """Return log(p/q); to full relative accuracy even for p ≈ q if both are exact probabilities."""
    if p.exact is not None and q.exact is not None:
        return Scaled.of(ball.log_quotient(p.exact, q.exact), plus(p.extended, minus(q.extended)))
    log_p, log_q = p.log(), q.log()
    difference = log_p - log_q
    if difference.is_below_huge:
        return Scaled.with_special(difference, UNSCALED, plus(p.extended, minus(q.extended)))
    return Scaled.of(log_p, p.extended) + -Scaled.of(log_q, q.extended)


def _target_slope(formula: Formula, p: Distribution, q: Distribution) -> Scaled:
    """Return the derivative by p, which is also the derivative by log p without its factor p."""
    match formula:
        case Formula.PLAIN:
            return log_ratio(p, q) + Scaled.exact(np.ones_like(p.values))
        case Formula.CROSS_ENTROPY:
            return -_log(q)
        case Formula.GENERALISED:
            return log_ratio(p, q)
        case _:
            assert_never(formula)


def _log(q: Distribution) -> Scaled:
    return Scaled.of(q.log(), q.extended)


def _weighted(weight: Scaled, number: Scaled, p: Distribution, q: Distribution) -> Scaled:
    """Return p × number, and 0 where p = 0."""
    return (weight * number).replaced(_vanishing(p, q), 0.0)


def _vanishing(p: Distribution, q: Distribution) -> NDArray[np.bool_]:
    """Return where p = 0 and q is not NaN."""
    return np.asarray((p.extended == -np.inf) & ~np.isnan(q.extended))
