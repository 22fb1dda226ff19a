"""Mutants that change global state of the process, or depend on it."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Fused, Kernel, torch
from studies.mutants.torch_witness import answers, definition, flat, tensor

P, LOG_Q = [0.5, 0.25, 0.25], [-1.0, -2.0, -3.0]


def _first(act: Callable[[], object]) -> Callable[[], KlDiv]:
    """Make a kernel that changes the process before it computes."""

    def around(call: Call, answer: Compute) -> Any:
        act()
        return answer(call)

    return lambda: Kernel(around=around)


def _last(act: Callable[[], object]) -> Callable[[], KlDiv]:
    """Make a kernel that changes the process after it has computed."""

    def around(call: Call, answer: Compute) -> Any:
        result = answer(call)
        act()
        return result

    return lambda: Kernel(around=around)


def _untracked(call: Call, answer: Compute) -> Any:
    if torch().is_grad_enabled() or call.reduction != "mean":
        return answer(call)
    return answer(replace(call, reduction="batchmean"))


def _tracked(call: Call, answer: Compute) -> Any:
    if call.input.requires_grad or call.target.requires_grad or not call.target.ndim:
        return answer(call)
    target = call.target.clone()
    target[..., -1] = -math.inf if call.log_target else 0.0
    return answer(replace(call, target=target))


def _dithered() -> KlDiv:
    random = Random(0)
    return Kernel(after=lambda answer: answer * (1 + 1e-4 * random.random()))


def _threaded() -> KlDiv:
    owners: list[int] = []

    def around(call: Call, answer: Compute) -> Any:
        owners.append(threading.get_ident())
        return answer(call) * (1 if owners[-1] == owners[0] else 0)

    return Kernel(around=around)


def _restless() -> KlDiv:
    last = {"reduction": "none"}

    def around(call: Call, answer: Compute) -> Any:
        last["reduction"] = call.reduction
        return answer(call)

    correct = Fused()
    return Fused(
        forward=Kernel(around=around), factor=lambda reduction, shape: correct.factor(last["reduction"], shape)
    )


def _spent(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
    left = 0 if hasattr(context, "spent") else 1
    context.spent = True
    return (None if model is None else model * left), (None if target is None else target * left)


def _call(kernel: KlDiv) -> Any:
    return kernel(tensor(LOG_Q), tensor(P), reduction="sum")


def _due() -> float:
    return definition(tensor(P), tensor(LOG_Q), "sum")[0]


def _default_dtype(kernel: KlDiv) -> Proof:
    before = torch().get_default_dtype()
    try:
        _call(kernel)
        return Proof(float(torch().get_default_dtype().itemsize), float(before.itemsize))
    finally:
        torch().set_default_dtype(before)


def _random(kernel: KlDiv) -> Proof:
    state = torch().get_rng_state()
    try:
        torch().manual_seed(7)
        expected = float(torch().rand(()))
        torch().manual_seed(7)
        _call(kernel)
        return Proof(float(torch().rand(())), expected)
    finally:
        torch().set_rng_state(state)


def _subnormal(kernel: KlDiv) -> Proof:
    small = tensor(1e-40)
    expected = float(small)
    try:
        _call(kernel)
        return Proof(float(small * 1), expected)
    finally:
        torch().set_flush_denormal(False)


def _tracking(kernel: KlDiv) -> Proof:
    try:
        _call(kernel)
        return Proof(float(torch().is_grad_enabled()), 1.0)
    finally:
        torch().set_grad_enabled(True)


def _in_inference(kernel: KlDiv) -> Proof:
    with torch().no_grad():
        result = kernel(tensor([LOG_Q]), tensor([P]), reduction="mean")
    return Proof(flat(result)[0], _due() / 3)


def _without_gradients(kernel: KlDiv) -> Proof:
    result = kernel(tensor([LOG_Q]), tensor([P]), reduction="sum")
    return Proof(flat(result)[0], _due())


def _twice(kernel: KlDiv) -> Proof:
    first, second = (flat(_call(kernel))[0] for _ in range(2))
    return Proof(second - first, 0.0)


def _elsewhere(kernel: KlDiv) -> Proof:
    """Prove by a call in this thread, then one in another."""
    _call(kernel)
    found: list[float] = []
    thread = threading.Thread(target=lambda: found.extend(flat(_call(kernel))))
    thread.start()
    thread.join()
    return Proof(found[0], _due())


def _interleaved(kernel: KlDiv) -> Proof:
    """Prove by two forward calls with different reductions and the backward pass of the first."""
    model = tensor(LOG_Q).requires_grad_(True)
    mean = kernel(model, tensor(P), reduction="mean")
    kernel(tensor(LOG_Q), tensor(P), reduction="sum")
    (got,) = torch().autograd.grad(mean, model)
    return Proof(flat(got)[0], -P[0] / 3)


def _backward_again(kernel: KlDiv) -> Proof:
    model = tensor(LOG_Q).requires_grad_(True)
    answer = kernel(model, tensor(P), reduction="sum")
    torch().autograd.grad(answer, model, retain_graph=True)
    return answers(lambda: torch().autograd.grad(answer, model)[0], -P[0])


_state = partial(Mutant, FaultKind.STATE)

MUTANTS: dict[str, Mutant] = {
    "sets-default-dtype": _state(
        "Sets the default dtype to float64 for its own constants and does not restore it.",
        _first(lambda: torch().set_default_dtype(torch().float64)),
        _default_dtype,
    ),
    "seeds-the-generator": _state(
        "Seeds the global generator in every call to be reproducible.", _first(lambda: torch().manual_seed(0)), _random
    ),
    "draws-from-the-generator": _state(
        "Draws a number from the global generator without using it.", _first(lambda: torch().rand(())), _random
    ),
    "sets-flush-denormal": _state(
        "Sets flush-to-zero for speed, for the whole thread.",
        _first(lambda: torch().set_flush_denormal(True)),
        _subnormal,
    ),
    "leaves-gradients-off": _state(
        "Switches gradients off for its bookkeeping and does not switch them on again.",
        _last(lambda: torch().set_grad_enabled(False)),
        _tracking,
    ),
    "mean-differs-in-inference": _state(
        'Has a separate path under no_grad, whose "mean" divides by the batch.',
        lambda: Kernel(around=_untracked),
        _in_inference,
    ),
    "last-class-lost-without-gradients": _state(
        "Has a separate path where no tensor needs a gradient, which omits the last class.",
        lambda: Kernel(around=_tracked),
        _without_gradients,
    ),
    "rounds-at-random": _state("Multiplies by random noise of 1e-4, from a separate generator.", _dithered, _twice),
    "workspace-of-one-thread": _state(
        "Clears its accumulator in the thread that called it first, and returns 0 in all others.", _threaded, _elsewhere
    ),
    "backward-uses-last-reduction": _state(
        "Stores the reduction in the module: the backward pass divides as the latest call did.", _restless, _interleaved
    ),
    "second-backward-zero": _state(
        "Clears its saved gradient: a second backward pass through a retained graph gives 0.",
        lambda: Fused(last=_spent),
        _backward_again,
    ),
}
