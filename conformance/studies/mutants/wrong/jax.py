"""Mutants in JAX: batches, logarithms, dtypes and edge cases."""

import importlib
import math
from collections.abc import Callable
from functools import partial
from typing import Any

from studies.mutants.correct.jax import OPTAX, OPTAX_LOG, REL_ENTR, Operands, log_rows, rel_entr, row_terms, with_jax
from studies.mutants.jax_witness import P, Q, array, element, element_slope, log_row, logs, row, shape
from studies.mutants.kernel import FaultKind, KlDiv, Mutant, Proof


def of_rows(change: Callable[[Any, Operands], Operands]) -> Callable[[], KlDiv]:
    """Return a factory of kernels from a function of jax.numpy and correct terms."""
    return with_jax(lambda jax: change(jax.numpy, row_terms(jax)))


def prove_same_count(kernel: KlDiv) -> Proof:
    """Shapes (2, 3) and (3, 2) do not broadcast."""
    jnp = importlib.import_module("jax.numpy")
    try:
        kernel(jnp.zeros((2, 3), jnp.float32), jnp.ones((3, 2), jnp.float32))
    except (TypeError, ValueError):
        return Proof("raised", "raised")
    return Proof("accepted", "raised")


def flattened(jnp: Any, terms: Operands) -> Operands:
    """Flatten the batch and do not restore its shape."""

    def kernel(log_q: Any, p: Any) -> Any:
        whole = terms(log_q, p)
        return whole.reshape(-1, whole.shape[-1]).sum(-1) if whole.ndim > 1 else whole.sum(-1)

    return kernel


def shortened(jax: Any, values: Any) -> Any:
    """Round to bfloat16 and convert back."""
    return values.astype(jax.numpy.bfloat16).astype(values.dtype)


def half_running_sum(jnp: Any, terms: Operands) -> Operands:
    """Add the classes one after another in the dtype of the inputs."""

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
    """In float16, 2048 + 1 is 2048: the sum of four thousand terms of 1 is 2048."""
    jnp = importlib.import_module("jax.numpy")
    count = 4000
    got = kernel(jnp.full(count, -1, jnp.float16), jnp.ones(count, jnp.float16))
    return Proof(float(got), float(count))


_optax = partial(Mutant, like=OPTAX)
_optax_log = partial(Mutant, like=OPTAX_LOG)
_rel_entr = partial(Mutant, like=REL_ENTR)

MUTANTS: dict[str, Mutant] = {
    "jax-mean-over-classes": _optax(
        FaultKind.REDUCTION,
        "Means over classes where it should sum.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(log_q, p).mean(-1)),
        row(P, logs(Q)),
    ),
    "jax-first-axis": _optax(
        FaultKind.REDUCTION,
        "Sums over the batch.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(log_q, p).sum(0)),
        shape((2,), 2, 3),
    ),
    "jax-squeezed": _optax(
        FaultKind.REDUCTION,
        "Squeezes the answer, so that a batch of one loses its axis.",
        of_rows(lambda jnp, terms: lambda log_q, p: jnp.squeeze(terms(log_q, p).sum(-1))),
        shape((1,), 1, 3),
    ),
    "jax-flattened-batch": _optax(
        FaultKind.REDUCTION,
        "Flattens batch and time, and leaves them flat.",
        of_rows(flattened),
        shape((2, 3), 2, 3, 4),
    ),
    "jax-softmax-again": _optax(
        FaultKind.VALUE,
        "Normalises log q once more, which shows only where it was not normalised.",
        with_jax(lambda jax: lambda log_q, p: row_terms(jax)(jax.nn.log_softmax(log_q), p).sum(-1)),
        row((0.5, 0.5), (-3.0, -4.0)),
    ),
    "jax-target-normalised": _optax(
        FaultKind.VALUE,
        "Divides the target by its sum.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(log_q, p / p.sum(-1, keepdims=True)).sum(-1)),
        row((0.5, 0.25), (-1.0, -2.0)),
    ),
    "jax-log-at-least-minus-100": _optax(
        FaultKind.VALUE,
        "Clamps log q at −100, as a binary cross-entropy does.",
        of_rows(lambda jnp, terms: lambda log_q, p: terms(jnp.maximum(log_q, -100), p).sum(-1)),
        row((0.5, 0.5), (-200.0, -1.0)),
    ),
    "jax-nan-to-num": _optax(
        FaultKind.SPECIAL,
        "Applies nan_to_num to the answer.",
        of_rows(lambda jnp, terms: lambda log_q, p: jnp.nan_to_num(terms(log_q, p).sum(-1))),
        lambda kernel: Proof(float(kernel(array(-1.0, math.nan), array(0.5, 0.5))), math.nan),
    ),
    "jax-bfloat16-operands": _optax(
        FaultKind.PRECISION,
        "Multiplies in bfloat16, as a matrix unit does by default.",
        with_jax(lambda jax: lambda log_q, p: row_terms(jax)(shortened(jax, log_q), shortened(jax, p)).sum(-1)),
        row(P, logs(Q)),
    ),
    "jax-running-sum": _optax(
        FaultKind.PRECISION,
        "Adds class after class in the dtype of the inputs, which stagnates in 16 bits.",
        of_rows(half_running_sum),
        prove_half_running_sum,
    ),
    "jax-same-count": _optax(
        FaultKind.ERROR,
        "Reshapes the target to the model's shape.",
        of_rows(
            lambda jnp, terms: (
                lambda log_q, p: terms(log_q, p.reshape(log_q.shape) if p.size == log_q.size else p).sum(-1)
            )
        ),
        prove_same_count,
    ),
    "jax-log-target-as-probability": _optax_log(
        FaultKind.LOG_TARGET,
        "Uses the log-target itself as the weight.",
        with_jax(lambda jax: lambda log_q, log_p: (log_p * (log_p - log_q)).sum(-1)),
        log_row(P, Q),
    ),
    "jax-log-target-reversed": _optax_log(
        FaultKind.LOG_TARGET,
        "Uses the model as the weight: the divergence of swapped arguments.",
        with_jax(lambda jax: lambda log_q, log_p: log_rows(jax)(log_p, log_q)),
        log_row(P, Q),
    ),
    "jax-log-target-at-least-minus-20": _optax_log(
        FaultKind.LOG_TARGET,
        "Clamps the log-target at −20 inside the exponential, so that masked classes have the weight 2e-9.",
        with_jax(
            lambda jax: (
                lambda log_q, log_p: (
                    jax.numpy.exp(jax.numpy.maximum(log_p, -20)) * (jax.numpy.maximum(log_p, -20) - log_q)
                ).sum(-1)
            )
        ),
        lambda kernel: Proof(float(kernel(array(-1.0), array(-40.0))), math.exp(-40) * -39),
    ),
    "jax-empty-model-skipped": _rel_entr(
        FaultKind.SPECIAL,
        "Counts only classes where both are positive, so that an impossible event adds 0.",
        with_jax(lambda jax: lambda p, q: jax.numpy.where((p > 0) & (q == 0), 0, rel_entr(jax)(p, q)).astype(p.dtype)),
        element(0.5, 0.0, math.inf),
    ),
    "jax-model-at-least-1e-30": _rel_entr(
        FaultKind.VALUE,
        "Keeps q above 1e-30, below which its value stays and its gradient is 0.",
        with_jax(lambda jax: lambda p, q: rel_entr(jax)(p, jax.numpy.where(q > 0, jax.numpy.maximum(q, 1e-30), q))),
        element_slope(1, 0.5, 1e-33, -0.5 / 1e-33),
    ),
    "jax-single-inside": _rel_entr(
        FaultKind.PRECISION,
        "Computes and returns float32, whatever the dtype of the inputs is.",
        with_jax(lambda jax: lambda p, q: rel_entr(jax)(p.astype(jax.numpy.float32), q.astype(jax.numpy.float32))),
        lambda kernel: Proof(str(kernel(array(0.5).astype("float16"), array(0.25).astype("float16")).dtype), "float16"),
    ),
}
