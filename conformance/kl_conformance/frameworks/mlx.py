"""MLX: arrays on the CPU, vjp, jvp, vmap, compile."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.transform import Function, Transform
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile, Summation


class Mlx(Framework):
    """MLX arrays, which are evaluated lazily."""

    name = "mlx"
    transforms = frozenset(
        {Transform.JOINT, Transform.CURVATURE, Transform.TANGENT, Transform.COMPILED, Transform.BATCHED}
    )
    compilers = ("mx.compile",)

    def load(self) -> Modules:
        """Import MLX and select the CPU, its only device with float64."""
        core = importlib.import_module("mlx.core")
        core.set_default_device(core.cpu)
        return Modules({"mx": core, "nn": importlib.import_module("mlx.nn")})

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile, except for exp, which is approximate, and sums, which are taken in any order.

        The error of exp x is that of rounding x·log₂ e and log₂ e itself: 1.22·|x| u. Below −88 exp x is 0. An issue
        about it was closed as "wontfix", https://github.com/ml-explore/mlx/issues/1341

        Source: https://github.com/ml-explore/mlx/blob/main/mlx/backend/cpu/simd/math.h
        """
        del device
        steepness = 1.25 if dtype is Dtype.FLOAT32 else 0.0
        flushes = dtype is not Dtype.FLOAT16
        return replace(Profile.of(dtype), summation=Summation.ANY, flush_to_zero=flushes, steepness=steepness)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand as an array; MLX arrays have no strides."""
        made = self.from_numpy(modules, operand.values, device).astype(getattr(modules.mx, operand.dtype.label))
        modules.mx.eval(made)  # evaluates pending operations in this thread
        return made

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as an array of the same dtype, which MLX would narrow by default."""
        return modules.mx.array(values, getattr(modules.mx, str(values.dtype), None))

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return an array with rows of one number before its own."""
        mx = modules.mx
        return mx.concatenate([mx.full((rows, *tensor.shape[1:]), fill, tensor.dtype), tensor])

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return an array as float64 values, with its dtype."""
        values = np.array(tensor.astype(modules.mx.float64))
        return Output(values, str(tensor.dtype).removeprefix("mlx.core."))

    def gradients(self, modules: Modules, function: Function, tensors: Sequence[Any], upstream: Any) -> Sequence[Any]:
        """Call ``mx.vjp``."""
        mx = modules.mx
        result = function(*tensors)
        seed = mx.ones_like(result) if upstream is None else upstream.astype(result.dtype)
        found: Sequence[Any] = mx.vjp(function, list(tensors), [seed])[1]
        return found

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Call ``mx.jvp``."""
        return modules.mx.jvp(function, [tensor], [direction.astype(tensor.dtype)])[1][0]

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Call ``mx.compile``."""
        made: Function = modules.mx.compile(function)
        return made

    def batched(self, modules: Modules, function: Function) -> Function:
        """Call ``mx.vmap``."""
        made: Function = modules.mx.vmap(function)
        return made

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Compute what ``mlx.nn.log_softmax`` computes, which is compiled and in 0.32.4 crashes on one class."""
        mx = modules.mx
        shifted = tensor - mx.stop_gradient(mx.max(tensor, axis=-1, keepdims=True))
        return shifted - mx.logsumexp(shifted, axis=-1, keepdims=True)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``mlx.nn.losses.cross_entropy`` with probabilities as targets."""
        return modules.nn.losses.cross_entropy(call.model, call.target)
