"""scipy.special.rel_entr, kl_div and scipy.stats.entropy."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.implementations.implementation import Implementation, Mixing, pointwise
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype

DOCS = "https://docs.scipy.org/doc/scipy/reference/generated/scipy."


def _kl_div(modules: Any, call: Call) -> Any:
    return modules.special.kl_div(*call.arguments)


def _entropy(modules: Any, call: Call) -> Any:
    return modules.stats.entropy(*call.arguments, **call.keywords)


REL_ENTR = Implementation(
    name="scipy.special.rel_entr",
    framework="scipy",
    package="scipy",
    convention=pointwise(Formula.PLAIN),
    call=lambda modules, call: modules.special.rel_entr(*call.arguments),
    documentation=DOCS + "special.rel_entr.html",
    mixing=Mixing.WIDER,
    # SciPy has loops for these two; it converts 16-bit types before its functions see them.
    dtypes=(Dtype.FLOAT64, Dtype.FLOAT32),
    gradients=frozenset(),
    compares_distributions=False,
)

IMPLEMENTATIONS = (
    REL_ENTR,
    replace(
        REL_ENTR,
        name="scipy.special.kl_div",
        convention=pointwise(Formula.GENERALISED),
        call=_kl_div,
        documentation=DOCS + "special.kl_div.html",
    ),
    replace(
        REL_ENTR,
        name="scipy.stats.entropy",
        convention=Convention(
            model=(Space.PROBABILITY,),
            reductions={"none": Reduction.ROWS},
            axis=0,
            order=(Side.TARGET, Side.MODEL),
            normalise=True,
        ),
        call=_entropy,
        documentation=DOCS + "stats.entropy.html",
        mixing=None,
        compares_distributions=True,
    ),
)
