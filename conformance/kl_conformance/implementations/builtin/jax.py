"""jax.scipy.special.rel_entr and kl_div."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation, Mixing, pointwise
from kl_reference.convention import Formula

DOCS = "https://docs.jax.dev/en/latest/_autosummary/jax.scipy.special."


def _kl_div(modules: Any, call: Call) -> Any:
    return modules.jax.scipy.special.kl_div(*call.arguments)


REL_ENTR = Implementation(
    name="jax.scipy.special.rel_entr",
    framework="jax",
    package="jax",
    convention=pointwise(Formula.PLAIN),
    call=lambda modules, call: modules.jax.scipy.special.rel_entr(*call.arguments),
    transforms=frozenset(Transform),
    documentation=DOCS + "rel_entr.html",
    compares_distributions=False,
    mixing=Mixing.WIDER,
)

IMPLEMENTATIONS = (
    REL_ENTR,
    replace(
        REL_ENTR,
        name="jax.scipy.special.kl_div",
        convention=pointwise(Formula.GENERALISED),
        call=_kl_div,
        documentation=DOCS + "kl_div.html",
    ),
)
