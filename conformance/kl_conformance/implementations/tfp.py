"""TensorFlow Probability on JAX: the divergence of two Categorical distributions."""

from __future__ import annotations

from functools import partial
from typing import Any

from kl_conformance.implementation import Call, Implementation
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Reduction, Side, Space

DOCS = "https://www.tensorflow.org/probability/api_docs/python/tfp/substrates/jax/distributions/"


def _categorical(modules: Any, call: Call, given: str) -> Any:
    distributions = modules.tfp.distributions
    return distributions.kl_divergence(
        *(distributions.Categorical(**{given: each}) for each in call.arguments)
    )


def _of(space: Space) -> Convention:
    # Of probabilities it takes the logarithms for logits: whatever they add up to, they are divided by.
    return Convention(
        target=(space,),
        model=(space,),
        reductions={"none": Reduction.ROWS},
        axis=-1,
        order=(Side.TARGET, Side.MODEL),
        normalise=space is Space.PROBABILITY,
    )


IMPLEMENTATIONS = (
    Implementation(
        name="tfp.substrates.jax.distributions.kl_divergence",
        framework="tfp",
        package="tensorflow-probability",
        convention=_of(Space.LOGITS),
        call=partial(_categorical, given="logits"),
        transforms=frozenset(Transform),
        documentation=DOCS + "kl_divergence",
    ),
    Implementation(
        name="tfp.substrates.jax.distributions.kl_divergence(probs)",
        framework="tfp",
        package="tensorflow-probability",
        convention=_of(Space.PROBABILITY),
        call=partial(_categorical, given="probs"),
        transforms=frozenset(Transform),
        documentation=DOCS + "Categorical",
        needs_distributions=True,
    ),
)
