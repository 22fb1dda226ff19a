"""Pallas kernels of the divergence of rows with a custom gradient: a correct one, and one without the partial block."""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

BLOCK = 128
INTERPRET = jax.default_backend() == "cpu"


def forward_kernel(log_q_ref: Any, p_ref: Any, out_ref: Any, *, classes: int) -> None:
    """Add the terms of one block of classes to every row."""
    block = pl.program_id(0)
    p, log_q = p_ref[...].astype(out_ref.dtype), log_q_ref[...].astype(out_ref.dtype)
    beyond = block * BLOCK + jax.lax.broadcasted_iota(jnp.int32, p.shape, 1) >= classes
    # 0·log 0 = 0 for every q, unless q is NaN; values after the last class are arbitrary.
    empty = beyond | (p == 0) & ~jnp.isnan(log_q)
    term = p * (jnp.log(jnp.where(empty, 1, p)) - jnp.where(empty, 0, log_q))
    added = jnp.where(empty, 0, term).sum(1, keepdims=True)
    out_ref[...] = added + jnp.where(block == 0, jnp.zeros_like(added), out_ref[...])


def backward_kernel(log_q_ref: Any, p_ref: Any, upstream_ref: Any, by_log_q_ref: Any, by_p_ref: Any) -> None:
    """Write both gradients of one block of classes."""
    upstream = upstream_ref[...]
    p, log_q = p_ref[...].astype(upstream.dtype), log_q_ref[...].astype(upstream.dtype)
    slope = jnp.where(p == 0, 0, jnp.log(jnp.where(p == 0, 1, p)) - log_q + 1)
    by_log_q_ref[...] = (-p * upstream).astype(by_log_q_ref.dtype)
    by_p_ref[...] = (slope * upstream).astype(by_p_ref.dtype)


def blocks(rows: int) -> pl.BlockSpec:
    """Return the specification of blocks of classes of all rows."""
    return pl.BlockSpec((rows, BLOCK), lambda block: (0, block))


def whole(rows: int) -> pl.BlockSpec:
    """Return the specification of one number per row."""
    return pl.BlockSpec((rows, 1), lambda block: (0, 0))


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def rows_kl(log_q: Any, p: Any, grid: int) -> Any:
    """Return KL(P‖Q) of every row of two matrices, one number per row, in float32 or wider."""
    rows, classes = p.shape
    dtype = jnp.promote_types(jnp.result_type(log_q, p), jnp.float32)
    return pl.pallas_call(
        partial(forward_kernel, classes=classes),
        jax.ShapeDtypeStruct((rows, 1), dtype),
        grid=grid,
        in_specs=[blocks(rows), blocks(rows)],
        out_specs=whole(rows),
        interpret=INTERPRET,
    )(log_q, p)


def rows_kl_forward(log_q: Any, p: Any, grid: int) -> tuple[Any, tuple[Any, Any]]:
    """Return the answer, and the operands for backward."""
    return rows_kl(log_q, p, grid), (log_q, p)


def rows_kl_backward(grid: int, operands: tuple[Any, Any], upstream: Any) -> tuple[Any, Any]:
    """Return the gradients by both operands."""
    log_q, p = operands
    rows, _ = p.shape
    by_log_q, by_p = pl.pallas_call(
        backward_kernel,
        [jax.ShapeDtypeStruct(each.shape, each.dtype) for each in operands],
        grid=grid,
        in_specs=[blocks(rows), blocks(rows), whole(rows)],
        out_specs=[blocks(rows), blocks(rows)],
        interpret=INTERPRET,
    )(log_q, p, upstream)
    return by_log_q, by_p


rows_kl.defvjp(rows_kl_forward, rows_kl_backward)


@partial(jax.jit, static_argnums=2)
def divergence(log_q: Any, p: Any, grid: int) -> Any:
    """Return KL(P‖Q) over the last axis of two arrays of any rank that broadcast."""
    log_q, p = jnp.broadcast_arrays(log_q, p)
    if not p.size:
        return jnp.zeros(p.shape[:-1], p.dtype)
    matrices = (each.reshape(-1, p.shape[-1]) for each in (log_q, p))
    return rows_kl(*matrices, grid).reshape(p.shape[:-1]).astype(jnp.result_type(log_q, p))


def kl_divergence(log_q: Any, p: Any) -> Any:
    """Return what optax.losses.kl_divergence returns."""
    return divergence(log_q, p, pl.cdiv(jnp.shape(p)[-1], BLOCK))


def kl_divergence_whole_blocks(log_q: Any, p: Any) -> Any:
    """Return the same, correct only for up to 128 classes and for multiples of 128."""
    # THE FAULT: the grid is rounded down, so the classes of the last, partial block are not computed.
    return divergence(log_q, p, max(1, jnp.shape(p)[-1] // BLOCK))
