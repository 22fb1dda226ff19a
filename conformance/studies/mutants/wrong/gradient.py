"""Mutants with correct values and a wrong backward pass."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof
from studies.mutants.torch_parts import (
    Call,
    Fused,
    Kernel,
    by_log_target,
    by_model,
    by_target,
    divisor,
    gathered,
    torch,
)
from studies.mutants.torch_witness import answers, slope, tensor

P = [[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]]
LOG_Q = [[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]]
UPSTREAM = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def _contiguous(upstream: Any, shape: Any) -> Any:
    """Read an upstream gradient that is not expanded as if it were contiguous."""
    if upstream.shape != shape or 0 in upstream.stride():
        return upstream.expand(shape)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return upstream.as_strided(shape, strides)


def _fixed(reduction: str, parts: Callable[[Any], float]) -> Callable[[], KlDiv]:
    """Make a kernel whose gradient is divided by ``parts(shape)`` in one of its reductions."""
    return lambda: Fused(
        factor=lambda call, shape: parts(shape) if call == reduction else divisor(call, shape)
    )


def _alone(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
    """Divide by the batch in the branch for the target, and nowhere else."""
    if target is None and call.reduction == "batchmean":
        shape = torch().broadcast_shapes(call.input.shape, call.target.shape)
        return model * divisor("batchmean", shape), None
    return model, target


def _exchanged(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
    """Return the gradients in the order target, model."""
    if model is None or target is None or model.shape != target.shape:
        return model, target
    return target, model


def _by_logits(p: Any, log_p: Any, log_q: Any) -> Any:
    return log_q.exp() * (p.sum(-1, keepdim=True) if p.ndim else p) - p


def _rounded(p: Any) -> Any:
    return p.bfloat16().to(p.dtype)


def _past_1024(p: Any) -> Any:
    inside = torch().arange(p.shape[-1] if p.ndim else 1) < 1024
    return p.where(inside if p.ndim else inside[0], 0.0)


def _spoiled(p: Any, log_p: Any, log_q: Any) -> Any:
    """Return NaN for a row with an empty class."""
    return by_target(p, log_p, log_q).where(~(p == 0).any(-1, keepdim=True), math.nan)


def _first_copy(gradient: Any, like: Any) -> Any:
    """Return the gradient of the first copy of a row that was broadcast over axis 0."""
    rows = gradient.shape[0] if gradient.ndim else 1
    copied = rows > 1 and like.numel() * rows == gradient.numel()
    return gathered(gradient[:1] if copied else gradient, like)


def _differentiable(kernel: KlDiv) -> Proof:
    """Prove by the missing dependence of the answer on the target."""
    p = tensor([0.5]).requires_grad_(True)
    return Proof(float(kernel(tensor([-1.0]), p, reduction="sum").requires_grad), 1.0)


def _second(kernel: KlDiv) -> Proof:
    """Prove by the second derivative by p at 1/2, which is 1/p."""
    p = tensor([0.5], "float64").requires_grad_(True)

    def twice() -> Any:
        answer = kernel(tensor([-1.0], "float64"), p, reduction="sum")
        (first,) = torch().autograd.grad(answer, p, create_graph=True)
        return torch().autograd.grad(first.sum(), p)[0]

    return answers(twice, 2.0)


def _cut(function: Callable[[Any, Any, Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Compute a first derivative that cannot be differentiated."""
    return lambda p, log_p, log_q: function(p.detach(), log_p.detach(), log_q.detach())


MUTANTS: tuple[Mutant, ...] = (
    Mutant(
        "model-gradient-doubled",
        FaultKind.GRADIENT,
        "Accumulates the gradient by log q twice.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -2 * p),
        lambda kernel: slope(kernel, P, LOG_Q),
    ),
    Mutant(
        "model-gradient-by-logits",
        FaultKind.GRADIENT,
        "Returns softmax − p, the gradient by logits, as that by log q: log_softmax before the call hides the mistake.",
        lambda: Fused(by_model=_by_logits),
        lambda kernel: slope(kernel, P, LOG_Q),
    ),
    Mutant(
        "model-gradient-in-bfloat16",
        FaultKind.GRADIENT,
        "Saves p for the backward pass in bfloat16.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -_rounded(p)),
        lambda kernel: slope(kernel, [0.5009], [-1.0], dtype="float32"),
    ),
    Mutant(
        "model-gradient-of-small-targets",
        FaultKind.GRADIENT,
        "Skips the gradient by log q where p is below 1e-6.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -p.where(p >= 1e-6, 0.0)),
        lambda kernel: slope(kernel, [5e-7], [-10.0]),
    ),
    Mutant(
        "model-gradient-past-1024-classes",
        FaultKind.GRADIENT,
        "Writes the gradient by log q of the first 1,024 classes.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -_past_1024(p)),
        lambda kernel: slope(kernel, [0.5] * 1025, [-1.0] * 1025, at=1024),
    ),
    Mutant(
        "model-gradient-below-minus-50",
        FaultKind.GRADIENT,
        "Has no gradient where log q is below −50, as if it had been clamped there.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -p.where(log_q > -50, 0.0)),
        lambda kernel: slope(kernel, [0.5], [-60.0]),
    ),
    Mutant(
        "model-gradient-nan-where-masked",
        FaultKind.GRADIENT,
        "Adds 0·log q to the gradient to broadcast it: NaN for a masked class.",
        lambda: Fused(by_model=lambda p, log_p, log_q: 0 * log_q - p),
        lambda kernel: slope(kernel, [0.0, 0.5], [-math.inf, -1.0]),
    ),
    Mutant(
        "upstream-forgotten",
        FaultKind.GRADIENT,
        "Writes the gradient in the forward pass and ignores the upstream gradient.",
        lambda: Fused(carried=lambda upstream, shape: torch().ones(shape, dtype=upstream.dtype)),
        lambda kernel: slope(kernel, P, LOG_Q, upstream=tensor(3.0)),
    ),
    Mutant(
        "upstream-uniform",
        FaultKind.GRADIENT,
        "Reads one number of the upstream gradient and uses it everywhere.",
        lambda: Fused(carried=lambda upstream, shape: upstream.flatten()[0].expand(shape)),
        lambda kernel: slope(kernel, P, LOG_Q, at=4, reduction="none", upstream=tensor(UPSTREAM)),
    ),
    Mutant(
        "upstream-summed",
        FaultKind.GRADIENT,
        "Sums the upstream gradient before it is used.",
        lambda: Fused(carried=lambda upstream, shape: upstream.sum().expand(shape)),
        lambda kernel: slope(kernel, P, LOG_Q, at=4, reduction="none", upstream=tensor(UPSTREAM)),
    ),
    Mutant(
        "upstream-taken-for-contiguous",
        FaultKind.GRADIENT,
        "Reads an upstream gradient row after row, though it came transposed.",
        lambda: Fused(carried=_contiguous),
        lambda kernel: slope(
            kernel, P, LOG_Q, at=4, reduction="none", upstream=tensor(UPSTREAM).t().contiguous().t()
        ),
    ),
    Mutant(
        "upstream-in-float16",
        FaultKind.GRADIENT,
        "Passes the upstream gradient as float16, where a loss scale of 65,536 is ∞.",
        lambda: Fused(carried=lambda upstream, shape: upstream.half().to(upstream.dtype).expand(shape)),
        lambda kernel: slope(kernel, P, LOG_Q, upstream=tensor(65536.0)),
    ),
    Mutant(
        "gradient-clipped",
        FaultKind.GRADIENT,
        "Clips both gradients to [−1, 1].",
        lambda: Fused(gathered=lambda gradient, like: gathered(gradient, like).clamp(-1.0, 1.0)),
        lambda kernel: slope(kernel, P, LOG_Q, upstream=tensor(4.0)),
    ),
    Mutant(
        "gradient-flushed",
        FaultKind.GRADIENT,
        "Sets gradients below 1e-8 to 0.",
        lambda: Fused(gathered=lambda given, like: gathered(given.where(~(given.abs() < 1e-8), 0.0), like)),
        lambda kernel: slope(kernel, [5e-9], [-20.0]),
    ),
    Mutant(
        "gradient-of-batchmean-undivided",
        FaultKind.GRADIENT,
        'Does not divide the gradient of "batchmean".',
        _fixed("batchmean", lambda shape: 1),
        lambda kernel: slope(kernel, P, LOG_Q, reduction="batchmean"),
    ),
    Mutant(
        "gradient-of-mean-by-batch",
        FaultKind.GRADIENT,
        'Divides the gradient of "mean" by the batch.',
        _fixed("mean", lambda shape: divisor("batchmean", shape)),
        lambda kernel: slope(kernel, P, LOG_Q, reduction="mean"),
    ),
    Mutant(
        "gradient-of-broadcast-row",
        FaultKind.GRADIENT,
        "Computes the gradient of a broadcast row from its first copy, not from all.",
        lambda: Fused(gathered=_first_copy),
        lambda kernel: slope(kernel, P, [[-1.0, -2.0, -3.0]]),
    ),
    Mutant(
        "gradient-of-model-alone",
        FaultKind.GRADIENT,
        'Divides "batchmean" in the branch for the target: the model\'s gradient is wrong when it is requested alone.',
        lambda: Fused(last=_alone),
        lambda kernel: slope(kernel, P, LOG_Q, reduction="batchmean"),
    ),
    Mutant(
        "gradients-exchanged",
        FaultKind.GRADIENT,
        "Returns the target's gradient first, which shows when both are requested.",
        lambda: Fused(last=_exchanged),
        lambda kernel: slope(kernel, P, LOG_Q, other=True),
    ),
    Mutant(
        "target-gradient-cut",
        FaultKind.GRADIENT,
        "Detaches the target.",
        lambda: Kernel(before=lambda model, target: (model, target.detach())),
        _differentiable,
    ),
    Mutant(
        "target-gradient-zero",
        FaultKind.GRADIENT,
        "Returns zeros for the target's gradient.",
        lambda: Fused(by_target=lambda p, log_p, log_q: 0 * p, by_log_target=lambda p, log_p, log_q: 0 * p),
        lambda kernel: slope(kernel, P, LOG_Q, by="target"),
    ),
    Mutant(
        "target-gradient-without-1",
        FaultKind.GRADIENT,
        "Omits the 1 in the derivative of p·log p.",
        lambda: Fused(by_target=lambda p, log_p, log_q: (log_p - log_q).where(p != 0, 0.0)),
        lambda kernel: slope(kernel, P, LOG_Q, by="target"),
    ),
    Mutant(
        "target-gradient-with-epsilon",
        FaultKind.GRADIENT,
        "Adds 1e-8 inside the logarithm of the gradient only.",
        lambda: Fused(by_target=lambda p, log_p, log_q: (p + 1e-8).log() - log_q + 1),
        lambda kernel: slope(kernel, [1e-9], [-20.0], by="target"),
    ),
    Mutant(
        "target-gradient-row-nan",
        FaultKind.GRADIENT,
        "Returns NaN for every gradient in a row with an empty class.",
        lambda: Fused(by_target=_spoiled),
        lambda kernel: slope(kernel, [[0.0, 0.5]], [[-1.0, -2.0]], at=1, by="target"),
    ),
    Mutant(
        "second-derivative-cut",
        FaultKind.GRADIENT,
        "Computes the backward pass outside the graph: there is no second derivative.",
        lambda: Fused(by_model=_cut(by_model), by_target=_cut(by_target), by_log_target=_cut(by_log_target)),
        _second,
    ),
)
