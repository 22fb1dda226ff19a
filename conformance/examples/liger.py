"""Liger-Kernel's divergences as released, declared as documented."""

from __future__ import annotations

from dataclasses import replace
from threading import Lock
from typing import Any

from liger_kernel.transformers import LigerJSD, LigerKLDIVLoss

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations.implementation import Implementation
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype

URL = "https://github.com/linkedin/Liger-Kernel/blob/main/src/liger_kernel/"
DTYPES = (Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)  # every kernel here converts its inputs to float32
# Triton's interpreter patches triton.language while a kernel runs: there, one thread at a time.
LOCK = Lock()


def rows(tensor: Any) -> Any:
    """Return a tensor as (BT, V), the shape that is documented."""
    return tensor.reshape(-1, tensor.shape[-1] if tensor.dim() else 1)


class Scalar(float):
    """A float with the method ``to``, which Triton's interpreter does not add to numbers."""

    def to(self, dtype: Any) -> Scalar:
        """Return itself; the interpreter's tensors convert it."""
        del dtype
        return self


def kl_div(modules: Any, call: Call) -> Any:
    """Call LigerKLDIVLoss with the default eps."""
    del modules
    eps = 1e-10 if call.model.is_cuda else Scalar(1e-10)
    loss = LigerKLDIVLoss(eps, log_target=call.log_target, **call.keywords)
    with LOCK:
        found = loss(rows(call.model), rows(call.target))
    return found.reshape(call.model.shape) if found.dim() else found


def forward_kl(modules: Any, call: Call) -> Any:
    """Call LigerJSD for KL(P‖Q) with P as the teacher."""
    del modules
    with LOCK:
        return LigerJSD(beta=0.0)(rows(call.model), rows(call.target))


def reverse_kl(modules: Any, call: Call) -> Any:
    """Call LigerJSD for KL(P‖Q) with P as the student."""
    del modules
    with LOCK:
        return LigerJSD(beta=1.0)(rows(call.target), rows(call.model))


KL_DIV = Implementation(
    name="liger_kernel.transformers.LigerKLDIVLoss",
    framework="torch",
    package="liger-kernel",
    convention=Convention(
        target=(Space.PROBABILITY, Space.LOG),
        reductions={
            "none": Reduction.TERMS,
            "sum": Reduction.SUM,
            "mean": Reduction.MEAN,
            "batchmean": Reduction.ROWMEAN,
        },
        default="mean",
    ),
    call=kl_div,
    documentation=URL + "ops/kl_div.py",
    dtypes=DTYPES,
    gradients=frozenset({Side.MODEL}),
    broadcasts=False,
)

FORWARD_KL = Implementation(
    name="liger_kernel.transformers.LigerJSD(beta=0)",
    framework="torch",
    package="liger-kernel",
    convention=Convention(target=(Space.LOG,), reductions={"batchmean": Reduction.ROWMEAN}, default="batchmean"),
    call=forward_kl,
    documentation=URL + "transformers/jsd.py",
    dtypes=DTYPES,
    gradients=frozenset({Side.MODEL}),
    broadcasts=False,
)

REVERSE_KL = replace(
    FORWARD_KL, name="liger_kernel.transformers.LigerJSD(beta=1)", call=reverse_kl, gradients=frozenset({Side.TARGET})
)
