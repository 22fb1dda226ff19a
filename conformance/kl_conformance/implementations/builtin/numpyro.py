"""NumPyro: KL of two Categorical distributions."""

from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation, of_rows
from kl_reference.convention import Space


def _categorical(modules: Any, call: Call) -> Any:
    distributions = modules.numpyro.distributions
    # Its check that a row sums to 1 within 1e-6 rejects probabilities rounded to 16 bits; it is documented as optional.
    p, q = (distributions.Categorical(probs=each, validate_args=False) for each in call.arguments)
    return distributions.kl_divergence(p, q)


IMPLEMENTATIONS = (
    # Of probabilities only: no divergence is registered for Categorical(logits=…).
    Implementation(
        name="numpyro.distributions.kl_divergence",
        framework="jax",
        package="numpyro",
        requires=("numpyro",),
        convention=of_rows(Space.PROBABILITY),
        call=_categorical,
        transforms=frozenset(Transform),
        documentation="https://num.pyro.ai/en/stable/distributions.html#kl-divergence",
        needs_distributions=True,
    ),
)
