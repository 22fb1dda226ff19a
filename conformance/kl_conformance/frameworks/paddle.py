"""PaddlePaddle: tensors on CPU and CUDA, autograd."""

import importlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
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


class Paddle(Framework):
    """PaddlePaddle tensors in dynamic mode."""

    name = "paddle"
    devices = ("cpu", "cuda")
    transforms = frozenset({Transform.JOINT, Transform.DEFERRED, Transform.INFERENCE})

    def load(self) -> Modules:
        """Import paddle."""
        return Modules({"paddle": importlib.import_module("paddle")})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA is not available."""
        paddle = modules.paddle
        if device == "cuda" and not (paddle.is_compiled_with_cuda() and paddle.device.cuda.device_count()):
            return f"paddle {paddle.__version__} finds no CUDA device on this machine"
        return Framework.unavailable(self, modules, device)

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile, except for sums, which are taken about sixteen terms at a time."""
        del device
        return replace(Profile.of(dtype), summation=Summation.ANY)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand as a contiguous tensor."""
        return self.from_numpy(modules, operand.values, device).astype(operand.dtype.label)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as a tensor of the same dtype."""
        paddle = modules.paddle
        place = paddle.CUDAPlace(0) if device == "cuda" else paddle.CPUPlace()
        return paddle.to_tensor(np.array(values), place=place)

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor with rows of one number before its own."""
        paddle = modules.paddle
        return paddle.concat([paddle.full([rows, *tensor.shape[1:]], fill, tensor.dtype), tensor])

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return a tensor as float64 values, with its dtype."""
        values = tensor.detach().astype("float64").numpy()
        return Output(np.asarray(values, dtype=np.float64), str(tensor.dtype).removeprefix("paddle."))

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate with autograd; every tensor is a separate leaf."""
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
        """Return ``paddle.no_grad``."""
        region: AbstractContextManager[Any] = modules.paddle.no_grad()
        return region

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Call ``paddle.nn.functional.log_softmax``."""
        return modules.paddle.nn.functional.log_softmax(tensor, -1)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``paddle.nn.functional.cross_entropy`` with probabilities as labels."""
        cross_entropy = modules.paddle.nn.functional.cross_entropy
        return cross_entropy(call.model, call.target, reduction="none", soft_label=True).squeeze(-1)
