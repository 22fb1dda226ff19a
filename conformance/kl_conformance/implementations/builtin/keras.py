"""Keras KL losses and metric, on each backend."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from kl_conformance.errors import AbsentError
from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import ALL_DTYPES, Implementation, Mixing, Weighting, of_rows
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype

DOCS = "https://keras.io/api/losses/probabilistic_losses/"


def _loss_class(modules: Any, call: Call) -> Any:
    loss = modules.keras.losses.KLDivergence(dtype=call.dtype.label, **call.keywords)
    return loss(*call.arguments, sample_weight=call.weights)


def _metric(modules: Any, call: Call) -> Any:
    metric = modules.keras.metrics.KLDivergence(dtype=call.dtype.label)
    return metric(*call.arguments, sample_weight=call.weights)


def _on(backend: str, function: Callable[[Any, Call], Any], modules: Any, call: Call) -> Any:
    """Call Keras on one of its backends, of which a process has one."""
    keras = modules.keras
    if keras.backend.backend() != backend:
        found = f"Keras runs on {keras.backend.backend()} in this process"
        raise AbsentError(f"{found}; unset KERAS_BACKEND, and test {backend} in a process of its own")
    # On torch Keras moves every tensor to its own device first, a GPU if one is available.
    with keras.device(call.model.device.type) if backend == "torch" else nullcontext():
        return function(modules, call)


# Keras documents a clip to [0, 1]; its source clips to [keras.config.epsilon(), 1], which is declared here.
CLIPPED = replace(of_rows(Space.PROBABILITY), clip=(1e-7, 1.0))

ON_TENSORFLOW = (
    Implementation(
        name="keras.losses.KLDivergence",
        framework="tensorflow",
        package="keras",
        convention=replace(
            CLIPPED,
            reductions={"none": Reduction.ROWS, "sum": Reduction.SUM, "sum_over_batch_size": Reduction.ROWMEAN},
            default="sum_over_batch_size",
        ),
        call=_loss_class,
        transforms=frozenset(Transform),
        documentation=DOCS + "#kldivergence-class",
        broadcasts=False,
        mixing=Mixing.REQUESTED,
        weightings=(
            Weighting("none", Reduction.ROWS),
            Weighting("sum", Reduction.SUM),
            Weighting("sum_over_batch_size", Reduction.ROWMEAN),
            Weighting("mean_with_sample_weight", Reduction.ROWMEAN, by_weights=True, versions=">=3.7"),
        ),
    ),
    Implementation(
        name="keras.losses.kl_divergence",
        framework="tensorflow",
        package="keras",
        convention=CLIPPED,
        call=lambda modules, call: modules.keras.losses.kl_divergence(*call.arguments),
        transforms=frozenset(Transform),
        documentation=DOCS + "#kl_divergence-function",
        broadcasts=False,
    ),
    Implementation(
        name="keras.metrics.KLDivergence",
        framework="tensorflow",
        package="keras",
        convention=replace(CLIPPED, reductions={"mean": Reduction.ROWMEAN}, default="mean"),
        call=_metric,
        # The metric accumulates in variables, which cuts the gradient.
        transforms=frozenset(),
        gradients=frozenset(),
        documentation="https://keras.io/api/metrics/probabilistic_metrics/#kldivergence-class",
        broadcasts=False,
        mixing=Mixing.REQUESTED,
        weightings=(Weighting("mean", Reduction.ROWMEAN, by_weights=True),),
    ),
)


# Keras converts float64 operands to float32 on every backend but TensorFlow's ("force to be 32-bit dtype"): a float64
# loss is a float32 number there. https://github.com/keras-team/keras/issues/23704
NARROW = (Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)
DTYPES = {"tensorflow": ALL_DTYPES, "torch": NARROW, "jax": NARROW}
POLICIES = {Transform.AUTOCAST: "Keras has dtype policies of its own and documents no behaviour under torch.autocast"}


def _on_backend(backend: str, own: Implementation) -> Implementation:
    return replace(
        own,
        name=own.name if backend == "tensorflow" else f"{own.name}({backend})",
        framework=backend,
        requires=("keras",),
        call=partial(_on, backend, own.call),
        dtypes=DTYPES[backend],
        unsupported_transforms=POLICIES if backend == "torch" else own.unsupported_transforms,
    )


IMPLEMENTATIONS = tuple(_on_backend(backend, each) for backend in DTYPES for each in ON_TENSORFLOW)
