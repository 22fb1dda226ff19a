"""Mutants with another formula."""

import math
from functools import partial
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
    off = log_q.exp() / p - 1
    return (-p * off).where(off.abs() < 1e-2, p * (p.log() - log_q))


def _normal(p: Any) -> Any:
    mass = p.sum(-1, keepdim=True)
    return p / mass.where(mass != 0, 1.0)


def _six_decimals(result: Any) -> Any:
    return shown(result.double().mul(1e6).round().div(1e6).to(result.dtype), result)


_value = partial(Mutant, FaultKind.VALUE)

MUTANTS: dict[str, Mutant] = {
    "in-bits": _value(
        "Returns bits: base-2 logarithms throughout.",
        lambda: changing(lambda terms: terms / LN2),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    "one-logarithm-in-bits": _value(
        "Takes log2 of p and subtracts a natural log q.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.log2() - log_q))),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    "arguments-swapped": _value(
        "Computes KL(Q‖P): the weight is q, the difference log q − log p.",
        lambda: Kernel(
            term=guarded(lambda p, log_q: log_q.exp() * (log_q - p.log())),
            log_term=guarded(lambda log_p, log_q: log_q.exp() * (log_q - log_p), zero=-math.inf),
        ),
        lambda kernel: shows(kernel, [0.8], [math.log(0.1)]),
    ),
    "sign-reversed": _value(
        "Subtracts log p from log q and omits the minus sign.",
        lambda: changing(lambda terms: -terms),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    "terms-absolute": _value(
        "Takes the absolute value of each term, because a divergence is not negative.",
        lambda: changing(lambda terms: terms.abs()),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    "terms-at-least-0": _value(
        "Clamps each term at 0, because a divergence is not negative.",
        lambda: changing(lambda terms: terms.clamp(min=0.0)),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    "total-at-least-0": _value(
        "Clamps the sum at 0, which is correct for distributions and wrong for measures.",
        lambda: Kernel(total=lambda terms: total(terms).clamp(min=0.0)),
        lambda kernel: shows(kernel, [0.1, 0.2], [-0.1, -0.2], reduction="sum"),
    ),
    "cross-entropy": _value(
        "Drops the entropy of the target as a constant.",
        lambda: Kernel(
            term=guarded(lambda p, log_q: -p * log_q),
            log_term=guarded(lambda log_p, log_q: -log_p.exp() * log_q, zero=-math.inf),
        ),
        lambda kernel: shows(kernel, [0.5], [-1.0]),
    ),
    "ratio": _value(
        "Computes p·log(p/q) from q = exp(log q), which underflows.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p / log_q.exp()).log())),
        lambda kernel: shows(kernel, [0.5], [-120.0]),
    ),
    "first-order-near-equal": _value(
        "Replaces log(p/q) by 1 − q/p where they are within a hundredth.",
        lambda: Kernel(term=guarded(_near)),
        lambda kernel: shows(kernel, [0.5], [math.log(0.5 * 1.009)]),
    ),
    "model-normalised-again": _value(
        "Applies log_softmax to log q again, which has no effect as long as it is normalised.",
        lambda: Kernel(before=lambda model, p: (model.log_softmax(-1), p)),
        lambda kernel: shows(kernel, [0.2, 0.3], [-1.0, -2.0]),
    ),
    "target-normalised-again": _value(
        "Divides the target by its sum, which has no effect as long as it is normalised.",
        lambda: Kernel(term=lambda p, log_q: term(_normal(p), log_q)),
        lambda kernel: shows(kernel, [0.2, 0.3], [-1.0, -2.0]),
    ),
    "generalised": _value(
        "Adds − p + q to each term, which cancels in the sum of distributions.",
        lambda: Kernel(
            term=lambda p, log_q: term(p, log_q) - p + log_q.exp(),
            log_term=lambda log_p, log_q: log_term(log_p, log_q) - log_p.exp() + log_q.exp(),
        ),
        lambda kernel: shows(kernel, [0.2, 0.8], [math.log(0.5)] * 2),
    ),
    "certain-target-free": _value(
        "Skips a class whose target is exactly 1 along with those that are 0, since p·log p is 0 for both.",
        lambda: Kernel(term=lambda p, log_q: term(p, log_q).where(p != 1, 0.0)),
        lambda kernel: shows(kernel, [1.0], [-1.0]),
    ),
    "log-by-short-series": _value(
        "Computes log p by a series of three terms, correct to four decimals.",
        lambda: Kernel(term=guarded(_series)),
        lambda kernel: shows(kernel, [0.5], [math.log(0.5) + 1e-3]),
    ),
    "six-decimals": _value(
        "Rounds the answer to six decimals.",
        lambda: Kernel(after=_six_decimals),
        lambda kernel: shows(kernel, [1e-8], [-20.0]),
    ),
}
