"""MLX: its arrays on the CPU, with vjp, jvp, vmap and compile."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.framework import Framework, Modules, Output
from kl_conformance.implementation import Call
from kl_conformance.transform import Function, Transform
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile, Summation
from kl_reference.problem import Operand


class Mlx(Framework):
    """Arrays of MLX, which are computed when they are looked at."""

    name = "mlx"
    transforms = frozenset(
        {Transform.JOINT, Transform.CURVATURE, Transform.TANGENT, Transform.COMPILED, Transform.BATCHED}
    )
    compilers = ("mx.compile",)

    def load(self) -> Modules:
        """Import MLX, and have it work on the CPU, where alone it has float64."""
        core = importlib.import_module("mlx.core")
        core.set_default_device(core.cpu)
        return Modules({"mx": core, "nn": importlib.import_module("mlx.nn")})

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile, but for exp, which is a fast one, and sums, which are added up in any order.

        exp x errs by the rounding of x·log₂ e, and of log₂ e itself: 1.22·|x| u. Below −88 it is 0. A report of it was
        closed as "wontfix", https://github.com/ml-explore/mlx/issues/1341

        Source: https://github.com/ml-explore/mlx/blob/main/mlx/backend/cpu/simd/math.h
        """
        del device
        steepness = 1.25 if dtype is Dtype.FLOAT32 else 0.0
        flushes = dtype is not Dtype.FLOAT16
        return replace(Profile.of(dtype), summation=Summation.ANY, flush_to_zero=flushes, steepness=steepness)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over; MLX's arrays know no strides."""
        made = self.from_numpy(modules, operand.values, device).astype(
            getattr(modules.mx, operand.dtype.label)
        )
        modules.mx.eval(made)  # what is still to be computed is computed in this thread, and in no other
        return made

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand a NumPy array over in its own dtype, which MLX would narrow unasked."""
        return modules.mx.array(values, getattr(modules.mx, str(values.dtype), None))

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return an array behind so many rows of one number."""
        mx = modules.mx
        return mx.concatenate([mx.full((rows, *tensor.shape[1:]), fill, tensor.dtype), tensor])

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take an array back."""
        values = np.array(tensor.astype(modules.mx.float64))
        return Output(values, str(tensor.dtype).removeprefix("mlx.core."))

    def gradients(
        self, modules: Modules, function: Function, tensors: Sequence[Any], upstream: Any
    ) -> Sequence[Any]:
        """Ask ``mx.vjp``."""
        mx = modules.mx
        result = function(*tensors)
        seed = mx.ones_like(result) if upstream is None else upstream.astype(result.dtype)
        found: Sequence[Any] = mx.vjp(function, list(tensors), [seed])[1]
        return found

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Ask ``mx.jvp``."""
        return modules.mx.jvp(function, [tensor], [direction.astype(tensor.dtype)])[1][0]

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Ask ``mx.compile``."""
        made: Function = modules.mx.compile(function)
        return made

    def batched(self, modules: Modules, function: Function) -> Function:
        """Ask ``mx.vmap``."""
        made: Function = modules.mx.vmap(function)
        return made

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Write ``mlx.nn.log_softmax`` out, which is compiled, and in 0.32.4 crashes on arrays of one class."""
        mx = modules.mx
        shifted = tensor - mx.stop_gradient(mx.max(tensor, axis=-1, keepdims=True))
        return shifted - mx.logsumexp(shifted, axis=-1, keepdims=True)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Ask ``mlx.nn.losses.cross_entropy`` with probabilities as targets."""
        return modules.nn.losses.cross_entropy(call.model, call.target)
