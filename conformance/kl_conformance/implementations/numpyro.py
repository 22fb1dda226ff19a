"""NumPyro: the divergence of two Categorical distributions."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Reduction, Side, Space


def _categorical(modules: Any, call: Call) -> Any:
    distributions = modules.numpyro.distributions
    # Its check that a row adds up to 1 within 1e-6 refuses what is rounded to 16 bits; it is documented as optional.
    p, q = (distributions.Categorical(probs=each, validate_args=False) for each in call.arguments)
    return distributions.kl_divergence(p, q)


IMPLEMENTATIONS = (
    # Of probabilities alone: for Categorical(logits=…) nothing is registered.
    Implementation(
        name="numpyro.distributions.kl_divergence",
        framework="jax",
        package="numpyro",
        requires=("numpyro",),
        convention=Convention(
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
            reductions={"none": Reduction.ROWS},
            axis=-1,
            order=(Side.TARGET, Side.MODEL),
        ),
        call=_categorical,
        transforms=frozenset(Transform),
        documentation="https://num.pyro.ai/en/stable/distributions.html#kl-divergence",
        needs_distributions=True,
    ),
)
