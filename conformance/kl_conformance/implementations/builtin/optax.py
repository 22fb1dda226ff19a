"""Optax losses."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation, Mixing
from kl_reference.convention import Convention, Formula, Reduction, Space

DOCS = "https://optax.readthedocs.io/en/latest/api/losses.html#optax.losses."


def _log_targets(modules: Any, call: Call) -> Any:
    losses = modules.optax.losses
    return losses.kl_divergence_with_log_targets(*call.arguments, **_where(modules, call))


def _generalized(modules: Any, call: Call) -> Any:
    losses = modules.optax.losses
    # Up to 0.2.6 its only name was convex_kl_divergence, which is deprecated now.
    renamed = hasattr(losses, "generalized_kl_divergence")
    function = losses.generalized_kl_divergence if renamed else losses.convex_kl_divergence
    return function(*call.arguments, **_where(modules, call))


def _where(modules: Any, call: Call) -> dict[str, Any]:
    return {} if call.mask is None else {"where": modules.jnp.asarray(call.mask, bool)}


PLAIN = Implementation(
    name="optax.losses.kl_divergence",
    framework="jax",
    package="optax",
    requires=("optax",),
    convention=Convention(target=(Space.PROBABILITY,), reductions={"none": Reduction.ROWS}, axis=-1),
    call=lambda modules, call: modules.optax.losses.kl_divergence(*call.arguments, **_where(modules, call)),
    transforms=frozenset(Transform),
    documentation=DOCS + "kl_divergence",
    mixing=Mixing.WIDER,
    masks=">=0.2.4",
)

IMPLEMENTATIONS = (
    PLAIN,
    replace(
        PLAIN,
        name="optax.losses.kl_divergence_with_log_targets",
        convention=replace(PLAIN.convention, target=(Space.LOG,)),
        call=_log_targets,
        documentation=DOCS + "kl_divergence_with_log_targets",
    ),
    replace(
        PLAIN,
        name="optax.losses.generalized_kl_divergence",
        convention=replace(PLAIN.convention, formula=Formula.GENERALISED),
        call=_generalized,
        documentation=DOCS + "generalized_kl_divergence",
    ),
)
