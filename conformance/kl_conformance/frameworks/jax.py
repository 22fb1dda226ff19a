"""JAX: arrays, x64 switch, vjp, jvp, vmap, jit; TensorFlow Probability on JAX uses the same arrays."""

import importlib
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile


class Jax(Framework):
    """JAX arrays, dispatched operation by operation; float64 is enabled except in mode ``x32``, JAX's default."""

    name = "jax"
    devices = ("cpu", "cuda")
    compiles_per_shape = True
    transforms = frozenset(Transform) - {Transform.AUTOCAST, Transform.INFERENCE}
    compilers = ("jax.jit",)
    compiled_modes = MappingProxyType({"jit": "jax.jit"})
    setting_modes = MappingProxyType({"x32": frozenset(Dtype) - {Dtype.FLOAT64}})

    def load(self) -> Modules:
        """Import JAX and enable float64; select it as the backend of Keras."""
        os.environ.setdefault("KERAS_BACKEND", Jax.name)
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        return Modules({"jax": jax, "jnp": jax.numpy})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA is not available."""
        if device == "cuda" and not any(d.platform == "gpu" for d in modules.jax.devices()):
            return f"jax {modules.jax.__version__} finds no GPU on this machine"
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
        """Clear JAX's caches: with 2,000 programs in memory, compiling another takes 1.5 times as long."""
        modules.jax.clear_caches()

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile; XLA's CPU threads flush subnormals, and float16 is computed in float32."""
        return replace(Profile.of(dtype), flush_to_zero=device == "cpu" and dtype is not Dtype.FLOAT16)

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return whether float64 is enabled, and other process-wide options a call could change."""
        config = modules.jax.config
        return {
            "whether JAX has float64 enabled": config.jax_enable_x64,
            "whether JAX checks for NaN": config.jax_debug_nans,
            "JAX's default matmul precision": config.jax_default_matmul_precision,
        }

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand as an array; JAX arrays have no strides."""
        # NumPy converts to JAX's bfloat16, an extension dtype, without compiling an XLA program.
        values = operand.values.astype(modules.jnp.dtype(operand.dtype.label))
        return self.from_numpy(modules, values, device)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as an array of the same dtype."""
        jax = modules.jax
        return jax.device_put(values, jax.devices("gpu" if device == "cuda" else "cpu")[0])

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return an array with rows of one number before its own."""
        shape = (rows + tensor.shape[0], *tensor.shape[1:])
        whole = modules.jnp.full(shape, fill, tensor.dtype, device=tensor.sharding)
        return whole.at[rows:].set(tensor)

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return an array as float64 values, with its dtype."""
        values = np.asarray(tensor)
        return Output(values.astype(np.float64), str(values.dtype))

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate in reverse mode with respect to every argument; saved values live as long as the function."""
        del retain
        result, pull = modules.jax.vjp(function, *tensors)

        def backward(upstream: Any) -> Sequence[Any]:
            # Created and converted by NumPy, which compiles nothing.
            seed = np.ones(result.shape) if upstream is None else np.asarray(upstream)
            found: Sequence[Any] = pull(modules.jnp.asarray(seed.astype(result.dtype)))
            return found

        return backward

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Call ``jax.jvp``."""
        _, tangent = modules.jax.jvp(function, (tensor,), (direction,))
        return tangent

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Compile with ``jax.jit``."""
        made: Function = modules.jax.jit(function)
        return made

    def batched(self, modules: Modules, function: Function) -> Function:
        """Call ``jax.vmap``."""
        made: Function = modules.jax.vmap(function)
        return made

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Call ``jax.nn.log_softmax``."""
        return modules.jax.nn.log_softmax(tensor)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``optax.losses.softmax_cross_entropy``."""
        return modules.require("optax").losses.softmax_cross_entropy(call.model, call.target)

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Sum ``jax.scipy.special.entr``."""
        return modules.jax.scipy.special.entr(call.target).sum(-1)

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``jax.scipy.special.rel_entr``."""
        return modules.jax.scipy.special.rel_entr(call.target, call.model)


class Tfp(Jax):
    """JAX arrays, passed to TensorFlow Probability's JAX substrate, whose release 0.25 requires JAX before 0.7."""

    name = "tfp"

    def load(self) -> Modules:
        """Import JAX with float64 enabled, and the substrate."""
        modules = Jax.load(self)
        modules.by_name["tfp"] = importlib.import_module("tensorflow_probability.substrates.jax")
        return modules
