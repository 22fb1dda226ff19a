"""PaddlePaddle: its KL divergence as function and module."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype

DOCS = "https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/"
DTYPES = (Dtype.FLOAT64, Dtype.FLOAT32)  # "It's data type should be float32, float64."
MODEL = frozenset({Side.MODEL})  # a label is not differentiated
TRANSFORMS = frozenset({Transform.JOINT, Transform.DEFERRED, Transform.INFERENCE})


def _function(modules: Any, call: Call) -> Any:
    kl_div = modules.paddle.nn.functional.kl_div
    return kl_div(*call.arguments, log_target=call.log_target, **call.keywords)


def _module(modules: Any, call: Call) -> Any:
    return modules.paddle.nn.KLDivLoss(log_target=call.log_target, **call.keywords)(*call.arguments)


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

IMPLEMENTATIONS = (
    Implementation(
        name="paddle.nn.functional.kl_div",
        framework="paddle",
        package="paddlepaddle",
        convention=POINTWISE,
        call=_function,
        documentation=DOCS + "functional/kl_div_en.html",
        dtypes=DTYPES,
        broadcasts=False,
        gradients=MODEL,
        transforms=TRANSFORMS,
    ),
    Implementation(
        name="paddle.nn.KLDivLoss",
        framework="paddle",
        package="paddlepaddle",
        convention=POINTWISE,
        call=_module,
        documentation=DOCS + "KLDivLoss_en.html",
        dtypes=DTYPES,
        broadcasts=False,
        gradients=MODEL,
        transforms=TRANSFORMS,
    ),
)
