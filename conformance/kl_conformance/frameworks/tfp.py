"""TensorFlow Probability on JAX: its functions take JAX's arrays, of the JAX releases it can be imported with."""

from __future__ import annotations

import importlib

from kl_conformance.framework import Modules
from kl_conformance.frameworks.jax import Jax


class Tfp(Jax):
    """The JAX substrate of TensorFlow Probability, which lags behind JAX: 0.25 needs one before 0.7."""

    name = "tfp"

    def load(self) -> Modules:
        """Import JAX, with float64, and the substrate."""
        modules = Jax.load(self)
        modules.by_name["tfp"] = importlib.import_module("tensorflow_probability.substrates.jax")
        return modules
