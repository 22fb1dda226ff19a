"""PyTorch: its tensors on the CPU and on CUDA, autograd, torch.func and torch.compile."""

from __future__ import annotations

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
from kl_conformance.framework import Framework, Modules, Output
from kl_conformance.implementation import AbsentError, Call
from kl_conformance.surroundings import RandomSource
from kl_conformance.transform import Function, Pullback, Transform
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile
from kl_reference.problem import Operand

REDUCTION_WARNING = (
    "reduction: 'mean' divides"  # a warning about the documented Convention, which is what is asked here
)


class Torch(Framework):
    """Tensors of PyTorch, on the CPU and on CUDA."""

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
            Transform.TANGENT: "torch.func.jvp takes no compiled function: it is to be compiled itself",
            Transform.PER_ROW: "torch.func.vmap takes no compiled function: it is to be compiled itself",
        }
    )
    may_refuse_compiled = frozenset(
        {Transform.DEFERRED}
    )  # buffers given up to the first backward pass: a second one is refused

    def load(self) -> Modules:
        """Import torch; Keras, where it is asked for, is to run on it."""
        os.environ.setdefault("KERAS_BACKEND", self.name)
        return Modules({"torch": importlib.import_module("torch")})

    def unavailable(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA cannot be asked here."""
        if device == "cuda" and not modules.torch.cuda.is_available():
            return f"torch {modules.torch.__version__} sees no CUDA device on this machine"
        return Framework.unavailable(self, modules, device)

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile: torch's kernels keep subnormals on both devices."""
        del device
        return Profile.of(dtype)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over with all the memory it is a view of: strides and offset arrive as they are."""
        torch = modules.torch
        view = LAYOUTS[layout](operand.values)
        whole = view
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        if not whole.flags.writeable:  # torch warns about memory that is read-only
            view = whole = view.copy()
        dtype = torch.bfloat16 if operand.dtype is Dtype.BFLOAT16 else None
        storage = torch.from_numpy(whole.reshape(-1, order="A")).to(device, dtype)
        offset = (view.ctypes.data - whole.ctypes.data) // view.itemsize
        return storage.as_strided(view.shape, [step // view.itemsize for step in view.strides], offset)

    def from_numpy(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand a NumPy array over in its own dtype."""
        return modules.torch.from_numpy(np.array(values)).to(device)

    def prepend_rows(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor behind so many rows of one number."""
        whole = tensor.new_full((rows + tensor.shape[0], *tensor.shape[1:]), fill)
        whole[rows:] = tensor
        return whole

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take a tensor back."""
        torch = modules.torch
        values = tensor.detach().to("cpu").to(torch.float64).numpy()
        return Output(np.asarray(values, dtype=np.float64), str(tensor.dtype).removeprefix("torch."))

    def overwrite(self, modules: Modules, tensor: Any, other: Any) -> None:
        """Copy the numbers in place."""
        tensor.copy_(other)

    def pullback(
        self, modules: Modules, function: Function, tensors: Sequence[Any], *, retain: bool = False
    ) -> Pullback:
        """Differentiate by autograd, every tensor a leaf of its own.

        A graph is kept only where need be: what torch.compile made gives up its buffers, and refuses to keep them.
        """
        torch = modules.torch
        leaves = [tensor.detach().requires_grad_(True) for tensor in tensors]
        result = function(*leaves)

        def backward(upstream: Any) -> Sequence[Any]:
            seed = _seed(torch, result, upstream)
            found: Sequence[Any] = torch.autograd.grad(result, leaves, seed, retain_graph=retain)
            return found

        return backward

    def curvature(
        self, modules: Modules, function: Function, tensor: Any, direction: Any, upstream: Any
    ) -> Any:
        """Differentiate twice by autograd; a gradient that no longer hangs on the tensor has none."""
        torch = modules.torch
        leaf = tensor.detach().requires_grad_(True)
        result = function(leaf)
        # A backward marked once_differentiable refuses only where what arrives from above can be differentiated too.
        seed = _seed(torch, result, upstream).detach().requires_grad_(True)
        (first,) = torch.autograd.grad(result, leaf, seed, create_graph=True)
        if not first.requires_grad:
            return torch.zeros_like(leaf)
        # Not autograd.grad, which goes past a refusal: none of its tensors hangs on the leaf.
        first.backward(direction.to(first.dtype))
        return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad

    def tangent(self, modules: Modules, function: Function, tensor: Any, direction: Any) -> Any:
        """Ask ``torch.func.jvp``."""
        _, tangent = _since_2(modules.torch, "func").jvp(function, (tensor,), (direction,))
        return tangent

    def batchable_gradient(self, modules: Modules, function: Function, tensor: Any) -> Any:
        """Ask ``torch.func.vjp``, which vmap knows how to batch."""
        value, pull = _since_2(modules.torch, "func").vjp(function, tensor)
        (found,) = pull(modules.torch.ones_like(value))
        return found

    def compiled(self, modules: Modules, compiler: str, function: Function) -> Function:
        """Compile by TorchDynamo and Inductor, whose kernels for the CPU are C++, and never fall back to eager.

        Dynamo counts what it compiled by code object, and gives up at a limit: this function has its own.
        """
        if not any(shutil.which(name) for name in ("c++", "g++", "clang++", "cl")):
            raise AbsentError("torch.compile needs a C++ compiler, and none is found on this machine")
        plain = cast(FunctionType, function)
        code, name = plain.__code__.replace(), plain.__name__
        own = FunctionType(code, plain.__globals__, name, plain.__defaults__, plain.__closure__)
        made: Function = _since_2(modules.torch, "compile")(own, dynamic=False, fullgraph=True)
        return _quietly(made, REDUCTION_WARNING)

    def batched(self, modules: Modules, function: Function) -> Function:
        """Ask ``torch.func.vmap``, which may be slow without saying so again."""
        return _quietly(_since_2(modules.torch, "func").vmap(function), "There is a performance drop")

    def autocast(self, modules: Modules, device: str) -> AbstractContextManager[Any]:
        """Ask ``torch.autocast`` with bfloat16, which every device knows."""
        region: AbstractContextManager[Any] = modules.torch.autocast(device, modules.torch.bfloat16)
        return region

    def settings(self, modules: Modules) -> Mapping[str, Any]:
        """Return the default dtype and device, the modes of autograd and determinism, and the number of threads."""
        torch = modules.torch
        return {
            "torch's default dtype": torch.get_default_dtype(),
            "torch's default device": str(torch.empty(0).device),
            "whether gradients are on": torch.is_grad_enabled(),
            "whether torch is in inference mode": torch.is_inference_mode_enabled(),
            "whether torch is to be deterministic": torch.are_deterministic_algorithms_enabled(),
            "torch's number of threads": torch.get_num_threads(),
            "whether torch may use TF32": torch.backends.cuda.matmul.allow_tf32,
        }

    def random_sources(self, modules: Modules) -> Mapping[str, RandomSource]:
        """Return the generator of the CPU, and where there is a GPU its own."""
        torch = modules.torch

        def shared(device: str, state: Callable[[], Any]) -> RandomSource:
            return RandomSource(
                lambda: torch.rand((), device=device), lambda: state().cpu().numpy().tobytes()
            )

        found = {"torch's random generator": shared("cpu", torch.get_rng_state)}
        if torch.cuda.is_available():
            found["torch's random generator on CUDA"] = shared("cuda", torch.cuda.get_rng_state)
        return found

    def inference(self, modules: Modules) -> AbstractContextManager[Any]:
        """Ask ``torch.inference_mode``."""
        region: AbstractContextManager[Any] = modules.torch.inference_mode()
        return region

    def log_softmax(self, modules: Modules, tensor: Any) -> Any:
        """Ask ``torch.log_softmax``."""
        return modules.torch.log_softmax(tensor, -1)

    def cross_entropy(self, modules: Modules, call: Call) -> Any:
        """Ask ``torch.nn.functional.cross_entropy`` with probabilities as targets."""
        functional = modules.torch.nn.functional
        return functional.cross_entropy(call.model, call.target, reduction="none")

    def entropy(self, modules: Modules, call: Call) -> Any:
        """Sum ``torch.special.entr``."""
        return modules.torch.special.entr(call.target).sum(-1)

    def relative_entropy(self, modules: Modules, call: Call) -> Any:
        """Ask ``torch.nn.functional.kl_div`` for its terms."""
        return modules.torch.nn.functional.kl_div(call.model.log(), call.target, reduction="none")


def _since_2(torch: Any, name: str) -> Any:
    if not hasattr(torch, name):
        raise AbsentError(f"torch {torch.__version__} has no torch.{name}, which came with 2.0")
    return getattr(torch, name)


def _seed(torch: Any, result: Any, upstream: Any) -> Any:
    """Return what arrives from above, in the result's dtype and as it lies in memory."""
    return torch.ones_like(result) if upstream is None else _as(torch, upstream, result.dtype)


def _as(torch: Any, tensor: Any, dtype: Any) -> Any:
    return tensor if tensor.dtype == dtype else _like_strides(torch, tensor, dtype)


def _like_strides(torch: Any, tensor: Any, dtype: Any) -> Any:
    """Convert to another dtype where everything lies: gaps, and what lies in them, and expansions stay."""
    steps = zip(tensor.shape, tensor.stride(), strict=True)
    length = 1 + sum((size - 1) * stride for size, stride in steps) if tensor.numel() else 0
    whole = tensor.as_strided((length,), (1,)).to(dtype)
    return whole.as_strided(tensor.shape, tensor.stride())


@contextmanager
def ignore_warning(message: str) -> Generator[None]:
    """Let torch's warnings that begin so go unsaid."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
        yield


def _quietly(function: Function, message: str) -> Function:
    def quiet(*tensors: Any) -> Any:
        with ignore_warning(message):
            return function(*tensors)

    return quiet
