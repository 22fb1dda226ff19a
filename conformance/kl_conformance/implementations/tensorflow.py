"""TensorFlow: its cross-entropy."""

from __future__ import annotations

from typing import Any

from kl_conformance.implementation import Call, Implementation
from kl_conformance.transform import Transform
from kl_reference.convention import Convention, Formula, Reduction, Side, Space


def _cross_entropy(modules: Any, call: Call) -> Any:
    return modules.tf.nn.softmax_cross_entropy_with_logits(labels=call.target, logits=call.model)


IMPLEMENTATIONS = (
    Implementation(
        name="tf.nn.softmax_cross_entropy_with_logits",
        framework="tensorflow",
        package="tensorflow",
        convention=Convention(
            formula=Formula.CROSS_ENTROPY,
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            reductions={"none": Reduction.ROWS},
            axis=-1,
            order=(Side.TARGET, Side.MODEL),
        ),
        call=_cross_entropy,
        transforms=frozenset(Transform),
        documentation="https://www.tensorflow.org/api_docs/python/tf/nn/softmax_cross_entropy_with_logits",
        broadcasts=False,
        needs_distributions=True,
    ),
)
