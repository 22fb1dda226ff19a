"""JAX: its arrays, with float64 enabled or not, vjp, jvp, vmap and jit."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.framework import Framework, Modules, Output
from kl_conformance.implementation import Call
from kl_conformance.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile
from kl_reference.problem import Operand


class Jax(Framework):
    """Arrays of JAX, dispatched operation by operation; float64 is enabled but in mode ``x32``, JAX's own default."""

    name = "jax"
    devices = ("cpu", "cuda")
    compiles_per_shape = True
    transforms = frozenset(Transform) - {Transform.AUTOCAST, Transform.INFERENCE}
    compilers = ("jax.jit",)
    compiled_modes = MappingProxyType({"jit": "jax.jit"})
    setting_modes = MappingProxyType({"x32": frozenset(Dtype) - {Dtype.FLOAT64}})

    def load(self) -> Modules:
        """Import JAX, and enable float64; Keras, where it is asked for, is to run on it."""
        os.environ.setdefault("KERAS_BACKEND", Jax.name)
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        return Modules({"jax": jax, "jnp": jax.numpy})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA cannot be asked here."""
        if device == "cuda" and not any(d.platform == "gpu" for d in modules.jax.devices()):
            return f"jax {modules.jax.__version__} sees no GPU on this machine"
        return Framework.unavailable(self, modules, device)

    def mode_context(self, modules: Modules, mode: str) -> AbstractContextManager[Any]:
        """Disable float64 in mode ``x32``."""
        if mode not in self.setting_modes:
            return nullcontext()
        jax = modules.jax
        if hasattr(jax, "enable_x64"):
            region: AbstractContextManager[Any] = jax.enable_x64(False)
        else:  # before 0.8
            region = importlib.import_module("jax.experimental").disable_x64()
        return region

    def clear_cache(self, modules: Modules) -> None:
        """Clear JAX's caches: with 2,000 programs in memory another takes half as long again to compile."""
        modules.jax.clear_caches()

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile; XLA's CPU threads flush subnormals, float16 computes in float32."""
        return replace(Profile.of(dtype), flush_to_zero=device == "cpu" and dtype is not Dtype.FLOAT16)

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return whether float64 is enabled, and what else a call could set for everybody."""
        config = modules.jax.config
        return {
            "whether JAX has float64": config.jax_enable_x64,
            "whether JAX looks for NaN": config.jax_debug_nans,
            "the precision of JAX's products": config.jax_default_matmul_precision,
        }

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over; JAX's arrays know no strides."""
        # NumPy knows JAX's bfloat16 as an extension dtype, and converts without asking XLA to compile.
        values = operand.values.astype(modules.jnp.dtype(operand.dtype.label))
        return self.from_numpy(modules, values, device)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand a NumPy array over in its own dtype."""
        jax = modules.jax
        return jax.device_put(values, jax.devices("gpu" if device == "cuda" else "cpu")[0])

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return an array behind so many rows of one number."""
        shape = (rows + tensor.shape[0], *tensor.shape[1:])
        whole = modules.jnp.full(shape, fill, tensor.dtype, device=tensor.sharding)
        return whole.at[rows:].set(tensor)

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take an array back."""
        values = np.asarray(tensor)
        return Output(values.astype(np.float64), str(values.dtype))

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate by reverse mode, by every argument; what is saved is kept as long as the function is."""
        del retain
        result, pull = modules.jax.vjp(function, *tensors)

        def backward(upstream: Any) -> Sequence[Any]:
            # Made and converted by NumPy, which compiles nothing.
            seed = np.ones(result.shape) if upstream is None else np.asarray(upstream)
            found: Sequence[Any] = pull(modules.jnp.asarray(seed.astype(result.dtype)))
            return found

        return backward

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Ask ``jax.jvp``."""
        _, tangent = modules.jax.jvp(function, (tensor,), (direction,))
        return tangent

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Compile by ``jax.jit``."""
        made: Function = modules.jax.jit(function)
        return made

    def batched(self, modules: Modules, function: Function) -> Function:
        """Ask ``jax.vmap``."""
        made: Function = modules.jax.vmap(function)
        return made

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Ask ``jax.nn.log_softmax``."""
        return modules.jax.nn.log_softmax(tensor)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Ask ``optax.losses.softmax_cross_entropy``."""
        return modules.require("optax").losses.softmax_cross_entropy(call.model, call.target)

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Sum ``jax.scipy.special.entr``."""
        return modules.jax.scipy.special.entr(call.target).sum(-1)

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Ask ``jax.scipy.special.rel_entr``."""
        return modules.jax.scipy.special.rel_entr(call.target, call.model)


class Tfp(Jax):
    """JAX arrays, passed to TensorFlow Probability's JAX substrate, whose release 0.25 requires JAX before 0.7."""

    name = "tfp"

    def load(self) -> Modules:
        """Import JAX with float64 enabled, and the substrate."""
        modules = Jax.load(self)
        modules.by_name["tfp"] = importlib.import_module("tensorflow_probability.substrates.jax")
        return modules
