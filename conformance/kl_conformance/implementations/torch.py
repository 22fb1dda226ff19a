"""PyTorch: kl_div as function and module, and the divergence of two Categorical distributions."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kl_cases.layouts import LAYOUTS
from kl_conformance.implementation import Call, Framework, Implementation, Modules, Output, Spelling
from kl_reference.convention import Convention, Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.precision import Profile
from kl_reference.problem import Operand

DOCS = "https://docs.pytorch.org/docs/stable/"


class Torch(Framework):
    """Tensors of PyTorch, on the CPU and on CUDA."""

    name = "torch"
    devices = ("cpu", "cuda")
    strided = True

    def load(self) -> Modules:
        """Import torch."""
        return Modules({"torch": importlib.import_module("torch")})

    def absent(self, modules: Modules, device: str) -> str | None:
        """Return why CUDA cannot be asked here."""
        if device == "cuda" and not modules.torch.cuda.is_available():
            return f"torch {modules.torch.__version__} sees no CUDA device on this machine"
        return Framework.absent(self, modules, device)

    def profile(self, dtype: Dtype, device: str) -> Profile:
        """Return the default profile: torch's kernels keep subnormals on both devices."""
        del device
        return Profile.of(dtype)

    def tensor(self, modules: Modules, operand: Operand, device: str, layout: str) -> Any:
        """Hand an operand over without copying, so that its strides arrive as they are."""
        torch = modules.torch
        view = LAYOUTS[layout](operand.values)
        if not view.flags.writeable:  # torch warns about read-only memory, which an expanded view is
            base = torch.from_numpy(np.ascontiguousarray(view[:1]))
            tensor = base.expand(view.shape)
        else:
            tensor = torch.from_numpy(view)
        if operand.dtype is Dtype.BFLOAT16:
            tensor = _like_strides(torch, tensor, torch.bfloat16)
        return tensor.to(device)

    def raw(self, modules: Modules, values: NDArray[Any], device: str) -> Any:
        """Hand a NumPy array over in its own dtype."""
        return modules.torch.from_numpy(np.array(values)).to(device)

    def led(self, modules: Modules, tensor: Any, rows: int, fill: float) -> Any:
        """Return a tensor behind so many rows of one number."""
        whole = tensor.new_full((rows + tensor.shape[0], *tensor.shape[1:]), fill)
        whole[rows:] = tensor
        return whole

    def output(self, modules: Modules, tensor: Any) -> Output:
        """Take a tensor back."""
        torch = modules.torch
        values = tensor.detach().to("cpu").to(torch.float64).numpy()
        return Output(np.asarray(values, dtype=np.float64), str(tensor.dtype).removeprefix("torch."))

    def differentiate(
        self,
        modules: Modules,
        function: Callable[[Any], Any],
        tensor: Any,
        upstream: NDArray[np.float64] | None,
        dtype: Dtype,
    ) -> Any:
        """Differentiate by autograd."""
        torch = modules.torch
        leaf = tensor.detach().requires_grad_(True)
        result = function(leaf)
        seed = torch.ones_like(result)
        if upstream is not None:
            seed = torch.from_numpy(upstream).to(result.dtype).to(result.device)
        (gradient,) = torch.autograd.grad(result, leaf, seed)
        return gradient

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


def _like_strides(torch: Any, tensor: Any, dtype: Any) -> Any:
    """Convert to another dtype, keeping the strides (``to`` alone makes gaps and expansions disappear)."""
    if 0 in tensor.stride() and tensor.numel():
        return tensor[:1].to(dtype).expand(tensor.shape)
    result = torch.empty_strided(tensor.shape, tensor.stride(), dtype=dtype)
    return result.copy_(tensor)


def _functional(modules: Any, call: Call) -> Any:
    with warnings.catch_warnings():
        # torch warns that "mean" does not divide by the batch; that is the documented Convention asked here.
        warnings.filterwarnings("ignore", message="reduction: 'mean' divides", category=UserWarning)
        return modules.torch.nn.functional.kl_div(
            call.model, call.target, log_target=call.log_target, **call.keywords
        )


def _module(modules: Any, call: Call) -> Any:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="reduction: 'mean' divides", category=UserWarning)
        loss = modules.torch.nn.KLDivLoss(log_target=call.log_target, **call.keywords)
        return loss(call.model, call.target)


def _data_as_arguments(modules: Any, call: Call) -> Any:
    return modules.torch.nn.KLDivLoss(call.model, call.target)


def _tensor_as_axis(modules: Any, call: Call) -> Any:
    nn = modules.torch.nn
    return nn.KLDivLoss()(nn.LogSoftmax(call.model), call.target)


def _attribute_as_input(modules: Any, call: Call) -> Any:
    nn = modules.torch.nn
    return nn.KLDivLoss()(nn.LogSoftmax(dim=1).dim, call.target)


def _categorical(modules: Any, call: Call) -> Any:
    distributions = modules.torch.distributions
    return distributions.kl_divergence(
        distributions.Categorical(logits=call.target), distributions.Categorical(logits=call.model)
    )


POINTWISE = Convention(
    target=(Space.PROBABILITY, Space.LOG),
    model=(Space.LOG,),
    reductions={
        "none": Reduction.TERMS,
        "sum": Reduction.SUM,
        "mean": Reduction.MEAN,
        "batchmean": Reduction.BATCHMEAN,
    },
    default="mean",
)

# Either of the two overrides `reduction`, and reduce=False makes size_average nothing.
LEGACY = (
    Spelling({"size_average": True}, Reduction.MEAN),
    Spelling({"size_average": False}, Reduction.SUM),
    Spelling({"reduce": True}, Reduction.MEAN),
    Spelling({"reduce": False}, Reduction.TERMS),
    Spelling({"size_average": True, "reduce": False}, Reduction.TERMS),
    Spelling({"size_average": False, "reduce": True}, Reduction.SUM),
    Spelling({"size_average": True, "reduction": "none"}, Reduction.MEAN),
    Spelling({"size_average": False, "reduction": "batchmean"}, Reduction.SUM),
)

IMPLEMENTATIONS = (
    Implementation(
        name="torch.nn.functional.kl_div",
        framework="torch",
        package="torch",
        convention=POINTWISE,
        call=_functional,
        documentation=DOCS + "generated/torch.nn.functional.kl_div.html",
        compares_distributions=False,
        legacy=LEGACY,
    ),
    Implementation(
        name="torch.nn.KLDivLoss",
        framework="torch",
        package="torch",
        convention=POINTWISE,
        call=_module,
        documentation=DOCS + "generated/torch.nn.KLDivLoss.html",
        compares_distributions=False,
        legacy=LEGACY,
        mistakes={
            "KLDivLoss(DATA1, DATA2)": _data_as_arguments,
            "LogSoftmax(x) for its answer": _tensor_as_axis,
            "LogSoftmax(dim=1).dim for its answer": _attribute_as_input,
        },
    ),
    Implementation(
        name="torch.distributions.kl_divergence",
        framework="torch",
        package="torch",
        convention=Convention(
            target=(Space.LOGITS,), model=(Space.LOGITS,), reductions={"none": Reduction.ROWS}, axis=-1
        ),
        call=_categorical,
        documentation=DOCS + "distributions.html#torch.distributions.kl.kl_divergence",
    ),
)
