"""Mutants that are correct for probabilities and wrong for a target in logarithms."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Fused, Kernel, by_log_target, guarded, log_term, term
from studies.mutants.torch_witness import shows, slope

INF = math.inf


def _logarithmic(plain: Callable[[Any, Any], Any]) -> Callable[[], KlDiv]:
    """Make a kernel whose terms of log p and log q are wrong; log p = −∞ still returns 0."""
    return lambda: Kernel(log_term=guarded(plain, zero=-INF))


def _asking(change: Callable[[Call], Call]) -> Callable[[], KlDiv]:
    """Make a kernel that changes the arguments of the call."""

    def around(call: Call, answer: Compute) -> Any:
        return answer(change(call))

    return lambda: Kernel(around=around)


def _shows(log_p: Any, log_q: Any, **rest: Any) -> Callable[[KlDiv], Proof]:
    return lambda kernel: shows(kernel, log_p, log_q, log_target=True, **rest)


def _guessed(call: Call) -> Call:
    return replace(call, log_target=bool((call.target < 0).any()) and call.log_target)


_log_target = partial(Mutant, FaultKind.LOG_TARGET)

MUTANTS: dict[str, Mutant] = {
    "log-target-ignored": _log_target(
        "Accepts log_target and reads the target as probabilities nevertheless.",
        _asking(lambda call: replace(call, log_target=False)),
        _shows([-1.0], [-2.0]),
    ),
    "log-target-ignored-in-16-bits": _log_target(
        "Has no log_target in its 16-bit branch.",
        _asking(lambda call: replace(call, log_target=call.log_target and call.target.dtype.itemsize > 2)),
        _shows([-1.0], [-2.0], dtype="float16"),
    ),
    "log-target-guessed": _log_target(
        "Guesses from a negative number whether the target is logarithmic, whatever the flag is.",
        _asking(_guessed),
        _shows([0.5], [-1.0]),
    ),
    "log-target-mean-by-batch": _log_target(
        'Divides "mean" by the batch in the log-target branch only.',
        _asking(
            lambda call: replace(call, reduction="batchmean") if call.log_target and call.reduction == "mean" else call
        ),
        _shows([[-1.0, -2.0]], [[-2.0, -1.0]], reduction="mean"),
    ),
    "log-target-not-exponentiated": _log_target(
        "Uses the weight log p instead of p.",
        _logarithmic(lambda log_p, log_q: log_p * (log_p - log_q)),
        _shows([-1.0], [-2.0]),
    ),
    "log-target-weighed-by-model": _log_target(
        "Uses the weight e^log q instead of e^log p.",
        _logarithmic(lambda log_p, log_q: log_q.exp() * (log_p - log_q)),
        _shows([-1.0], [-2.0]),
    ),
    "log-target-sign": _log_target(
        "Subtracts the wrong way round in the log-target branch.",
        _logarithmic(lambda log_p, log_q: log_p.exp() * (log_q - log_p)),
        _shows([-1.0], [-2.0]),
    ),
    "log-target-power-of-two": _log_target(
        "Uses 2^log p as the weight.",
        _logarithmic(lambda log_p, log_q: log_p.exp2() * (log_p - log_q)),
        _shows([-1.0], [-2.0]),
    ),
    "log-target-coarse-log2e": _log_target(
        "Computes e^x as 2^(1.4427·x), whose relative error reaches a thousandth.",
        _logarithmic(lambda log_p, log_q: (log_p * 1.4427).exp2() * (log_p - log_q)),
        _shows([-700.0], [-1.0], dtype="float64"),
    ),
    "log-target-through-p": _log_target(
        "Computes e^log p and then its logarithm again, which loses digits for p near 1.",
        lambda: Kernel(log_term=lambda log_p, log_q: term(log_p.exp(), log_q)),
        _shows([-1e-8], [-3e-8]),
    ),
    "log-target-at-least-minus-20": _log_target(
        "Clamps log p at −20.",
        _logarithmic(lambda log_p, log_q: log_term(log_p.clamp(min=-20.0), log_q)),
        _shows([-25.0], [-26.0]),
    ),
    "log-target-at-most-0": _log_target(
        "Clamps log p at 0, because log-probabilities are never positive.",
        _logarithmic(lambda log_p, log_q: log_term(log_p.clamp(max=0.0), log_q)),
        _shows([0.5], [-1.0]),
    ),
    "log-target-normalised-again": _log_target(
        "Applies log_softmax to log p again, which has no effect as long as it is normalised.",
        lambda: Kernel(log_term=lambda log_p, log_q: log_term(log_p.log_softmax(-1), log_q)),
        _shows([-1.0, -2.0], [-2.0, -3.0]),
    ),
    "log-target-masked-weighs-1": _log_target(
        "Replaces log p = −∞ by 0, and e^0 is 1.",
        lambda: Kernel(log_term=lambda log_p, log_q: log_term(log_p.where(log_p != -INF, 0.0), log_q)),
        _shows([-INF], [-2.0]),
    ),
    "log-target-masked-infinite": _log_target(
        "Returns −∞ where log p = −∞.",
        lambda: Kernel(
            log_term=lambda log_p, log_q: log_term(log_p, log_q).where((log_p != -INF) | log_q.isnan(), -INF)
        ),
        _shows([-INF], [-2.0]),
    ),
    "log-target-weight-detached": _log_target(
        "Detaches the weight e^log p: the gradient by log p is p.",
        lambda: Fused(by_log_target=lambda p, log_p, log_q: p),
        lambda kernel: slope(kernel, [-1.0], [-3.0], by="target", log_target=True),
    ),
    "log-target-gradient-by-p": _log_target(
        "Returns the gradient by p as that by log p: the chain rule's factor p is missing.",
        lambda: Fused(by_log_target=lambda p, log_p, log_q: by_log_target(p, log_p, log_q) / p),
        lambda kernel: slope(kernel, [-1.0], [-3.0], by="target", log_target=True),
    ),
}
