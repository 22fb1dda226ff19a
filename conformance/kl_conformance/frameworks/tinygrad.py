"""tinygrad: tensors on the CPU, whose kernels clang compiles."""

import importlib
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile, Summation


class Tinygrad(Framework):
    """tinygrad tensors, which are evaluated lazily."""

    name = "tinygrad"
    compiles_per_shape = True
    transforms = frozenset({Transform.JOINT, Transform.DEFERRED, Transform.CURVATURE})

    def load(self) -> Modules:
        """Import tinygrad and select the CPU."""
        os.environ.setdefault("DEV", "CPU")
        return Modules({"tinygrad": importlib.import_module("tinygrad")})

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile, except for exp, and for sums, which are taken in any order.

        exp x is 2^(x·log₂ e), whose error is that of rounding x·log₂ e and log₂ e itself: less than 1.75·|x| u.

        Source: https://github.com/tinygrad/tinygrad/blob/master/tinygrad/mixin/elementwise.py
        """
        del device
        steepness = 0.0 if dtype in {Dtype.FLOAT16, Dtype.BFLOAT16} else 1.75
        return replace(Profile.of(dtype), summation=Summation.ANY, steepness=steepness)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand as an evaluated tensor; users cannot choose a tensor's strides."""
        return self.from_numpy(modules, operand.values, device).cast(operand.dtype.label).contiguous().realize()

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as a tensor of the same dtype."""
        return modules.tinygrad.Tensor(np.array(values), device=device.upper())

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor with rows of one number before its own."""
        full = modules.tinygrad.Tensor.full
        return full((rows, *tensor.shape[1:]), fill, dtype=tensor.dtype, device=tensor.device).cat(tensor)

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return a tensor as float64 values, with its dtype."""
        values = tensor.cast("float64").numpy()
        name = str(tensor.dtype.name)
        known = {"double": "float64", "float": "float32", "half": "float16", "__bf16": "bfloat16"}
        return Output(np.asarray(values, dtype=np.float64), known.get(name, name))

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate with ``Tensor.gradient``; the graph lives as long as the result."""
        del retain
        result = function(*tensors)

        def backward(upstream: Any) -> Sequence[Any]:
            seed = result.ones_like() if upstream is None else upstream.cast(result.dtype)
            found: Sequence[Any] = result.gradient(*tensors, gradient=seed)
            return found

        return backward

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Call ``Tensor.log_softmax``."""
        return tensor.log_softmax(-1)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``Tensor.cross_entropy``, whose class axis is axis 1."""
        return call.model.transpose(1, -1).cross_entropy(call.target.transpose(1, -1), reduction="none")
