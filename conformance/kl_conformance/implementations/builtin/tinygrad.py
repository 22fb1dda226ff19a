"""tinygrad cross-entropy with probability targets."""

from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import CROSS_ENTROPY, Implementation
from kl_reference.dtype import Dtype


def _cross_entropy(modules: Any, call: Call) -> Any:
    del modules
    keywords = call.keywords
    axis = keywords.pop("axis", None)
    logits, target = call.arguments if axis is None else (_second(each, axis) for each in call.arguments)
    return logits.cross_entropy(target, **keywords)


def _second(tensor: Any, axis: int) -> Any:
    """Move the class axis to axis 1, where cross_entropy expects it."""
    order = [each for each in range(tensor.ndim) if each != axis % tensor.ndim]
    return tensor.permute(*order[:1], axis % tensor.ndim, *order[1:])


IMPLEMENTATIONS = (
    Implementation(
        name="tinygrad.Tensor.cross_entropy",
        framework="tinygrad",
        package="tinygrad",
        convention=CROSS_ENTROPY,
        call=_cross_entropy,
        transforms=frozenset(Transform),
        documentation="https://docs.tinygrad.org/tensor/ops/#tinygrad.Tensor.cross_entropy",
        # Whether bfloat16 works depends on the CPU and on the version of clang.
        dtypes=(Dtype.FLOAT64, Dtype.FLOAT32, Dtype.FLOAT16),
        broadcasts=False,
        needs_distributions=True,
    ),
)
