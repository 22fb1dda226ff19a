"""Mutants with correct values and a wrong backward pass."""

import math
from collections.abc import Callable
from functools import partial
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
    if upstream.shape != shape or 0 in upstream.stride():
        return upstream.expand(shape)
    strides = tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))
    return upstream.as_strided(shape, strides)


def _fixed(reduction: str, parts: Callable[[Any], float]) -> Callable[[], KlDiv]:
    """Make a kernel whose gradient is divided by ``parts(shape)`` in one of its reductions."""
    return lambda: Fused(factor=lambda call, shape: parts(shape) if call == reduction else divisor(call, shape))


def _alone(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
    if target is None and call.reduction == "batchmean":
        shape = torch().broadcast_shapes(call.input.shape, call.target.shape)
        return model * divisor("batchmean", shape), None
    return model, target


def _exchanged(context: Any, call: Call, model: Any, target: Any) -> tuple[Any, Any]:
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
    return by_target(p, log_p, log_q).where(~(p == 0).any(-1, keepdim=True), math.nan)


def _first_copy(gradient: Any, like: Any) -> Any:
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


_gradient = partial(Mutant, FaultKind.GRADIENT)

MUTANTS: dict[str, Mutant] = {
    "model-gradient-doubled": _gradient(
        "Accumulates the gradient by log q twice.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -2 * p),
        lambda kernel: slope(kernel, P, LOG_Q),
    ),
    "model-gradient-by-logits": _gradient(
        "Returns softmax − p, the gradient by logits, as that by log q: log_softmax before the call hides the mistake.",
        lambda: Fused(by_model=_by_logits),
        lambda kernel: slope(kernel, P, LOG_Q),
    ),
    "model-gradient-in-bfloat16": _gradient(
        "Saves p for the backward pass in bfloat16.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -_rounded(p)),
        lambda kernel: slope(kernel, [0.5009], [-1.0], dtype="float32"),
    ),
    "model-gradient-of-small-targets": _gradient(
        "Skips the gradient by log q where p is below 1e-6.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -p.where(p >= 1e-6, 0.0)),
        lambda kernel: slope(kernel, [5e-7], [-10.0]),
    ),
    "model-gradient-past-1024-classes": _gradient(
        "Writes the gradient by log q of the first 1,024 classes.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -_past_1024(p)),
        lambda kernel: slope(kernel, [0.5] * 1025, [-1.0] * 1025, at=1024),
    ),
    "model-gradient-below-minus-50": _gradient(
        "Has no gradient where log q is below −50, as if it had been clamped there.",
        lambda: Fused(by_model=lambda p, log_p, log_q: -p.where(log_q > -50, 0.0)),
        lambda kernel: slope(kernel, [0.5], [-60.0]),
    ),
    "model-gradient-nan-where-masked": _gradient(
        "Adds 0·log q to the gradient to broadcast it: NaN for a masked class.",
        lambda: Fused(by_model=lambda p, log_p, log_q: 0 * log_q - p),
        lambda kernel: slope(kernel, [0.0, 0.5], [-math.inf, -1.0]),
    ),
    "upstream-forgotten": _gradient(
        "Writes the gradient in the forward pass and ignores the upstream gradient.",
        lambda: Fused(carried=lambda upstream, shape: torch().ones(shape, dtype=upstream.dtype)),
        lambda kernel: slope(kernel, P, LOG_Q, upstream=tensor(3.0)),
    ),
    "upstream-uniform": _gradient(
        "Reads one number of the upstream gradient and uses it everywhere.",
        lambda: Fused(carried=lambda upstream, shape: upstream.flatten()[0].expand(shape)),
        lambda kernel: slope(kernel, P, LOG_Q, at=4, reduction="none", upstream=tensor(UPSTREAM)),
    ),
    "upstream-summed": _gradient(
        "Sums the upstream gradient before it is used.",
        lambda: Fused(carried=lambda upstream, shape: upstream.sum().expand(shape)),
        lambda kernel: slope(kernel, P, LOG_Q, at=4, reduction="none", upstream=tensor(UPSTREAM)),
    ),
    "upstream-taken-for-contiguous": _gradient(
        "Reads an upstream gradient row after row, though it came transposed.",
        lambda: Fused(carried=_contiguous),
        lambda kernel: slope(kernel, P, LOG_Q, at=4, reduction="none", upstream=tensor(UPSTREAM).t().contiguous().t()),
    ),
    "upstream-in-float16": _gradient(
        "Passes the upstream gradient as float16, where a loss scale of 65,536 is ∞.",
        lambda: Fused(carried=lambda upstream, shape: upstream.half().to(upstream.dtype).expand(shape)),
        lambda kernel: slope(kernel, P, LOG_Q, upstream=tensor(65536.0)),
    ),
    "gradient-clipped": _gradient(
        "Clips both gradients to [−1, 1].",
        lambda: Fused(gathered=lambda gradient, like: gathered(gradient, like).clamp(-1.0, 1.0)),
        lambda kernel: slope(kernel, P, LOG_Q, upstream=tensor(4.0)),
    ),
    "gradient-flushed": _gradient(
        "Sets gradients below 1e-8 to 0.",
        lambda: Fused(gathered=lambda given, like: gathered(given.where(~(given.abs() < 1e-8), 0.0), like)),
        lambda kernel: slope(kernel, [5e-9], [-20.0]),
    ),
    "gradient-of-batchmean-undivided": _gradient(
        'Does not divide the gradient of "batchmean".',
        _fixed("batchmean", lambda shape: 1),
        lambda kernel: slope(kernel, P, LOG_Q, reduction="batchmean"),
    ),
    "gradient-of-mean-by-batch": _gradient(
        'Divides the gradient of "mean" by the batch.',
        _fixed("mean", lambda shape: divisor("batchmean", shape)),
        lambda kernel: slope(kernel, P, LOG_Q, reduction="mean"),
    ),
    "gradient-of-broadcast-row": _gradient(
        "Computes the gradient of a broadcast row from its first copy, not from all.",
        lambda: Fused(gathered=_first_copy),
        lambda kernel: slope(kernel, P, [[-1.0, -2.0, -3.0]]),
    ),
    "gradient-of-model-alone": _gradient(
        'Divides "batchmean" in the branch for the target: the model\'s gradient is wrong when it is requested alone.',
        lambda: Fused(last=_alone),
        lambda kernel: slope(kernel, P, LOG_Q, reduction="batchmean"),
    ),
    "gradients-exchanged": _gradient(
        "Returns the target's gradient first, which shows when both are requested.",
        lambda: Fused(last=_exchanged),
        lambda kernel: slope(kernel, P, LOG_Q, other=True),
    ),
    "target-gradient-cut": _gradient(
        "Detaches the target.", lambda: Kernel(before=lambda model, target: (model, target.detach())), _differentiable
    ),
    "target-gradient-zero": _gradient(
        "Returns zeros for the target's gradient.",
        lambda: Fused(by_target=lambda p, log_p, log_q: 0 * p, by_log_target=lambda p, log_p, log_q: 0 * p),
        lambda kernel: slope(kernel, P, LOG_Q, by="target"),
    ),
    "target-gradient-without-1": _gradient(
        "Omits the 1 in the derivative of p·log p.",
        lambda: Fused(by_target=lambda p, log_p, log_q: (log_p - log_q).where(p != 0, 0.0)),
        lambda kernel: slope(kernel, P, LOG_Q, by="target"),
    ),
    "target-gradient-with-epsilon": _gradient(
        "Adds 1e-8 inside the logarithm of the gradient only.",
        lambda: Fused(by_target=lambda p, log_p, log_q: (p + 1e-8).log() - log_q + 1),
        lambda kernel: slope(kernel, [1e-9], [-20.0], by="target"),
    ),
    "target-gradient-row-nan": _gradient(
        "Returns NaN for every gradient in a row with an empty class.",
        lambda: Fused(by_target=_spoiled),
        lambda kernel: slope(kernel, [[0.0, 0.5]], [[-1.0, -2.0]], at=1, by="target"),
    ),
    "second-derivative-cut": _gradient(
        "Computes the backward pass outside the graph: there is no second derivative.",
        lambda: Fused(by_model=_cut(by_model), by_target=_cut(by_target), by_log_target=_cut(by_log_target)),
        _second,
    ),
}
