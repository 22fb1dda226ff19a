"""Kernels that write into tensors which are not theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from studies.mutants.kernel import Kind, KlDiv, Proof, Wrong
from studies.mutants.torch_parts import Answer, Asked, Fused, Kernel
from studies.mutants.torch_witness import flat, tensor

P, LOG_Q = [0.5, 0.25, 0.25], [-1.0, -2.0, -3.0]


def _writes(write: Callable[[Asked], None]) -> Callable[[], KlDiv]:
    """Make a kernel that answers first and then writes where it must not."""

    def around(asked: Asked, answer: Answer) -> Any:
        given = answer(asked).clone()
        write(asked)
        return given

    return lambda: Kernel(around=around)


def _into_input(asked: Asked) -> None:
    """Use the input's memory as scratch for −p·log q."""
    if asked.input.shape == asked.target.shape and not asked.log_target:
        asked.input.data.mul_(-asked.target.data)


def _exponentiated(asked: Asked) -> None:
    if asked.log_target:
        asked.target.data.exp_()


def _clamped_target(asked: Asked) -> None:
    if not asked.log_target:
        asked.target.data.clamp_(min=1e-12)


def _clamped_input(asked: Asked) -> None:
    asked.input.data.clamp_(min=-50.0)


def _scaled_target(context: Any, asked: Asked, model: Any, target: Any) -> tuple[Any, Any]:
    """Use the saved target as the buffer of the gradient."""
    saved = context.saved_tensors[1]
    if model is not None and saved.shape == model.shape:
        model = model.clone()
        saved.data.copy_(model)
    return model, target


def _scaled_upstream(upstream: Any, shape: Any) -> Any:
    """Scale the upstream gradient in place, where it has memory of its own."""
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


WRONG: tuple[Wrong, ...] = (
    Wrong(
        "input-as-scratch",
        Kind.STATE,
        "Uses the input's memory as scratch.",
        _writes(_into_input),
        _input_after,
    ),
    Wrong(
        "input-clamped-in-place",
        Kind.STATE,
        "Clamps log q at −50 in place after the answer is computed, which changes the caller's tensor.",
        _writes(_clamped_input),
        _input_after,
    ),
    Wrong(
        "target-clamped-in-place",
        Kind.STATE,
        "Clamps the target at 1e-12 in place.",
        _writes(_clamped_target),
        _target_after,
    ),
    Wrong(
        "log-target-exponentiated-in-place",
        Kind.STATE,
        "Writes e^log p over log p: correct once, and wrong in the next epoch.",
        _writes(_exponentiated),
        _log_target_after,
    ),
    Wrong(
        "backward-writes-target",
        Kind.STATE,
        "Uses the saved target as the buffer of the gradient.",
        lambda: Fused(last=_scaled_target),
        _target_after_backward,
    ),
    Wrong(
        "backward-scales-upstream",
        Kind.STATE,
        "Scales the upstream gradient in place.",
        lambda: Fused(carried=_scaled_upstream),
        _upstream_after,
    ),
)
