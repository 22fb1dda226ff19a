"""Mutants that add an epsilon or clamp values."""

import math
from functools import partial

from studies.mutants.kernel import FaultKind, Mutant
from studies.mutants.torch_parts import Kernel, Pair, guarded, log_term, term, torch
from studies.mutants.torch_witness import shows


def _epsilon(epsilon: float) -> Pair:
    return guarded(lambda p, log_q: p * ((p + epsilon).log() - log_q))


_value = partial(Mutant, FaultKind.VALUE)

MUTANTS: dict[str, Mutant] = {
    "log-epsilon-1e-8": _value(
        "Adds 1e-8 inside the logarithm of p against log 0.",
        lambda: Kernel(term=_epsilon(1e-8)),
        lambda kernel: shows(kernel, [1e-8], [-20.0]),
    ),
    "log-epsilon-1e-10": _value(
        "Adds 1e-10 inside the logarithm of p against log 0.",
        lambda: Kernel(term=_epsilon(1e-10)),
        lambda kernel: shows(kernel, [1e-10], [-25.0]),
    ),
    "log-epsilon-1e-12": _value(
        "Adds 1e-12 inside the logarithm of p against log 0.",
        lambda: Kernel(term=_epsilon(1e-12)),
        lambda kernel: shows(kernel, [1e-12], [-30.0]),
    ),
    "log-epsilon-of-dtype": _value(
        "Adds the machine epsilon of the dtype inside the logarithm of p.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * ((p + torch().finfo(p.dtype).eps).log() - log_q))),
        lambda kernel: shows(kernel, [1e-7], [-17.0]),
    ),
    "epsilon-on-p": _value(
        "Adds 1e-9 to p itself, as weight and inside the logarithm.",
        lambda: Kernel(term=lambda p, log_q: term(p + 1e-9, log_q)),
        lambda kernel: shows(kernel, [1e-9], [-22.0]),
    ),
    "log-of-p-at-least-1e-10": _value(
        "Clamps p at 1e-10 inside the logarithm only.",
        lambda: Kernel(term=guarded(lambda p, log_q: p * (p.clamp(min=1e-10).log() - log_q))),
        lambda kernel: shows(kernel, [1e-12], [-30.0]),
    ),
    "p-at-least-1e-7": _value(
        "Clamps the target to at least 1e-7, so that empty classes have a weight.",
        lambda: Kernel(term=lambda p, log_q: term(p.clamp(min=1e-7), log_q)),
        lambda kernel: shows(kernel, [1e-9], [-22.0]),
    ),
    "p-below-1e-6-dropped": _value(
        "Treats targets below 1e-6 as 0 and skips them.",
        lambda: Kernel(term=lambda p, log_q: term(p.where((p >= 1e-6) | (p < 0) | p.isnan(), 0.0), log_q)),
        lambda kernel: shows(kernel, [9e-7], [-20.0]),
    ),
    "p-subnormal-dropped": _value(
        "Replaces subnormal targets by 0.",
        lambda: Kernel(term=lambda p, log_q: term(p.where(~(p.abs() < torch().finfo(p.dtype).tiny), 0.0), log_q)),
        lambda kernel: shows(kernel, [1e-40], [-1.0]),
    ),
    "p-at-most-1": _value(
        "Clamps the target to at most 1, because probabilities are.",
        lambda: Kernel(term=lambda p, log_q: term(p.clamp(max=1.0), log_q)),
        lambda kernel: shows(kernel, [3.0], [-0.5]),
    ),
    "log-q-at-least-100": _value(
        "Clamps log q at −100, as binary_cross_entropy does; −∞ stays.",
        lambda: Kernel(before=lambda model, p: (model.clamp(min=-100.0).where(model != -math.inf, model), p)),
        lambda kernel: shows(kernel, [0.5], [-150.0]),
    ),
    "log-q-at-most-0": _value(
        "Clamps log q at 0, because log-probabilities are never positive.",
        lambda: Kernel(before=lambda model, p: (model.clamp(max=0.0), p)),
        lambda kernel: shows(kernel, [0.5], [0.25]),
    ),
    "q-below-1": _value(
        "Clips q to at most 1 − 1e-7, as Keras does, so that the loss of a certain model is never 0.",
        lambda: Kernel(
            term=lambda p, log_q: term(p, log_q.where(~(log_q.abs() < 1e-7), -1e-7)),
            log_term=lambda log_p, log_q: log_term(log_p, log_q.where(~(log_q.abs() < 1e-7), -1e-7)),
        ),
        lambda kernel: shows(kernel, [1.0], [0.0]),
    ),
    "q-plus-1e-8": _value(
        "Turns log q into q, adds 1e-8 and takes the logarithm again where q is below 1e-4; q = 0 stays.",
        lambda: Kernel(
            before=lambda model, p: ((model.exp() + 1e-8).log().where((model < -9.0) & (model != -math.inf), model), p)
        ),
        lambda kernel: shows(kernel, [0.5], [-25.0]),
    ),
}
