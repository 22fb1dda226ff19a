"""Correct kernels in torch with their own gradient, compiled, or through NumPy."""

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from kl_reference.convention import Side
from studies.mutants.correct.torch import INFINITY, apart, difference, kernel
from studies.mutants.kernel import CorrectKernel, KlDiv


def slopes(torch: Any, log_q: Any, target: Any, log_target: bool) -> tuple[Any, Any]:
    """Return the derivatives of each term by log q, −p, and by the target; the latter is 0 where p = 0."""
    p, log_p, log_q = apart(torch, log_q, target, log_target)
    by_target = p * (log_p - log_q + 1) if log_target else torch.where(p == 0, 0.0, log_p - log_q + 1)
    return -p + torch.zeros_like(log_q), by_target


def fitted(slope: Any, upstream: Any, like: Any) -> Any:
    """Return slope · upstream, summed where the argument was broadcast."""
    return (slope * upstream).sum_to_size(like.shape).to(like.dtype)


def function(forward: Callable[[Any, Any, Any, bool], Any], *, by_target: bool = True) -> Any:
    """Return terms as an autograd.Function with the analytic gradient, by the target where wanted."""

    def terms(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
        class Terms(torch.autograd.Function):  # type: ignore[misc]  # torch is not known where types are checked
            @staticmethod
            def forward(context: Any, log_q: Any, target: Any) -> Any:
                context.save_for_backward(log_q, target)
                return forward(torch, log_q, target, log_target)

            @staticmethod
            def backward(context: Any, upstream: Any) -> tuple[Any, Any]:
                log_q, target = context.saved_tensors
                by_model, own = slopes(torch, log_q, target, log_target)
                wanted = by_target and context.needs_input_grad[1]
                return fitted(by_model, upstream, log_q), fitted(own, upstream, target) if wanted else None

        return Terms.apply(log_q, target)

    return terms


def written_once(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Compute in place in its own buffer."""
    buffer = torch.empty(torch.broadcast_shapes(log_q.shape, target.shape), dtype=torch.result_type(log_q, target))
    p = target.exp() if log_target else target
    torch.sub(target if log_target else target.log(), log_q, out=buffer)
    buffer.mul_(p)
    nothing = (p if not log_target else target) == (-INFINITY if log_target else 0.0)
    return buffer.masked_fill_(nothing & ~torch.isnan(log_q), 0.0)


def through_numpy(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Compute in NumPy and convert back."""
    dtype = torch.result_type(log_q, target)
    single = torch.float32 if dtype is torch.bfloat16 else dtype
    q, t = (each.detach().to(single).numpy() for each in (log_q, target))
    with np.errstate(all="ignore"):
        log_p = t if log_target else np.log(t)
        p = np.exp(t) if log_target else t
        terms = p * (log_p - q)
    empty = (log_p == -np.inf) & ~np.isnan(q) & (p == 0)
    return torch.from_numpy(np.asarray(np.where(empty, np.zeros_like(terms), terms))).to(dtype)


def compiled(backend: str) -> Callable[[], KlDiv]:
    """Return a factory of kernels whose terms are compiled by torch.compile."""

    def make() -> KlDiv:
        torch = importlib.import_module("torch")
        torch._dynamo.config.cache_size_limit = 1000  # a recompilation for every dtype and rank
        traced = torch.compile(difference, backend=backend, dynamic=True)
        return kernel(lambda _, log_q, target, log_target: traced(torch, log_q, target, log_target))()

    return make


def einsummed() -> KlDiv:
    """Return a kernel that sums by einsum, p against its logarithm's difference."""
    torch = importlib.import_module("torch")

    def total(_: Any, terms: Any) -> Any:
        wide = terms.to(torch.promote_types(terms.dtype, torch.float32)).reshape(-1)
        return torch.einsum("i->", wide)

    return kernel(difference, total)()


KERNELS = (
    CorrectKernel("torch-function", "An autograd.Function with both gradients.", kernel(function(difference))),
    CorrectKernel(
        "torch-function-model-only",
        "An autograd.Function that marks the target as not differentiable.",
        kernel(function(difference, by_target=False)),
        gradients=frozenset({Side.MODEL}),
    ),
    CorrectKernel(
        "torch-in-place", "A separate buffer, written in place; with its own gradients.", kernel(function(written_once))
    ),
    CorrectKernel("torch-numpy", "Through NumPy and back, with its own gradients.", kernel(function(through_numpy))),
    CorrectKernel("torch-compiled", "Terms through torch.compile and AOTAutograd.", compiled("aot_eager")),
    CorrectKernel("torch-einsum", "Summed by einsum.", einsummed),
)
