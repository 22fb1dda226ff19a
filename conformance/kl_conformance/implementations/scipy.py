"""SciPy: its two relative entropies and the entropy of its statistics."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation, Mixing
from kl_reference.convention import Convention, Formula, Reduction, Side, Space
from kl_reference.dtype import Dtype

DOCS = "https://docs.scipy.org/doc/scipy/reference/generated/scipy."
# SciPy has loops for these two; half types are converted before its functions see them.
DTYPES = (Dtype.FLOAT64, Dtype.FLOAT32)


def _rel_entr(modules: Any, call: Call) -> Any:
    return modules.special.rel_entr(*call.arguments)


def _kl_div(modules: Any, call: Call) -> Any:
    return modules.special.kl_div(*call.arguments)


def _entropy(modules: Any, call: Call) -> Any:
    return modules.stats.entropy(*call.arguments, **call.keywords)


def _pointwise(formula: Formula) -> Convention:
    return Convention(formula=formula, model=(Space.PROBABILITY,), order=(Side.TARGET, Side.MODEL))


IMPLEMENTATIONS = (
    Implementation(
        name="scipy.special.rel_entr",
        framework="scipy",
        package="scipy",
        convention=_pointwise(Formula.PLAIN),
        call=_rel_entr,
        documentation=DOCS + "special.rel_entr.html",
        mixing=Mixing.WIDER,
        dtypes=DTYPES,
        gradients=frozenset(),
        compares_distributions=False,
    ),
    Implementation(
        name="scipy.special.kl_div",
        framework="scipy",
        package="scipy",
        convention=_pointwise(Formula.GENERALISED),
        call=_kl_div,
        documentation=DOCS + "special.kl_div.html",
        mixing=Mixing.WIDER,
        dtypes=DTYPES,
        gradients=frozenset(),
        compares_distributions=False,
    ),
    Implementation(
        name="scipy.stats.entropy",
        framework="scipy",
        package="scipy",
        convention=Convention(
            model=(Space.PROBABILITY,),
            reductions={"none": Reduction.ROWS},
            axis=0,
            order=(Side.TARGET, Side.MODEL),
            normalise=True,
        ),
        call=_entropy,
        documentation=DOCS + "stats.entropy.html",
        dtypes=DTYPES,
        gradients=frozenset(),
    ),
)
