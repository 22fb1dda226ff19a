"""Mutants in JAX transformations: derivatives through where, and values captured by a trace."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

from studies.mutants.correct.jax import OPTAX, REL_ENTR, Operands, rel_entr, row_terms, with_jax
from studies.mutants.jax_witness import P, Q, array, element_slope, logs, slope
from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof


def with_gradient(jax: Any, backward: Callable[[Any, Any, Any, Any], tuple[Any, Any]]) -> Operands:
    """Return correct rows with a custom gradient ``backward(jnp, log_q, p, upstream)``."""
    terms = row_terms(jax)

    def kernel(log_q: Any, p: Any) -> Any:
        return terms(log_q, p).sum(-1)

    def forward(log_q: Any, p: Any) -> tuple[Any, tuple[Any, Any]]:
        return kernel(log_q, p), (log_q, p)

    def back(saved: tuple[Any, Any], upstream: Any) -> tuple[Any, Any]:
        return backward(jax.numpy, saved[0], saved[1], upstream)

    own = jax.custom_vjp(kernel)
    own.defvjp(forward, back)

    def broadcast(log_q: Any, p: Any) -> Any:
        return own(*jax.numpy.broadcast_arrays(log_q, p))

    return broadcast


def remembers_target(jax: Any) -> Operands:
    """Trace one function per shape, which captures the first target of that shape."""
    terms = row_terms(jax)
    traced: dict[Any, Callable[[Any], Any]] = {}

    def kernel(log_q: Any, p: Any) -> Any:
        key = (p.shape, p.dtype, log_q.shape)
        if isinstance(p, jax.core.Tracer) or isinstance(log_q, jax.core.Tracer):
            return terms(log_q, p).sum(-1)
        if key not in traced:

            def own(log_q: Any) -> Any:
                return terms(log_q, p).sum(-1)

            traced[key] = jax.jit(own)
        return traced[key](log_q)

    return kernel


def prove_remembers_target(kernel: KlDiv) -> Proof:
    """Prove by a second target of the same shape."""
    kernel(array(*logs(Q)), array(*P))
    return Proof(float(kernel(array(*logs(Q)), array(*Q))), 0.0)


def first_answer(jax: Any) -> Operands:
    """Return the first answer of a shape for every later call."""
    terms = row_terms(jax)
    answers: dict[Any, Any] = {}

    def kernel(log_q: Any, p: Any) -> Any:
        answer = terms(log_q, p).sum(-1)
        if isinstance(answer, jax.core.Tracer):
            return answer
        return answers.setdefault((p.shape, log_q.shape, answer.dtype), answer)

    return kernel


def plain_where(jax: Any) -> Operands:
    """Compute p·log(p/q) everywhere and select afterwards."""
    jnp, correct = jax.numpy, rel_entr(jax)

    def kernel(p: Any, q: Any) -> Any:
        return jnp.where(p > 0, p * (jnp.log(p) - jnp.log(q)), correct(jnp.where(p > 0, 0, p), q))

    return kernel


_optax = partial(Mutant, like=OPTAX)
_rel_entr = partial(Mutant, like=REL_ENTR)

MUTANTS: dict[str, Mutant] = {
    "jax-target-stopped": _optax(
        FaultKind.GRADIENT,
        "Stops the gradient by the target, although the target is an argument like the other.",
        with_jax(lambda jax: lambda log_q, p: row_terms(jax)(log_q, jax.lax.stop_gradient(p)).sum(-1)),
        slope(1, math.log(P[0] / Q[0]) + 1),
    ),
    "jax-upstream-forgotten": _optax(
        FaultKind.GRADIENT,
        "Returns −p as the gradient, whatever the upstream gradient is.",
        with_jax(
            lambda jax: with_gradient(
                jax, lambda jnp, log_q, p, upstream: (-p, (jnp.log(p) - log_q + 1) * upstream[..., None])
            )
        ),
        slope(0, -2 * P[0], upstream=2.0),
    ),
    "jax-target-gradient-without-one": _optax(
        FaultKind.GRADIENT,
        "Omits the derivative of the logarithm: log p − log q without + 1.",
        with_jax(
            lambda jax: with_gradient(
                jax,
                lambda jnp, log_q, p, upstream: (
                    -p * upstream[..., None],
                    jnp.where(p > 0, jnp.log(p) - log_q, 0) * upstream[..., None],
                ),
            )
        ),
        slope(1, math.log(P[0] / Q[0]) + 1),
    ),
    "jax-target-remembered": _optax(
        FaultKind.STATE,
        "Traces one function a shape, with the first target of that shape inside it.",
        with_jax(remembers_target),
        prove_remembers_target,
    ),
    "jax-first-answer": _optax(
        FaultKind.EXPLOIT,
        "Computes one answer per shape and returns it forever, which passes with a benchmark's fixed inputs.",
        with_jax(first_answer),
        prove_remembers_target,
    ),
    "jax-where-after": _rel_entr(
        FaultKind.GRADIENT,
        "Chooses by where after the logarithm, whose derivative at 0 is NaN nevertheless.",
        with_jax(plain_where),
        lambda kernel: element_slope(0, 0.0, 0.5, -math.inf)(kernel),
    ),
}
