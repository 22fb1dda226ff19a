"""Keras: its KL losses and its KL metric, on each of its backends."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

from kl_conformance.implementation import ALL_DTYPES, AbsentError, Call, Implementation, Mixing, Weighting
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Reduction, Side, Space
from kl_reference.dtype import Dtype

DOCS = "https://keras.io/api/losses/probabilistic_losses/"


def _loss_class(modules: Any, call: Call) -> Any:
    loss = modules.keras.losses.KLDivergence(dtype=call.dtype.label, **call.keywords)
    return loss(*call.arguments, sample_weight=call.weights)


def _loss_function(modules: Any, call: Call) -> Any:
    return modules.keras.losses.kl_divergence(*call.arguments)


def _metric(modules: Any, call: Call) -> Any:
    metric = modules.keras.metrics.KLDivergence(dtype=call.dtype.label)
    return metric(*call.arguments, sample_weight=call.weights)


def _on(backend: str, ask: Callable[[Any, Call], Any], modules: Any, call: Call) -> Any:
    """Ask Keras on one of its backends, of which a process has one."""
    keras = modules.keras
    if keras.backend.backend() != backend:
        told = f"Keras runs on {keras.backend.backend()} in this process"
        raise AbsentError(f"{told}; unset KERAS_BACKEND, and ask for {backend} in a process of its own")
    # On torch every tensor is led to Keras's own device first, a GPU where there is one.
    with keras.device(call.model.device.type) if backend == "torch" else nullcontext():
        return ask(modules, call)


# Keras documents a clip to [0, 1]; its source clips to [keras.config.epsilon(), 1], and so says what it computes.
CLIPPED = Convention(
    target=(Space.PROBABILITY,),
    model=(Space.PROBABILITY,),
    reductions={"none": Reduction.ROWS},
    axis=-1,
    order=(Side.TARGET, Side.MODEL),
    clip=(1e-7, 1.0),
)

OWN = (
    Implementation(
        name="keras.losses.KLDivergence",
        framework="tensorflow",
        package="keras",
        convention=Convention(
            target=CLIPPED.target,
            model=CLIPPED.model,
            reductions={
                "none": Reduction.ROWS,
                "sum": Reduction.SUM,
                "sum_over_batch_size": Reduction.ROWMEAN,
            },
            default="sum_over_batch_size",
            axis=-1,
            order=CLIPPED.order,
            clip=CLIPPED.clip,
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
        call=_loss_function,
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
        # It adds up in variables of its own, through which nothing is differentiated.
        transforms=frozenset(),
        gradients=frozenset(),
        documentation="https://keras.io/api/metrics/probabilistic_metrics/#kldivergence-class",
        broadcasts=False,
        mixing=Mixing.REQUESTED,
        weightings=(Weighting("mean", Reduction.ROWMEAN, by_weights=True),),
    ),
)


# Where operands meet, Keras makes float32 of float64 on every backend but TensorFlow's ("force to be 32-bit dtype"):
# a float64 loss is a float32 number there. https://github.com/keras-team/keras/issues/23704
NARROW = (Dtype.FLOAT32, Dtype.FLOAT16, Dtype.BFLOAT16)
KEPT = {"tensorflow": ALL_DTYPES, "torch": NARROW, "jax": NARROW}
POLICIES = {Transform.AUTOCAST: "has dtype policies of its own, and promises nothing under torch.autocast"}


def _backed(by: str, own: Implementation) -> Implementation:
    name = own.name if by == "tensorflow" else f"{own.name}({by})"
    call, lacks = partial(_on, by, own.call), POLICIES if by == "torch" else own.unsupported_transforms
    return replace(
        own,
        name=name,
        framework=by,
        requires=("keras",),
        call=call,
        dtypes=KEPT[by],
        unsupported_transforms=lacks,
    )


IMPLEMENTATIONS = tuple(_backed(by, each) for by in KEPT for each in OWN)
