"""Triton kernels of the divergence: a correct one, and one whose backward is correct for unweighted losses only."""

from __future__ import annotations

from threading import Lock
from typing import Any

import torch
import triton
import triton.language as tl
from torch.autograd.function import once_differentiable

BLOCK = 1024
# Triton's interpreter patches triton.language while a kernel runs: there, one thread at a time.
TURN = Lock()


@triton.jit
def forward_kernel(log_q_ptr, target_ptr, out_ptr, size, WIDE: tl.constexpr, LOG: tl.constexpr, BLOCK: tl.constexpr):
    """Write the terms of one block."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    log_q = tl.load(log_q_ptr + at, mask=at < size, other=0.0).to(WIDE)
    target = tl.load(target_ptr + at, mask=at < size, other=0.0).to(WIDE)
    if LOG:
        empty, p, log_p = target == -float("inf"), tl.exp(target), target
    else:
        empty, p, log_p = target == 0.0, target, tl.log(target)
    # 0·log 0 = 0 for every q, unless q is NaN.
    term = tl.where(empty & (log_q == log_q), 0.0, p * (log_p - log_q))
    tl.store(out_ptr + at, term, mask=at < size)


@triton.jit
def backward_kernel(
    log_q_ptr,
    target_ptr,
    upstream_ptr,
    by_log_q_ptr,
    by_target_ptr,
    size,
    WIDE: tl.constexpr,
    LOG: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the gradients of one block by both operands."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    log_q = tl.load(log_q_ptr + at, mask=at < size, other=0.0).to(WIDE)
    target = tl.load(target_ptr + at, mask=at < size, other=0.0).to(WIDE)
    upstream = tl.load(upstream_ptr + at, mask=at < size, other=0.0).to(WIDE)
    if LOG:
        empty, p = target == -float("inf"), tl.exp(target)
        slope = p * (target - log_q + 1.0)
    else:
        empty, p = target == 0.0, target
        slope = tl.log(target) - log_q + 1.0
    tl.store(by_log_q_ptr + at, -p * upstream, mask=at < size)
    tl.store(by_target_ptr + at, tl.where(empty, 0.0, slope * upstream), mask=at < size)


class Terms(torch.autograd.Function):
    """p·(log p − log q) for every element of two contiguous tensors of one shape, in float32 or wider."""

    @staticmethod
    def forward(ctx: Any, log_q: torch.Tensor, target: torch.Tensor, log_target: bool) -> torch.Tensor:
        """Return the terms, and keep the operands for backward."""
        ctx.save_for_backward(log_q, target)
        ctx.log_target = log_target
        out = torch.empty_like(log_q, dtype=wide(log_q, target))
        launch(forward_kernel, log_q, target, out, size=out.numel(), dtype=out.dtype, log_target=log_target)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return the gradients by both operands; a second derivative raises instead of returning zeros."""
        log_q, target = ctx.saved_tensors
        given = (log_q, target, upstream.contiguous(), torch.empty_like(log_q), torch.empty_like(target))
        launch(backward_kernel, *given, size=log_q.numel(), dtype=upstream.dtype, log_target=ctx.log_target)
        return given[3], given[4], None


class UnweightedTerms(Terms):
    """The same terms, with a fault in backward."""

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        """Return gradients that are correct after `.sum()` and `.mean()`, where all upstream gradients are equal."""
        # THE FAULT: the first upstream gradient is used for all elements, which is wrong for a weighted loss.
        return Terms.backward(ctx, upstream.flatten()[:1].expand(upstream.numel()).reshape(upstream.shape))


def launch(kernel: Any, *tensors: torch.Tensor, size: int, dtype: torch.dtype, log_target: bool) -> None:
    """Run a kernel over all elements."""
    arithmetic = tl.float64 if dtype == torch.float64 else tl.float32
    if size:
        with TURN:
            kernel[(triton.cdiv(size, BLOCK),)](*tensors, size, arithmetic, log_target, BLOCK)


def wide(log_q: torch.Tensor, target: torch.Tensor) -> torch.dtype:
    """Return the computation dtype."""
    return torch.promote_types(torch.result_type(log_q, target), torch.float32)


def reduced(terms: Any, log_q: torch.Tensor, target: torch.Tensor, reduction: str, log_target: bool) -> torch.Tensor:
    """Broadcast, compute the terms by an autograd function, and reduce them as torch does."""
    known = ("none", "sum", "mean", "batchmean")
    if reduction not in known:
        raise ValueError(f"{reduction!r} is no reduction; known: {', '.join(known)}")
    dtype = torch.result_type(log_q, target)
    each = torch.broadcast_tensors(log_q, target)
    found: torch.Tensor = terms.apply(each[0].contiguous(), each[1].contiguous(), log_target)
    if reduction == "none":
        return found.to(dtype)
    divisor = {"sum": 1, "mean": found.numel(), "batchmean": found.shape[0] if found.dim() else 1}
    # 16-bit dtypes are summed in float32, and rounded after the division.
    return (found.sum() / divisor[reduction]).to(dtype)


def kl_div(
    log_q: torch.Tensor, target: torch.Tensor, reduction: str = "mean", log_target: bool = False
) -> torch.Tensor:
    """Return what torch.nn.functional.kl_div returns."""
    return reduced(Terms, log_q, target, reduction, log_target)


def kl_div_unweighted(
    log_q: torch.Tensor, target: torch.Tensor, reduction: str = "mean", log_target: bool = False
) -> torch.Tensor:
    """Return the same values with a faulty backward."""
    return reduced(UnweightedTerms, log_q, target, reduction, log_target)
