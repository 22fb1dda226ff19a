"""Mutants with another formula."""

from __future__ import annotations

import math
from typing import Any

from studies.mutants.kernel import FaultKind, Mutant
from studies.mutants.torch_parts import Kernel, changing, guarded, log_term, shown, term, torch, total
from studies.mutants.torch_witness import shows

LN2 = math.log(2)


def _series(p: Any, log_q: Any) -> Any:
    """Compute log p by the first three odd powers of (m − 1)/(m + 1)."""
    mantissa, exponent = torch().frexp(p)
    s = (mantissa - 1) / (mantissa + 1)
    log = 2 * (s + s**3 / 3 + s**5 / 5) + exponent * LN2
    return p * (log.where(p > 0, p.log()) - log_q)


def _near(p: Any, log_q: Any) -> Any:
    """Use the first order of log(q/p) where q is within 1 % of p."""
    off = log_q.exp() / p - 1
    return (-p * off).where(off.abs() < 1e-2, p * (p.log() - log_q))


def _normal(p: Any) -> Any:
    mass = p.sum(-1, keepdim=True)
    return p / mass.where(mass != 0, 1.0)


def _six_decimals(result: Any) -> Any:
    return shown(result.double().mul(1e6).round().div(1e6).to(result.dtype), result)


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "in-bits",
        FaultKind.VALUE,
        "Returns bits: base-2 logarithms throughout.",
        lambda: changing(lambda terms: terms / LN2),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    Mutant(
        "one-logarithm-in-bits",
        FaultKind.VALUE,
        "Takes log2 of p and subtracts a natural log q.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.log2() - log_q))),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    Mutant(
        "arguments-swapped",
        FaultKind.VALUE,
        "Computes KL(Q‖P): the weight is q, the difference log q − log p.",
        lambda: Kernel(
            term=guarded(lambda p, log_q: log_q.exp() * (log_q - p.log())),
            log_term=guarded(lambda log_p, log_q: log_q.exp() * (log_q - log_p), zero=-math.inf),
        ),
        lambda kernel: shows(kernel, [0.8], [math.log(0.1)]),
    ),
    Mutant(
        "sign-reversed",
        FaultKind.VALUE,
        "Subtracts log p from log q and omits the minus sign.",
        lambda: changing(lambda terms: -terms),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    Mutant(
        "terms-absolute",
        FaultKind.VALUE,
        "Takes the absolute value of each term, because a divergence is not negative.",
        lambda: changing(lambda terms: terms.abs()),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    Mutant(
        "terms-at-least-0",
        FaultKind.VALUE,
        "Clamps each term at 0, because a divergence is not negative.",
        lambda: changing(lambda terms: terms.clamp(min=0.0)),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    Mutant(
        "total-at-least-0",
        FaultKind.VALUE,
        "Clamps the sum at 0, which is correct for distributions and wrong for measures.",
        lambda: Kernel(total=lambda terms: total(terms).clamp(min=0.0)),
        lambda kernel: shows(kernel, [0.1, 0.2], [-0.1, -0.2], reduction="sum"),
    ),
    Mutant(
        "cross-entropy",
        FaultKind.VALUE,
        "Drops the entropy of the target as a constant.",
        lambda: Kernel(
            term=guarded(lambda p, log_q: -p * log_q),
            log_term=guarded(lambda log_p, log_q: -log_p.exp() * log_q, zero=-math.inf),
        ),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    Mutant(
        "ratio",
        FaultKind.VALUE,
        "Computes p·log(p/q) from q = exp(log q), which underflows.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p / log_q.exp()).log())),
        lambda kernel: shows(kernel, [0.5], [-120.0]),
    ),
    Mutant(
        "first-order-near-equal",
        FaultKind.VALUE,
        "Replaces log(p/q) by 1 − q/p where they are within a hundredth.",
        lambda: Kernel(term=guarded(_near)),
        lambda kernel: shows(kernel, [0.5], [math.log(0.5 * 1.009)]),
    ),
    Mutant(
        "model-normalised-again",
        FaultKind.VALUE,
        "Applies log_softmax to log q again, which has no effect as long as it is normalised.",
        lambda: Kernel(before=lambda model, p: (model.log_softmax(-1), p)),
        lambda kernel: shows(kernel, [0.2, 0.3], [-1.0, -2.0]),
    ),
    Mutant(
        "target-normalised-again",
        FaultKind.VALUE,
        "Divides the target by its sum, which has no effect as long as it is normalised.",
        lambda: Kernel(term=lambda p, log_q: term(_normal(p), log_q)),
        lambda kernel: shows(kernel, [0.2, 0.3], [-1.0, -2.0]),
    ),
    Mutant(
        "generalised",
        FaultKind.VALUE,
        "Adds − p + q to each term, which cancels in the sum of distributions.",
        lambda: Kernel(
            term=lambda p, log_q: term(p, log_q) - p + log_q.exp(),
            log_term=lambda log_p, log_q: log_term(log_p, log_q) - log_p.exp() + log_q.exp(),
        ),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    Mutant(
        "certain-target-free",
        FaultKind.VALUE,
        "Skips a class whose target is exactly 1 along with those that are 0, since p·log p is 0 for both.",
        lambda: Kernel(term=lambda p, log_q: term(p, log_q).where(p != 1, 0.0)),
        lambda kernel: shows(kernel, [1.0], [-1.0]),
    ),
    Mutant(
        "log-by-short-series",
        FaultKind.VALUE,
        "Computes log p by a series of three terms, correct to four decimals.",
        lambda: Kernel(term=guarded(_series)),
        lambda kernel: shows(kernel, [0.5], [math.log(0.5) + 1e-3]),
    ),
    Mutant(
        "six-decimals",
        FaultKind.VALUE,
        "Rounds the answer to six decimals.",
        lambda: Kernel(after=_six_decimals),
        lambda kernel: shows(kernel, [1e-8], [-20.0]),
    ),
)
