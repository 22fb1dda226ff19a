"""TensorFlow softmax cross-entropy."""

from dataclasses import replace
from typing import Any

from kl_conformance.frameworks.call import Call
from kl_conformance.frameworks.transform import Transform
from kl_conformance.implementations.implementation import Implementation, of_rows
from kl_reference.convention import Formula, Space


def _cross_entropy(modules: Any, call: Call) -> Any:
    return modules.tf.nn.softmax_cross_entropy_with_logits(labels=call.target, logits=call.model)


IMPLEMENTATIONS = (
    Implementation(
        name="tf.nn.softmax_cross_entropy_with_logits",
        framework="tensorflow",
        package="tensorflow",
        convention=replace(of_rows(Space.PROBABILITY), formula=Formula.CROSS_ENTROPY, model=(Space.LOGITS,)),
        call=_cross_entropy,
        transforms=frozenset(Transform),
        documentation="https://www.tensorflow.org/api_docs/python/tf/nn/softmax_cross_entropy_with_logits",
        broadcasts=False,
        needs_distributions=True,
    ),
)
