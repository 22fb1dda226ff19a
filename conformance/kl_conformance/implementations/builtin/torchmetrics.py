"""TorchMetrics KL divergence, function and metric."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Function, Transform
from kl_conformance.implementations.implementation import Implementation, of_rows
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype

DOCS = "https://lightning.ai/docs/torchmetrics/stable/regression/kl_divergence.html#"
# "Half precision is only support on GPU for this metric."
DTYPES = (Dtype.FLOAT64, Dtype.FLOAT32)


def _function(modules: Any, call: Call) -> Any:
    def function(p: Any, q: Any) -> Any:
        kl_divergence = modules.torchmetrics.functional.regression.kl_divergence
        return kl_divergence(p, q, log_prob=call.log_target, **_reduction(call))

    return _in_rows(call, function)


def _metric(modules: Any, call: Call) -> Any:
    def metric(p: Any, q: Any) -> Any:
        made = modules.torchmetrics.regression.KLDivergence(log_prob=call.log_target, **_reduction(call))
        return made.to(p.device)(p, q)

    return _in_rows(call, metric)


def _reduction(call: Call) -> dict[str, Any]:
    return {name: value for name, value in call.keywords.items() if name != "axis"}


def _in_rows(call: Call, function: Function) -> Any:
    """Call a function with tensors of shape (N, d), as documented; unreduced, restore the batch axes."""
    p, q = call.arguments
    if p.ndim == 2 or p.shape != q.shape:
        return function(p, q)
    answer = function(p.reshape(-1, p.shape[-1]), q.reshape(-1, q.shape[-1]))
    return answer.reshape(p.shape[:-1]) if call.reduction == "none" else answer


OF_PROBABILITIES = replace(
    of_rows(Space.PROBABILITY, normalise=True),
    reductions={"none": Reduction.ROWS, "sum": Reduction.SUM, "mean": Reduction.ROWMEAN},
    default="mean",
)
# Both arguments are in one space, and only probabilities are normalised: hence two Conventions, not two spaces.
OF_LOGARITHMS = replace(OF_PROBABILITIES, target=(Space.LOG,), model=(Space.LOG,), normalise=False)
# With "none" the metric returns a 0-D number for a single row, as every metric of this library does.
OF_METRIC = replace(OF_PROBABILITIES, reductions={"sum": Reduction.SUM, "mean": Reduction.ROWMEAN}, default="mean")

FUNCTION = Implementation(
    name="torchmetrics.functional.regression.kl_divergence",
    framework="torch",
    package="torchmetrics",
    requires=("torchmetrics",),
    convention=OF_PROBABILITIES,
    call=_function,
    transforms=frozenset({Transform.JOINT, Transform.DEFERRED}),
    documentation=DOCS + "torchmetrics.functional.kl_divergence",
    dtypes=DTYPES,
    broadcasts=False,
)

IMPLEMENTATIONS = (
    FUNCTION,
    replace(FUNCTION, name=f"{FUNCTION.name}(log_prob)", convention=OF_LOGARITHMS),
    replace(
        FUNCTION,
        name="torchmetrics.regression.KLDivergence",
        convention=OF_METRIC,
        call=_metric,
        documentation=DOCS + "torchmetrics.KLDivergence",
    ),
)
