"""tinygrad: its cross-entropy with probabilities as targets."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Formula, Reduction, Space
from kl_reference.dtype import Dtype


def _cross_entropy(modules: Any, call: Call) -> Any:
    del modules
    keywords = call.keywords
    axis = keywords.pop("axis", None)
    logits, target = call.arguments if axis is None else (_second(each, axis) for each in call.arguments)
    return logits.cross_entropy(target, **keywords)


def _second(tensor: Any, axis: int) -> Any:
    """Lead the class axis to where cross_entropy has it."""
    order = [each for each in range(tensor.ndim) if each != axis % tensor.ndim]
    return tensor.permute(*order[:1], axis % tensor.ndim, *order[1:])


IMPLEMENTATIONS = (
    Implementation(
        name="tinygrad.Tensor.cross_entropy",
        framework="tinygrad",
        package="tinygrad",
        convention=Convention(
            formula=Formula.CROSS_ENTROPY,
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            reductions={"none": Reduction.ROWS, "sum": Reduction.SUM, "mean": Reduction.ROWMEAN},
            default="mean",
            axis=1,
        ),
        call=_cross_entropy,
        transforms=frozenset(Transform),
        documentation="https://docs.tinygrad.org/tensor/ops/#tinygrad.Tensor.cross_entropy",
        dtypes=(
            Dtype.FLOAT64,
            Dtype.FLOAT32,
            Dtype.FLOAT16,
        ),  # bfloat16 on a CPU hangs on its own and on clang's age
        broadcasts=False,
        needs_distributions=True,
    ),
)
