"""JAX: the relative entropies of jax.scipy."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation, Mixing
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Formula, Side, Space

DOCS = "https://docs.jax.dev/en/latest/_autosummary/jax.scipy.special."


def _rel_entr(modules: Any, call: Call) -> Any:
    return modules.jax.scipy.special.rel_entr(*call.arguments)


def _kl_div(modules: Any, call: Call) -> Any:
    return modules.jax.scipy.special.kl_div(*call.arguments)


def _pointwise(formula: Formula) -> Convention:
    return Convention(formula=formula, model=(Space.PROBABILITY,), order=(Side.TARGET, Side.MODEL))


IMPLEMENTATIONS = (
    Implementation(
        name="jax.scipy.special.rel_entr",
        framework="jax",
        package="jax",
        convention=_pointwise(Formula.PLAIN),
        call=_rel_entr,
        transforms=frozenset(Transform),
        documentation=DOCS + "rel_entr.html",
        compares_distributions=False,
        mixing=Mixing.WIDER,
    ),
    Implementation(
        name="jax.scipy.special.kl_div",
        framework="jax",
        package="jax",
        convention=_pointwise(Formula.GENERALISED),
        call=_kl_div,
        transforms=frozenset(Transform),
        documentation=DOCS + "kl_div.html",
        compares_distributions=False,
        mixing=Mixing.WIDER,
    ),
)
