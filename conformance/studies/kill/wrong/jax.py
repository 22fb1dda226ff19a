"""Mistakes made in JAX: derivatives through where, traced state, batches and logarithms."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

from studies.kill.kernel import Kind, KlDiv, Proof, Wrong
from studies.kill.right.jax import (
    OPTAX,
    OPTAX_LOG,
    REL_ENTR,
    Operands,
    log_rows,
    rel_entr,
    row_terms,
    with_jax,
)

P, Q = (0.1, 0.2, 0.7), (0.3, 0.3, 0.4)
"""Two distributions over three classes."""


def array(*values: Any) -> Any:
    """Return numbers as an array of float32."""
    jnp = importlib.import_module("jax.numpy")
    return jnp.asarray(values, jnp.float32)


def logs(values: Sequence[float]) -> list[float]:
    """Return natural logarithms."""
    return [math.log(each) for each in values]


def divergence(p: Sequence[float], q: Sequence[float]) -> float:
    """Return Σ p·ln(p/q)."""
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def row(p: Sequence[float], log_q: Sequence[float]) -> Callable[[KlDiv], Proof]:
    """Return a proof by one row, right by the definition."""
    right = math.fsum(a * (math.log(a) - b) for a, b in zip(p, log_q, strict=True) if a)

    def prove(kernel: KlDiv) -> Proof:
        return Proof(float(kernel(array(*log_q), array(*p))), right)

    return prove


def log_row(p: Sequence[float], q: Sequence[float]) -> Callable[[KlDiv], Proof]:
    """Return a proof by one row whose target is given in logarithms."""

    def prove(kernel: KlDiv) -> Proof:
        return Proof(float(kernel(array(*logs(q)), array(*logs(p)))), divergence(p, q))

    return prove


def element(p: float, q: float, right: float) -> Callable[[KlDiv], Proof]:
    """Return a proof by one element."""
    return lambda kernel: Proof(float(kernel(array(p), array(q))[0]), right)


def shape(right: tuple[int, ...], *given: int) -> Callable[[KlDiv], Proof]:
    """Return a proof by the shape of the answer to a problem of a given one."""

    def prove(kernel: KlDiv) -> Proof:
        jnp = importlib.import_module("jax.numpy")
        operand = jnp.full(given, 0.25, jnp.float32)
        return Proof(str(kernel(jnp.log(operand), operand).shape), str(right))

    return prove


def slope(argument: int, right: float, upstream: float = 1.0) -> Callable[[KlDiv], Proof]:
    """Return a proof by the derivative at the first class, P and Q given as model and target."""

    def prove(kernel: KlDiv) -> Proof:
        jax = importlib.import_module("jax")

        def loss(log_q: Any, p: Any) -> Any:
            return (kernel(log_q, p) * upstream).sum()

        by = jax.grad(loss, argument)(array(*logs(Q)), array(*P))
        return Proof(float(by[0]), right)

    return prove


def element_slope(argument: int, p: float, q: float, right: float) -> Callable[[KlDiv], Proof]:
    """Return a proof by the derivative of one element."""

    def prove(kernel: KlDiv) -> Proof:
        jax = importlib.import_module("jax")

        def loss(p: Any, q: Any) -> Any:
            return kernel(p, q).sum()

        by = jax.grad(loss, argument)(array(p), array(q))
        return Proof(float(by[0]), right)

    return prove


def of_rows(change: Callable[[Any, Operands], Operands]) -> Callable[[], KlDiv]:
    """Return what makes a kernel, given jax.numpy and right terms."""
    return with_jax(lambda jax: change(jax.numpy, row_terms(jax)))


def with_gradient(jax: Any, backward: Callable[[Any, Any, Any, Any], tuple[Any, Any]]) -> Operands:
    """Return right rows with a gradient of their own, ``backward(jnp, log_q, p, upstream)``."""
    terms = row_terms(jax)

    def kernel(log_q: Any, p: Any) -> Any:
        return terms(log_q, p).sum(-1)

    def forward(log_q: Any, p: Any) -> tuple[Any, tuple[Any, Any]]:
        return kernel(log_q, p), (log_q, p)

    def back(kept: tuple[Any, Any], upstream: Any) -> tuple[Any, Any]:
        return backward(jax.numpy, kept[0], kept[1], upstream)

    own = jax.custom_vjp(kernel)
    own.defvjp(forward, back)

    def broadcast(log_q: Any, p: Any) -> Any:
        return own(*jax.numpy.broadcast_arrays(log_q, p))

    return broadcast


def remembers_target(jax: Any) -> Operands:
    """Trace one function a shape, with the first target of that shape inside it."""
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
    """A second target of the same shape is another target."""
    kernel(array(*logs(Q)), array(*P))
    return Proof(float(kernel(array(*logs(Q)), array(*Q))), 0.0)


def first_answer(jax: Any) -> Operands:
    """Answer a shape once, and for ever."""
    terms = row_terms(jax)
    answers: dict[Any, Any] = {}

    def kernel(log_q: Any, p: Any) -> Any:
        answer = terms(log_q, p).sum(-1)
        if isinstance(answer, jax.core.Tracer):
            return answer
        return answers.setdefault((p.shape, log_q.shape, answer.dtype), answer)

    return kernel


def prove_same_count(kernel: KlDiv) -> Proof:
    """Shapes (2, 3) and (3, 2) do not broadcast."""
    jnp = importlib.import_module("jax.numpy")
    try:
        kernel(jnp.zeros((2, 3), jnp.float32), jnp.ones((3, 2), jnp.float32))
    except (TypeError, ValueError):
        return Proof("raised", "raised")
    return Proof("accepted", "raised")


def flattened(jnp: Any, terms: Operands) -> Operands:
    """Flatten the batch, and leave it flat."""

    def kernel(log_q: Any, p: Any) -> Any:
        whole = terms(log_q, p)
        return whole.reshape(-1, whole.shape[-1]).sum(-1) if whole.ndim > 1 else whole.sum(-1)

    return kernel


def plain_where(jax: Any) -> Operands:
    """Compute p·log(p/q) everywhere and choose after."""
    jnp, right = jax.numpy, rel_entr(jax)

    def kernel(p: Any, q: Any) -> Any:
        return jnp.where(p > 0, p * (jnp.log(p) - jnp.log(q)), right(jnp.where(p > 0, 0, p), q))

    return kernel


def shortened(jax: Any, values: Any) -> Any:
    """Round to bfloat16 and come back."""
    return values.astype(jax.numpy.bfloat16).astype(values.dtype)


def half_running_sum(jnp: Any, terms: Operands) -> Operands:
    """Add one class after the other in the dtype of the inputs."""

    def kernel(log_q: Any, p: Any) -> Any:
        whole = terms(log_q, p)
        scan = importlib.import_module("jax").lax.scan

        def step(total: Any, each: Any) -> tuple[Any, None]:
            return total + each, None

        start = jnp.zeros(whole.shape[:-1], whole.dtype)
        total, _ = scan(step, start, jnp.moveaxis(whole, -1, 0))
        return total

    return kernel


def prove_half_running_sum(kernel: KlDiv) -> Proof:
    """In float16, 2048 + 1 is 2048: four thousand terms of 1 come to 2048."""
    jnp = importlib.import_module("jax.numpy")
    count = 4000
    got = kernel(jnp.full(count, -1, jnp.float16), jnp.ones(count, jnp.float16))
    return Proof(float(got), float(count))


WRONG: tuple[Wrong, ...] = (
    Wrong(
        "jax-mean-over-classes",
        Kind.REDUCTION,
        "Means over classes where it should sum.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(log_q, p).mean(-1)),
        row(P, logs(Q)),
        OPTAX,
    ),
    Wrong(
        "jax-first-axis",
        Kind.REDUCTION,
        "Sums over the batch.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(log_q, p).sum(0)),
        shape((2,), 2, 3),
        OPTAX,
    ),
    Wrong(
        "jax-squeezed",
        Kind.REDUCTION,
        "Squeezes the answer, so that a batch of one loses its axis.",
        of_rows(lambda jnp, terms: lambda log_q, p: jnp.squeeze(terms(log_q, p).sum(-1))),
        shape((1,), 1, 3),
        OPTAX,
    ),
    Wrong(
        "jax-flattened-batch",
        Kind.REDUCTION,
        "Flattens batch and time, and leaves them flat.",
        of_rows(flattened),
        shape((2, 3), 2, 3, 4),
        OPTAX,
    ),
    Wrong(
        "jax-softmax-again",
        Kind.VALUE,
        "Normalises log q once more, which shows only where it was not normalised.",
        with_jax(lambda jax: lambda log_q, p: row_terms(jax)(jax.nn.log_softmax(log_q), p).sum(-1)),
        row((0.5, 0.5), (-3.0, -4.0)),
        OPTAX,
    ),
    Wrong(
        "jax-target-normalised",
        Kind.VALUE,
        "Divides the target by its sum.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(log_q, p / p.sum(-1, keepdims=True)).sum(-1)),
        row((0.5, 0.25), (-1.0, -2.0)),
        OPTAX,
    ),
    Wrong(
        "jax-log-at-least-minus-100",
        Kind.VALUE,
        "Clamps log q at −100, as a binary cross-entropy does.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(jnp.maximum(log_q, -100), p).sum(-1)),
        row((0.5, 0.5), (-200.0, -1.0)),
        OPTAX,
    ),
    Wrong(
        "jax-nan-to-num",
        Kind.SPECIAL,
        "Cleans the answer up by nan_to_num.",
        of_rows(lambda jnp, terms: lambda log_q, p: jnp.nan_to_num(terms(log_q, p).sum(-1))),
        lambda kernel: Proof(float(kernel(array(-1.0, math.nan), array(0.5, 0.5))), math.nan),
        OPTAX,
    ),
    Wrong(
        "jax-bfloat16-operands",
        Kind.PRECISION,
        "Multiplies in bfloat16, as a matrix unit does by default.",
        with_jax(
            lambda jax: lambda log_q, p: row_terms(jax)(shortened(jax, log_q), shortened(jax, p)).sum(-1)
        ),
        row(P, logs(Q)),
        OPTAX,
    ),
    Wrong(
        "jax-running-sum",
        Kind.PRECISION,
        "Adds class after class in the dtype of the inputs, which stagnates in 16 bits.",
        of_rows(half_running_sum),
        prove_half_running_sum,
        OPTAX,
    ),
    Wrong(
        "jax-target-stopped",
        Kind.GRADIENT,
        "Stops the gradient by the target, unasked.",
        with_jax(lambda jax: lambda log_q, p: row_terms(jax)(log_q, jax.lax.stop_gradient(p)).sum(-1)),
        slope(1, math.log(P[0] / Q[0]) + 1),
        OPTAX,
    ),
    Wrong(
        "jax-upstream-forgotten",
        Kind.GRADIENT,
        "Gives −p backwards, whatever comes from above.",
        with_jax(
            lambda jax: with_gradient(
                jax, lambda jnp, log_q, p, upstream: (-p, (jnp.log(p) - log_q + 1) * upstream[..., None])
            )
        ),
        slope(0, -2 * P[0], upstream=2.0),
        OPTAX,
    ),
    Wrong(
        "jax-target-gradient-without-one",
        Kind.GRADIENT,
        "Forgets the derivative of the logarithm: log p − log q where + 1 belongs.",
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
        OPTAX,
    ),
    Wrong(
        "jax-target-remembered",
        Kind.STATE,
        "Traces one function a shape, with the first target of that shape inside it.",
        with_jax(remembers_target),
        prove_remembers_target,
        OPTAX,
    ),
    Wrong(
        "jax-first-answer",
        Kind.EXPLOIT,
        "Answers each shape once and hands that answer out for ever, which a benchmark's fixed inputs reward.",
        with_jax(first_answer),
        prove_remembers_target,
        OPTAX,
    ),
    Wrong(
        "jax-same-count",
        Kind.ERROR,
        "Reshapes the target to the model's shape.",
        of_rows(
            lambda jnp, terms: (
                lambda log_q, p: terms(log_q, p.reshape(log_q.shape) if p.size == log_q.size else p).sum(-1)
            )
        ),
        prove_same_count,
        OPTAX,
    ),
    Wrong(
        "jax-log-target-as-probability",
        Kind.LOG_TARGET,
        "Weighs by the log-target itself.",
        with_jax(lambda jax: lambda log_q, log_p: (log_p * (log_p - log_q)).sum(-1)),
        log_row(P, Q),
        OPTAX_LOG,
    ),
    Wrong(
        "jax-log-target-reversed",
        Kind.LOG_TARGET,
        "Weighs by the model: the divergence the other way round.",
        with_jax(lambda jax: lambda log_q, log_p: log_rows(jax)(log_p, log_q)),
        log_row(P, Q),
        OPTAX_LOG,
    ),
    Wrong(
        "jax-log-target-at-least-minus-20",
        Kind.LOG_TARGET,
        "Clamps the log-target at −20 inside the exponential, so that masked classes weigh 2e-9.",
        with_jax(
            lambda jax: (
                lambda log_q, log_p: (
                    jax.numpy.exp(jax.numpy.maximum(log_p, -20)) * (jax.numpy.maximum(log_p, -20) - log_q)
                ).sum(-1)
            )
        ),
        lambda kernel: Proof(float(kernel(array(-1.0), array(-40.0))), math.exp(-40) * -39),
        OPTAX_LOG,
    ),
    Wrong(
        "jax-where-after",
        Kind.GRADIENT,
        "Chooses by where after the logarithm, whose derivative at 0 is NaN for all that.",
        with_jax(plain_where),
        lambda kernel: element_slope(0, 0.0, 0.5, -math.inf)(kernel),
        REL_ENTR,
    ),
    Wrong(
        "jax-empty-model-skipped",
        Kind.SPECIAL,
        "Counts only classes where both are positive, so that an impossible event costs nothing.",
        with_jax(
            lambda jax: (
                lambda p, q: jax.numpy.where((p > 0) & (q == 0), 0, rel_entr(jax)(p, q)).astype(p.dtype)
            )
        ),
        element(0.5, 0.0, math.inf),
        REL_ENTR,
    ),
    Wrong(
        "jax-model-at-least-1e-30",
        Kind.VALUE,
        "Keeps q above 1e-30, below which its value stays and its gradient is 0.",
        with_jax(
            lambda jax: lambda p, q: rel_entr(jax)(p, jax.numpy.where(q > 0, jax.numpy.maximum(q, 1e-30), q))
        ),
        element_slope(1, 0.5, 1e-33, -0.5 / 1e-33),
        REL_ENTR,
    ),
    Wrong(
        "jax-single-inside",
        Kind.PRECISION,
        "Computes in float32 whatever it is given, and hands that out.",
        with_jax(
            lambda jax: lambda p, q: rel_entr(jax)(p.astype(jax.numpy.float32), q.astype(jax.numpy.float32))
        ),
        lambda kernel: Proof(
            str(kernel(array(0.5).astype("float16"), array(0.25).astype("float16")).dtype), "float16"
        ),
        REL_ENTR,
    ),
)
