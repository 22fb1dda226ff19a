"""PaddlePaddle KL divergence, function and module."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import KL_DIV, Implementation
from kl_reference.convention import Side
from kl_reference.dtype import Dtype

DOCS = "https://www.paddlepaddle.org.cn/documentation/docs/en/api/paddle/nn/"


def _function(modules: Any, call: Call) -> Any:
    kl_div = modules.paddle.nn.functional.kl_div
    return kl_div(*call.arguments, log_target=call.log_target, **call.keywords)


def _module(modules: Any, call: Call) -> Any:
    return modules.paddle.nn.KLDivLoss(log_target=call.log_target, **call.keywords)(*call.arguments)


FUNCTION = Implementation(
    name="paddle.nn.functional.kl_div",
    framework="paddle",
    package="paddlepaddle",
    convention=KL_DIV,
    call=_function,
    documentation=DOCS + "functional/kl_div_en.html",
    dtypes=(Dtype.FLOAT64, Dtype.FLOAT32),  # "It's data type should be float32, float64."
    broadcasts=False,
    gradients=frozenset({Side.MODEL}),  # a label has no gradient
    transforms=frozenset({Transform.JOINT, Transform.DEFERRED, Transform.INFERENCE}),
)

IMPLEMENTATIONS = (
    FUNCTION,
    replace(FUNCTION, name="paddle.nn.KLDivLoss", call=_module, documentation=DOCS + "KLDivLoss_en.html"),
)
