"""Correct kernels in torch: other formulas, summation orders and operations."""

import importlib
from collections.abc import Callable
from typing import Any

from studies.mutants.kernel import CorrectKernel, KlDiv
from studies.mutants.torch_parts import divisor, named

INFINITY = float("inf")
Terms = Callable[[Any, Any, Any, bool], Any]
"""``terms(torch, log_q, target, log_target)``."""
Total = Callable[[Any, Any], Any]
"""``total(torch, terms)`` returns one number."""


def added(torch: Any, terms: Any) -> Any:
    """Sum as torch does, 16-bit dtypes in float32."""
    wide = torch.promote_types(terms.dtype, torch.float32)
    return terms.sum(dtype=wide)


def kernel(terms: Terms, total: Total = added) -> Callable[[], KlDiv]:
    """Return a factory of kernels from functions for terms and sum."""

    def make() -> KlDiv:
        torch = importlib.import_module("torch")

        def kl_div(
            input: Any,  # noqa: A002 -- torch's own name for it
            target: Any,
            size_average: bool | None = None,
            reduce: bool | None = None,
            reduction: str = "mean",
            log_target: bool = False,
        ) -> Any:
            how = named(size_average, reduce, reduction)
            each = terms(torch, input, target, log_target)
            dtype = torch.result_type(input, target)
            parts = divisor(how, each.shape)
            return (each if how == "none" else total(torch, each) / parts).to(dtype)

        return kl_div

    return make


def difference(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Return p·(log p − log q) without the logarithm of a zero, in the forward and backward pass."""
    p, log_p, log_q = apart(torch, log_q, target, log_target)
    return p * (log_p - log_q)


def apart(torch: Any, log_q: Any, target: Any, log_target: bool) -> tuple[Any, Any, Any]:
    """Return p, log p and log q, with log p = log q = 0 at classes of probability 0 (NaN stays)."""
    empty = (target == (-INFINITY if log_target else 0.0)) & ~torch.isnan(log_q)
    if log_target:
        log_p = torch.where(empty, 0.0, target)
        p = torch.where(empty, 0.0, torch.exp(log_p))
    else:
        log_p = torch.log(torch.where(empty, 1.0, target))
        p = target
    return p, log_p, torch.where(empty, 0.0, log_q)


def two_products(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Return p·log p − p·log q, each rounded on its own."""
    if log_target:
        return difference(torch, log_q, target, log_target)
    p, log_p, log_q = apart(torch, log_q, target, log_target)
    return p * log_p - p * log_q


def by_xlogy(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Return xlogy(p, p) − p·log q as torch has it, without 0·∞."""
    if log_target:
        return difference(torch, log_q, target, log_target)
    p, _, log_q = apart(torch, log_q, target, log_target)
    return torch.xlogy(p, torch.where(p == 0, 1.0, p)) - p * log_q


def by_entropy(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Return −p·log q − entr(p)."""
    if log_target:
        return difference(torch, log_q, target, log_target)
    p, _, log_q = apart(torch, log_q, target, log_target)
    return -p * log_q - torch.special.entr(torch.where(p == 0, 1.0, p))


def wider(dtype: str) -> Terms:
    """Return terms computed in a wider dtype, to be rounded once at the end."""

    def terms(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
        wide = torch.promote_types(torch.result_type(log_q, target), getattr(torch, dtype))
        return difference(torch, log_q.to(wide), target.to(wide), log_target)

    return terms


def where_it_counts(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Compute only where p is not 0, by a mask, and scatter the terms."""
    log_q, target = torch.broadcast_tensors(log_q, target)
    counts = (target != (-INFINITY if log_target else 0.0)) | torch.isnan(log_q)
    some, own = target[counts], log_q[counts]
    terms = some.exp() * (some - own) if log_target else some * (some.log() - own)
    whole = torch.zeros(counts.shape, dtype=terms.dtype, device=terms.device)
    return whole.masked_scatter(counts, terms)


def filled(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Fill masked classes before and after the computation."""
    log_q, target = torch.broadcast_tensors(log_q, target)
    empty = (target == (-INFINITY if log_target else 0.0)) & ~torch.isnan(log_q)
    log_q = log_q.masked_fill(empty, 0.0)
    target = target.masked_fill(empty, 0.0 if log_target else 1.0)
    terms = target.exp() * (target - log_q) if log_target else target * (target.log() - log_q)
    return terms.masked_fill(empty, 0.0)


def row_by_row(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Map over the first axis with vmap."""
    log_q, target = torch.broadcast_tensors(log_q, target)
    if not target.dim() or not target.shape[0]:
        return difference(torch, log_q, target, log_target)

    def row(log_q: Any, target: Any) -> Any:
        return difference(torch, log_q, target, log_target)

    return torch.func.vmap(row)(log_q, target)


def in_chunks(torch: Any, log_q: Any, target: Any, log_target: bool) -> Any:
    """Compute the last axis in chunks of 256 classes; the last may be shorter."""
    log_q, target = torch.broadcast_tensors(log_q, target)
    if not target.dim():
        return difference(torch, log_q, target, log_target)
    parts = zip(log_q.split(256, -1), target.split(256, -1), strict=True)
    return torch.cat([difference(torch, own, other, log_target) for own, other in parts], -1)


def wide(torch: Any, terms: Any) -> Any:
    """Return terms as one row in at least float32."""
    return terms.reshape(-1).to(torch.promote_types(terms.dtype, torch.float32))


def backwards(torch: Any, terms: Any) -> Any:
    """Add from the last term to the first."""
    return wide(torch, terms).flip(0).sum()


def by_halves(torch: Any, terms: Any) -> Any:
    """Add in pairs, pairs of pairs, and so on."""
    row = wide(torch, terms)
    while row.numel() > 1:
        half = row.numel() // 2
        row = torch.cat([row[:half] + row[half : 2 * half], row[2 * half :]])
    return row.sum()


def blocks(torch: Any, terms: Any) -> Any:
    """Add blocks of 128, the last padded with zeros, and then the block sums."""
    row = wide(torch, terms)
    padded = torch.nn.functional.pad(row, (0, -row.numel() % 128))
    return padded.reshape(-1, 128).sum(-1).sum()


def dot(torch: Any, terms: Any) -> Any:
    """Add by a scalar product with ones."""
    row = wide(torch, terms)
    return torch.dot(row, torch.ones_like(row))


def compensated(torch: Any, terms: Any) -> Any:
    """Add in 64 lanes, each with Kahan's correction, and then the lanes."""
    row = wide(torch, terms)
    lanes = torch.nn.functional.pad(row, (0, -row.numel() % 64)).reshape(-1, 64)
    total = carry = torch.zeros(64, dtype=row.dtype, device=row.device)
    for lane in lanes:
        step = lane - carry
        after = total + step
        # An infinite total has no rounding to correct.
        carry = torch.where(torch.isfinite(after), (after - total) - step, torch.zeros_like(after))
        total = after
    return total.sum()


KERNELS = (
    CorrectKernel("torch-difference", "p·(log p − log q), zeros excluded by where.", kernel(difference)),
    CorrectKernel("torch-two-products", "p·log p − p·log q, two products.", kernel(two_products)),
    CorrectKernel("torch-xlogy", "xlogy(p, p) − p·log q, as in torch, except for 0·∞.", kernel(by_xlogy)),
    CorrectKernel("torch-entropy", "−p·log q − entr(p), by torch.special.", kernel(by_entropy)),
    CorrectKernel("torch-single-inside", "Half types computed in float32, rounded once.", kernel(wider("float32"))),
    CorrectKernel("torch-double-inside", "Everything in float64, rounded once.", kernel(wider("float64"))),
    CorrectKernel("torch-masked-select", "Only classes with p > 0 are computed.", kernel(where_it_counts)),
    CorrectKernel("torch-masked-fill", "Masked classes are filled before and after.", kernel(filled)),
    CorrectKernel("torch-vmap", "One row, mapped over the batch by vmap.", kernel(row_by_row)),
    CorrectKernel("torch-chunked-classes", "Chunks of 256 classes, joined again.", kernel(in_chunks)),
    CorrectKernel("torch-backwards", "Summed from the last term to the first.", kernel(difference, backwards)),
    CorrectKernel("torch-pairwise", "Summed in pairs of pairs.", kernel(two_products, by_halves)),
    CorrectKernel("torch-blocks", "Summed in blocks of 128, zeros behind the last.", kernel(difference, blocks)),
    CorrectKernel("torch-dot", "Summed by a scalar product with ones.", kernel(difference, dot)),
    CorrectKernel("torch-kahan", "Summed in 64 lanes with Kahan's correction.", kernel(difference, compensated)),
)
