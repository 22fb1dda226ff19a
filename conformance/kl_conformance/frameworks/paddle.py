"""PaddlePaddle: its tensors on the CPU and on CUDA, and autograd."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_conformance.framework import Framework, Modules, Output
from kl_conformance.implementation import Call
from kl_conformance.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile, Summation
from kl_reference.problem import Operand


class Paddle(Framework):
    """Tensors of PaddlePaddle in dynamic mode."""

    name = "paddle"
    devices = ("cpu", "cuda")
    transforms = frozenset({Transform.JOINT, Transform.DEFERRED, Transform.INFERENCE})

    def load(self) -> Modules:
        """Import paddle."""
        return Modules({"paddle": importlib.import_module("paddle")})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA cannot be asked here."""
        paddle = modules.paddle
        if device == "cuda" and not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
            return f"paddle {paddle.__version__} sees no CUDA device on this machine"
        return Framework.unavailable(self, modules, device)

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile, but sums: those of one call are added up some sixteen at a time, however many."""
        del device
        return replace(Profile.of(dtype), summation=Summation.ANY)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over; layouts are for libraries whose users make views of other strides."""
        return self.from_numpy(modules, operand.values, device).astype(operand.dtype.label)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand a NumPy array over in its own dtype."""
        paddle = modules.paddle
        place = paddle.CUDAPlace(0) if device == "cuda" else paddle.CPUPlace()
        return paddle.to_tensor(np.array(values), place=place)

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor behind so many rows of one number."""
        paddle = modules.paddle
        return paddle.concat([paddle.full([rows, *tensor.shape[1:]], fill, tensor.dtype), tensor])

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take a tensor back."""
        values = tensor.detach().astype("float64").numpy()
        return Output(np.asarray(values, dtype=np.float64), str(tensor.dtype).removeprefix("paddle."))

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate by autograd, every tensor a leaf of its own."""
        paddle, leaves = modules.paddle, [tensor.detach() for tensor in tensors]
        for leaf in leaves:
            leaf.stop_gradient = False
        result = function(*leaves)

        def backward(upstream: Any) -> Sequence[Any]:
            seed = paddle.ones_like(result) if upstream is None else upstream.astype(result.dtype)
            found: Sequence[Any] = paddle.grad(result, leaves, seed, retain_graph=retain)
            return found

        return backward

    def inference(self, modules: Modules) -> AbstractContextManager[Any]:
        """Ask ``paddle.no_grad``."""
        region: AbstractContextManager[Any] = modules.paddle.no_grad()
        return region

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Ask ``paddle.nn.functional.log_softmax``."""
        return modules.paddle.nn.functional.log_softmax(tensor, -1)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Ask ``paddle.nn.functional.cross_entropy`` with probabilities as labels."""
        ask = modules.paddle.nn.functional.cross_entropy
        return ask(call.model, call.target, reduction="none", soft_label=True).squeeze(-1)
