"""Optax: its losses."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation, Mixing
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Formula, Reduction, Space

DOCS = "https://optax.readthedocs.io/en/latest/api/losses.html#optax.losses."


def _optax(modules: Any, call: Call) -> Any:
    return modules.optax.losses.kl_divergence(*call.arguments, **_where(modules, call))


def _optax_log(modules: Any, call: Call) -> Any:
    losses = modules.optax.losses
    return losses.kl_divergence_with_log_targets(*call.arguments, **_where(modules, call))


def _generalized(modules: Any, call: Call) -> Any:
    losses = modules.optax.losses
    # Up to 0.2.6 its only name was convex_kl_divergence, which is deprecated now.
    known = hasattr(losses, "generalized_kl_divergence")
    function = losses.generalized_kl_divergence if known else losses.convex_kl_divergence
    return function(*call.arguments, **_where(modules, call))


def _where(modules: Any, call: Call) -> dict[str, Any]:
    return {} if call.mask is None else {"where": modules.jnp.asarray(call.mask, bool)}


def _rows(target: Space, formula: Formula = Formula.PLAIN) -> Convention:
    return Convention(formula=formula, target=(target,), reductions={"none": Reduction.ROWS}, axis=-1)


IMPLEMENTATIONS = (
    Implementation(
        name="optax.losses.kl_divergence",
        framework="jax",
        package="optax",
        requires=("optax",),
        convention=_rows(Space.PROBABILITY),
        call=_optax,
        transforms=frozenset(Transform),
        documentation=DOCS + "kl_divergence",
        mixing=Mixing.WIDER,
        masks=">=0.2.4",
    ),
    Implementation(
        name="optax.losses.kl_divergence_with_log_targets",
        framework="jax",
        package="optax",
        requires=("optax",),
        convention=_rows(Space.LOG),
        call=_optax_log,
        transforms=frozenset(Transform),
        documentation=DOCS + "kl_divergence_with_log_targets",
        mixing=Mixing.WIDER,
        masks=">=0.2.4",
    ),
    Implementation(
        name="optax.losses.generalized_kl_divergence",
        framework="jax",
        package="optax",
        requires=("optax",),
        convention=_rows(Space.PROBABILITY, Formula.GENERALISED),
        call=_generalized,
        transforms=frozenset(Transform),
        documentation=DOCS + "generalized_kl_divergence",
        mixing=Mixing.WIDER,
        masks=">=0.2.4",
    ),
)
