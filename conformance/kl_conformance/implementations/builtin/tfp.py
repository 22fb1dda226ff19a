"""TensorFlow Probability on JAX: KL of two Categorical distributions."""

from dataclasses import replace
from functools import partial
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation, of_rows
from kl_reference.convention import Space

DOCS = "https://www.tensorflow.org/probability/api_docs/python/tfp/substrates/jax/distributions/"


def _categorical(modules: Any, call: Call, given: str) -> Any:
    distributions = modules.tfp.distributions
    return distributions.kl_divergence(*(distributions.Categorical(**{given: x}) for x in call.arguments))


OF_LOGITS = Implementation(
    name="tfp.substrates.jax.distributions.kl_divergence",
    framework="tfp",
    package="tensorflow-probability",
    convention=of_rows(Space.LOGITS),
    call=partial(_categorical, given="logits"),
    transforms=frozenset(Transform),
    documentation=DOCS + "kl_divergence",
)

IMPLEMENTATIONS = (
    OF_LOGITS,
    replace(
        OF_LOGITS,
        name=f"{OF_LOGITS.name}(probs)",
        # The logarithms of the probabilities are used as logits, which divides each row by its sum.
        convention=of_rows(Space.PROBABILITY, normalise=True),
        call=partial(_categorical, given="probs"),
        documentation=DOCS + "Categorical",
        needs_distributions=True,
    ),
)
