"""Correct kernels in JAX: eager, jitted and mapped."""

import importlib
from collections.abc import Callable
from typing import Any

from studies.mutants.kernel import CorrectKernel, KlDiv

OPTAX = "optax.losses.kl_divergence"
OPTAX_LOG = "optax.losses.kl_divergence_with_log_targets"
REL_ENTR = "jax.scipy.special.rel_entr"
KL_DIV = "jax.scipy.special.kl_div"


Operands = Callable[[Any, Any], Any]
"""A function of two arrays, in the argument order of the implementation that it follows."""


def with_jax(build: Callable[[Any], Operands]) -> Callable[[], KlDiv]:
    """Return a factory of kernels from a function of JAX."""
    return lambda: build(importlib.import_module("jax"))


def row_terms(jax: Any) -> Operands:
    """Return p·(log p − log q) without the logarithm of a zero."""
    jnp = jax.numpy

    def terms(log_q: Any, p: Any) -> Any:
        empty = (p == 0) & ~jnp.isnan(log_q)
        log_p = jnp.log(jnp.where(empty, 1, p))
        return p * (log_p - jnp.where(empty, 0, log_q))

    return terms


def rows(jax: Any) -> Operands:
    """Return a kernel that sums terms over classes."""
    terms = row_terms(jax)
    return lambda log_q, p: terms(log_q, p).sum(-1)


def rows_jitted(jax: Any) -> Operands:
    """Return the same, compiled as a whole."""
    compiled: Operands = jax.jit(rows(jax))
    return compiled


def rows_mapped(jax: Any) -> Operands:
    """Return a kernel of one row, mapped over the others."""
    one: Operands = rows(jax)

    def kernel(log_q: Any, p: Any) -> Any:
        log_q, p = jax.numpy.broadcast_arrays(log_q, p)
        mapped = one
        for _ in range(p.ndim - 1):
            mapped = jax.vmap(mapped)
        return mapped(log_q, p)

    return kernel


def log_rows(jax: Any) -> Operands:
    """Return e^(log p)·(log p − log q) summed, 0 where log p = −∞."""
    jnp = jax.numpy

    def kernel(log_q: Any, log_p: Any) -> Any:
        empty = (log_p == -jnp.inf) & ~jnp.isnan(log_q)
        safe = jnp.where(empty, 0, log_p)
        terms = jnp.where(empty, 0, jnp.exp(safe) * (safe - jnp.where(empty, 0, log_q)))
        return terms.sum(-1)

    return kernel


def rel_entr(jax: Any) -> Operands:
    """Return p·(log p − log q) with both logarithms guarded, 0 and ∞ where these are the values by definition."""
    jnp = jax.numpy

    def kernel(p: Any, q: Any) -> Any:
        both = (p > 0) & (q > 0)
        safe_p, safe_q = jnp.where(both, p, 1), jnp.where(both, q, 1)
        edge = jnp.where((p == 0) & (q >= 0), 0, jnp.inf)
        edge = jnp.where(jnp.isnan(p) | jnp.isnan(q), jnp.nan, edge).astype(safe_p.dtype)
        return jnp.where(both, safe_p * (jnp.log(safe_p) - jnp.log(safe_q)), edge)

    return kernel


def generalised(jax: Any) -> Operands:
    """Return the guarded relative entropy − p + q."""
    plain = rel_entr(jax)
    return lambda p, q: plain(p, q) - p + q


KERNELS = (
    CorrectKernel("jax-rows", "Like optax, operation by operation.", with_jax(rows), OPTAX),
    CorrectKernel("jax-rows-jitted", "Like optax, compiled as one.", with_jax(rows_jitted), OPTAX),
    CorrectKernel("jax-rows-mapped", "One row, mapped over the batch by vmap.", with_jax(rows_mapped), OPTAX),
    CorrectKernel("jax-log-rows", "Log-targets, masked classes excluded.", with_jax(log_rows), OPTAX_LOG),
    CorrectKernel("jax-rel-entr", "Both logarithms guarded by where.", with_jax(rel_entr), REL_ENTR),
    CorrectKernel("jax-generalised", "The guarded relative entropy − p + q.", with_jax(generalised), KL_DIV),
)
