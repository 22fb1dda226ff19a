"""Mutants that write into the tensors of the caller."""

from collections.abc import Callable
from functools import partial
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import Call, Compute, Fused, Kernel
from studies.mutants.torch_witness import flat, tensor

P, LOG_Q = [0.5, 0.25, 0.25], [-1.0, -2.0, -3.0]


def _writes(write: Callable[[Call], None]) -> Callable[[], KlDiv]:
    """Make a kernel that computes its answer and then writes into an argument."""

    def around(call: Call, answer: Compute) -> Any:
        given = answer(call).clone()
        write(call)
        return given

    return lambda: Kernel(around=around)


def _into_input(call: Call) -> None:
    if call.input.shape == call.target.shape and not call.log_target:
        call.input.data.mul_(-call.target.data)


def _exponentiated(call: Call) -> None:
    if call.log_target:
        call.target.data.exp_()


def _clamped_target(call: Call) -> None:
    if not call.log_target:
        call.target.data.clamp_(min=1e-12)


def _clamped_input(call: Call) -> None:
    call.input.data.clamp_(min=-50.0)


def _scaled_target(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
    saved = context.saved_tensors[1]
    if model is not None and saved.shape == model.shape:
        model = model.clone()
        saved.data.copy_(model)
    return model, target


def _scaled_upstream(upstream: Any, shape: Any) -> Any:
    seed = upstream.expand(shape).clone()
    if 0 not in upstream.stride():
        upstream.data.mul_(0.5)
    return seed


def _input_after(kernel: KlDiv) -> Proof:
    model = tensor([-60.0, -2.0])
    kernel(model, tensor([0.5, 0.5]))
    return Proof(flat(model)[0], -60.0)


def _target_after(kernel: KlDiv) -> Proof:
    target = tensor([0.0, 0.5])
    kernel(tensor([-1.0, -2.0]), target)
    return Proof(flat(target)[0], 0.0)


def _log_target_after(kernel: KlDiv) -> Proof:
    target = tensor([-1.0, -2.0])
    kernel(tensor([-1.0, -2.0]), target, log_target=True)
    return Proof(flat(target)[0], -1.0)


def _target_after_backward(kernel: KlDiv) -> Proof:
    model, target = tensor(LOG_Q).requires_grad_(True), tensor(P)
    kernel(model, target, reduction="sum").backward()
    return Proof(flat(target)[0], P[0])


def _upstream_after(kernel: KlDiv) -> Proof:
    model, upstream = tensor(LOG_Q).requires_grad_(True), tensor([1.0, 1.0, 1.0])
    kernel(model, tensor(P), reduction="none").backward(upstream)
    return Proof(flat(upstream)[0], 1.0)


_state = partial(Mutant, FaultKind.STATE)

MUTANTS: dict[str, Mutant] = {
    "input-as-scratch": _state("Uses the input's memory as scratch.", _writes(_into_input), _input_after),
    "input-clamped-in-place": _state(
        "Clamps log q at −50 in place after the answer is computed, which changes the caller's tensor.",
        _writes(_clamped_input),
        _input_after,
    ),
    "target-clamped-in-place": _state("Clamps the target at 1e-12 in place.", _writes(_clamped_target), _target_after),
    "log-target-exponentiated-in-place": _state(
        "Writes e^log p over log p: correct once, and wrong in the next epoch.",
        _writes(_exponentiated),
        _log_target_after,
    ),
    "backward-writes-target": _state(
        "Uses the saved target as the buffer of the gradient.",
        lambda: Fused(last=_scaled_target),
        _target_after_backward,
    ),
    "backward-scales-upstream": _state(
        "Scales the upstream gradient in place.", lambda: Fused(carried=_scaled_upstream), _upstream_after
    ),
}
