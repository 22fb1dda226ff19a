"""One term of the sum over classes: its exact value, and the scales of its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from kl_reference import ball
from kl_reference.ball import Ball
from kl_reference.convention import Formula
from kl_reference.distribution import Distribution
from kl_reference.double_double import Exponent
from kl_reference.enclosure import Array


@dataclass(frozen=True, slots=True)
class Scaled:
    """A ball times a power of two, so that nothing overflows or underflows before the very end.

    ``special`` is added last: ±inf or NaN where the answer is that (the ball is then 0), else 0.
    """

    ball: Ball
    exponent: Exponent
    special: Array


def term(formula: Formula, p: Distribution, q: Distribution) -> Scaled:
    """Return the term of a block, with the values in the extended reals that REQUIREMENTS names.

    p = 0 contributes 0 (``GENERALISED``: q) for every q ≥ 0; p > 0, q = 0 gives +inf; what the formula leaves
    undefined (a negative probability, inf − inf, inf·0), and every NaN, is NaN.
    """
    special = _special(formula, p, q)
    both = p.ordinary & q.ordinary
    m, k = p.weight()
    match formula:
        case Formula.PLAIN:
            return Scaled((m * log_ratio(p, q)).only(both), k, special)
        case Formula.CROSS_ENTROPY:
            return Scaled((m * -q.log()).only(both), k, special)
        case Formula.GENERALISED:
            return _generalised((m * log_ratio(p, q)).only(both), m, k, q, special)
        case _:
            assert_never(formula)


def log_ratio(p: Distribution, q: Distribution) -> Ball:
    """Return log(p/q): of neighbours too to full relative accuracy, where both are exact probabilities."""
    if p.exact is not None and q.exact is not None:
        return ball.log_quotient(p.exact, q.exact)
    return p.log() - q.log()


def _generalised(product: Ball, m: Ball, k: Exponent, q: Distribution, special: Array) -> Scaled:
    """Return p·log(p/q) − p + q over the larger of the exponents of p and q."""
    n, q_exponent = q.weight()
    common = np.where(m.high == 0.0, q_exponent, np.maximum(k, q_exponent))
    terms = (product - m).scaled(k - common) + n.scaled(q_exponent - common)
    return Scaled(terms.only(special == 0.0), common, special)


def _special(formula: Formula, p: Distribution, q: Distribution) -> Array:
    """Return what the formula gives in the extended reals where that is not a real number, else 0."""
    log_p, log_q = p.rough_log(), q.rough_log()
    # For signs and infinities an ordinary probability is as good as 1.
    p_size, q_size = np.exp(p.extended), np.exp(q.extended)
    difference = -log_q if formula is Formula.CROSS_ENTROPY else log_p - log_q
    product = np.where((p.extended == -np.inf) & ~np.isnan(log_q), 0.0, p_size * difference)
    value = product + (q_size - p_size) if formula is Formula.GENERALISED else product
    return np.where(np.isfinite(value) | (p.ordinary & q.ordinary), 0.0, value)
