"""PyTorch: tensors on CPU and CUDA, autograd, torch.func, torch.compile."""

import importlib
import os
import shutil
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FunctionType, MappingProxyType
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from kl_cases.layouts import LAYOUTS
from kl_conformance.errors import AbsentError
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.framework import Framework, Modules, Output
from kl_conformance.frameworks.process_state import RandomSource
from kl_conformance.frameworks.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand
from kl_reference.tolerance import Profile

REDUCTION_WARNING = "reduction: 'mean' divides"  # a warning about documented behaviour, which is what is tested


class Torch(Framework):
    """PyTorch tensors on CPU and CUDA."""

    name = "torch"
    devices = ("cpu", "cuda")
    strided = True
    transforms = frozenset(Transform)
    compilers = ("torch.compile",)
    compiled_modes = MappingProxyType({"compile": "torch.compile"})
    slow_transforms = frozenset({Transform.COMPILED})
    unsupported_compiled = MappingProxyType(
        {
            # https://github.com/pytorch/pytorch/issues/91469 and /128711
            Transform.CURVATURE: "torch.compile does not support double backward",
            Transform.TANGENT: "torch.func.jvp does not take a compiled function: jvp itself has to be compiled",
            Transform.PER_ROW: "torch.func.vmap does not take a compiled function: vmap itself has to be compiled",
        }
    )
    # The first backward pass frees the buffers of a compiled graph: a second one raises.
    may_refuse_compiled = frozenset({Transform.DEFERRED})

    def load(self) -> Modules:
        """Import torch; select it as the backend of Keras."""
        os.environ.setdefault("KERAS_BACKEND", self.name)
        return Modules({"torch": importlib.import_module("torch")})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA is not available."""
        if device == "cuda" and not modules.torch.cuda.is_available():
            return f"torch {modules.torch.__version__} finds no CUDA device on this machine"
        return Framework.unavailable(self, modules, device)

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile: torch's kernels keep subnormals on both devices."""
        del device
        return Profile.of(dtype)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Return an operand with the whole memory it is a view of: strides and offset are preserved."""
        torch = modules.torch
        view = LAYOUTS[layout](operand.values)
        whole = view
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        if not whole.flags.writeable:  # torch warns about read-only memory
            view = whole = view.copy()
        dtype = torch.bfloat16 if operand.dtype is Dtype.BFLOAT16 else None
        storage = torch.from_numpy(whole.reshape(-1, order="A")).to(device, dtype)
        offset = (view.ctypes.data - whole.ctypes.data) // view.itemsize
        return storage.as_strided(view.shape, [step // view.itemsize for step in view.strides], offset)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Return a NumPy array as a tensor of the same dtype."""
        return modules.torch.from_numpy(np.array(values)).to(device)

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor with rows of one number before its own."""
        whole = tensor.new_full((rows + tensor.shape[0], *tensor.shape[1:]), fill)
        whole[rows:] = tensor
        return whole

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Return a tensor as float64 values, with its dtype."""
        torch = modules.torch
        values = tensor.detach().to("cpu").to(torch.float64).numpy()
        return Output(np.asarray(values, dtype=np.float64), str(tensor.dtype).removeprefix("torch."))

    def overwrite(self, modules: Modules, tensor: Any, other: Any) -> None:
        """Copy the values in place."""
        tensor.copy_(other)

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate with autograd; every tensor is a separate leaf.

        A graph is retained only on request: a graph of torch.compile frees its buffers and raises if it is retained.
        """
        torch = modules.torch
        leaves = [tensor.detach().requires_grad_(True) for tensor in tensors]
        result = function(*leaves)

        def backward(upstream: Any) -> Sequence[Any]:
            seed = _seed(torch, result, upstream)
            found: Sequence[Any] = torch.autograd.grad(result, leaves, seed, retain_graph=retain)
            return found

        return backward

    def curvature(self, modules: Modules, function: Function, tensor: Any, direction: Any, upstream: Any) -> Any:
        """Differentiate twice with autograd; a gradient that does not depend on the tensor has derivative 0."""
        torch = modules.torch
        leaf = tensor.detach().requires_grad_(True)
        result = function(leaf)
        # A backward marked once_differentiable raises only if the upstream gradient requires a gradient, too.
        seed = _seed(torch, result, upstream).detach().requires_grad_(True)
        (first,) = torch.autograd.grad(result, leaf, seed, create_graph=True)
        if not first.requires_grad:
            return torch.zeros_like(leaf)
        # Not autograd.grad, which skips the node that raises: none of its tensors depends on the leaf.
        first.backward(direction.to(first.dtype))
        return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Call ``torch.func.jvp``."""
        _, tangent = _since_2(modules.torch, "func").jvp(function, (tensor,), (direction,))
        return tangent

    def batchable_gradient(self, modules: Modules, function: Function, tensor: Any) -> Any:
        """Call ``torch.func.vjp``, which vmap can batch."""
        value, pull = _since_2(modules.torch, "func").vjp(function, tensor)
        (found,) = pull(modules.torch.ones_like(value))
        return found

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Compile with TorchDynamo and Inductor, whose CPU kernels are C++; never fall back to eager.

        Dynamo limits the number of compilations per code object: each call compiles a new copy of the code object.
        """
        if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
            raise AbsentError("torch.compile needs a C++ compiler; found none on this machine")
        plain = cast(FunctionType, function)
        code, name = plain.__code__.replace(), plain.__name__
        own = FunctionType(code, plain.__globals__, name, plain.__defaults__, plain.__closure__)
        made: Function = _since_2(modules.torch, "compile")(own, dynamic=False, fullgraph=True)
        return _quietly(made, REDUCTION_WARNING)

    def batched(self, modules: Modules, function: Function) -> Function:
        """Call ``torch.func.vmap``, without its warning about performance."""
        return _quietly(_since_2(modules.torch, "func").vmap(function), "There is a performance drop")

    def autocast(self, modules: Modules, device: str) -> AbstractContextManager[Any]:
        """Return ``torch.autocast`` with bfloat16, which every device supports."""
        region: AbstractContextManager[Any] = modules.torch.autocast(device, modules.torch.bfloat16)
        return region

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return the default dtype and device, the modes of autograd and determinism, and the number of threads."""
        torch = modules.torch
        return {
            "torch's default dtype": torch.get_default_dtype(),
            "torch's default device": str(torch.empty(0).device),
            "whether torch computes gradients": torch.is_grad_enabled(),
            "whether torch is in inference mode": torch.is_inference_mode_enabled(),
            "whether torch uses deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
            "torch's number of threads": torch.get_num_threads(),
            "whether torch may use TF32": torch.backends.cuda.matmul.allow_tf32,
        }

    def random_sources(self, modules: Modules) -> Mapping[str, RandomSource]:
        """Return the generator of the CPU, and that of CUDA if it is available."""
        torch = modules.torch

        def shared(device: str, state: Callable[[], Any]) -> RandomSource:
            return RandomSource(lambda: torch.rand((), device=device), lambda: state().cpu().numpy().tobytes())

        found = {"torch's random generator": shared("cpu", torch.get_rng_state)}
        if torch.cuda.is_available():
            found["torch's random generator on CUDA"] = shared("cuda", torch.cuda.get_rng_state)
        return found

    def inference(self, modules: Modules) -> AbstractContextManager[Any]:
        """Return ``torch.inference_mode``."""
        region: AbstractContextManager[Any] = modules.torch.inference_mode()
        return region

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Call ``torch.log_softmax``."""
        return modules.torch.log_softmax(tensor, -1)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``torch.nn.functional.cross_entropy`` with probabilities as targets."""
        functional = modules.torch.nn.functional
        return functional.cross_entropy(call.model, call.target, reduction="none")

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Sum ``torch.special.entr``."""
        return modules.torch.special.entr(call.target).sum(-1)

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Call ``torch.nn.functional.kl_div`` without reduction."""
        return modules.torch.nn.functional.kl_div(call.model.log(), call.target, reduction="none")


def _since_2(torch: Any, name: str) -> Any:
    if not hasattr(torch, name):
        raise AbsentError(f"torch {torch.__version__} has no torch.{name}; install torch 2.0 or later")
    return getattr(torch, name)


def _seed(torch: Any, result: Any, upstream: Any) -> Any:
    """Return the upstream gradient in the result's dtype, in its own memory layout; ones where it is None."""
    return torch.ones_like(result) if upstream is None else _as(torch, upstream, result.dtype)


def _as(torch: Any, tensor: Any, dtype: Any) -> Any:
    return tensor if tensor.dtype == dtype else _like_strides(torch, tensor, dtype)


def _like_strides(torch: Any, tensor: Any, dtype: Any) -> Any:
    """Convert to another dtype and keep the memory layout: gaps, their contents and expanded axes."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    length = 1 + sum((size - 1) * stride for size, stride in steps) if tensor.numel() else 0
    whole = tensor.as_strided((length,), (1,)).to(dtype)
    return whole.as_strided(tensor.shape, tensor.stride())


@contextmanager
def ignore_warning(message: str) -> Generator[None]:
    """Suppress torch's warnings that begin with a message."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield


def _quietly(function: Function, message: str) -> Function:
    def quiet(*tensors: Any) -> Any:
        with ignore_warning(message):
            return function(*tensors)

    return quiet
