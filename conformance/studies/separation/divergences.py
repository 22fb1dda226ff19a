"""Three formulas of the divergence, and the array libraries that evaluate them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kl_reference import Dtype, Operand, Space

Both = Callable[[Any, Any], tuple[Any, Any]]
"""Maps tensors of P and of log Q to the terms and the sums of rows."""


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The operations of a library from which a divergence is computed.

    ``total`` sums over the last axis; ``modes`` are the library's execution modes, such as eager and jit.
    """

    log: Callable[[Any], Any]
    exp: Callable[[Any], Any]
    xlogy: Callable[[Any, Any], Any]
    total: Callable[[Any], Any]
    modes: Mapping[str, Callable[[Both], Both]]
    dtypes: tuple[Dtype, ...] = tuple(Dtype)


@dataclass(frozen=True, slots=True)
class Form:
    """A formula of the divergence for a P in ``space``; ``zeros`` is true if it is defined at p = 0."""

    name: str
    space: Space
    zeros: bool
    terms: Callable[[Arithmetic, Any, Any], Any]

    def takes(self, target: Operand) -> bool:
        """Whether this formula is defined for the given P."""
        return target.space is self.space and (self.zeros or bool(np.all(target.values != 0)))

    def bound(self, arithmetic: Arithmetic) -> Both:
        """Return the formula as a function in a library's arithmetic."""

        def both(target: Any, model: Any) -> tuple[Any, Any]:
            value = self.terms(arithmetic, target, model)
            return value, arithmetic.total(value)

        return both


FORMS = (
    Form("p·(log p − log q)", Space.PROBABILITY, False, lambda a, p, log_q: p * (a.log(p) - log_q)),
    Form("p·log p − p·log q", Space.PROBABILITY, True, lambda a, p, log_q: a.xlogy(p, p) - p * log_q),
    # A log p of 0 is p = 1, and none is −∞.
    Form("e^log p·(log p − log q)", Space.LOG, True, lambda a, log_p, log_q: a.exp(log_p) * (log_p - log_q)),
)


def as_it_is(function: Both) -> Both:
    """Return the function unchanged, to run operation by operation."""
    return function


def numpy(modules: Any) -> Arithmetic:
    """Return NumPy's arithmetic; NumPy has no bfloat16, and no xlogy."""

    def xlogy(x: Any, y: Any) -> Any:
        return np.where(x == 0, x, x * np.log(y))

    dtypes = (Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16)
    return Arithmetic(np.log, np.exp, xlogy, lambda terms: terms.sum(-1), {"": as_it_is}, dtypes)


def torch(modules: Any) -> Arithmetic:
    """Return PyTorch's arithmetic."""
    torch = modules.torch
    return Arithmetic(torch.log, torch.exp, torch.xlogy, lambda terms: terms.sum(-1), {"": as_it_is})


def jax(modules: Any) -> Arithmetic:
    """Return JAX's arithmetic, eager and compiled."""
    jnp = modules.jnp
    modes = {"eager": as_it_is, "jit": modules.jax.jit}
    return Arithmetic(jnp.log, jnp.exp, modules.jax.scipy.special.xlogy, lambda terms: terms.sum(-1), modes)


def tensorflow(modules: Any) -> Arithmetic:
    """Return TensorFlow's arithmetic, eager and compiled by XLA."""
    tf = modules.tf

    def xla(function: Both) -> Both:
        compiled: Both = tf.function(function, jit_compile=True)
        return compiled

    def total(terms: Any) -> Any:
        # TensorFlow's own eager sum of float16 accumulates in float16, which `values/half` correctly rejects.
        wide = tf.cast(terms, tf.float32) if terms.dtype == tf.float16 else terms
        return tf.cast(tf.reduce_sum(wide, axis=-1), terms.dtype)

    tf.get_logger().setLevel("ERROR")  # XLA warns at every new shape
    modes = {"eager": as_it_is, "XLA": xla}
    return Arithmetic(tf.math.log, tf.math.exp, tf.math.xlogy, total, modes)


ARITHMETIC: Mapping[str, Callable[[Any], Arithmetic]] = {
    "numpy": numpy,
    "torch": torch,
    "jax": jax,
    "tensorflow": tensorflow,
}
