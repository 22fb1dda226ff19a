"""A recorded failure for tests, in the format of a run file."""

from collections.abc import Mapping
from typing import Any

from kl_conformance.implementations.implementation import Implementation
from kl_conformance.judging.call_description import CallDescription, encode_call, encode_upstream
from kl_conformance.judging.judgement import Criterion
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reports.runfile.records import Kind


def called(implementation: Implementation, model: Space = Space.PROBABILITY) -> CallDescription:
    """Return the description of a call with probabilities for the target, and no arguments beside the operands."""
    spaces, order = {Side.TARGET: Space.PROBABILITY, Side.MODEL: model}, implementation.convention.order
    keywords = {"log_target": "False"} if len(implementation.convention.target) > 1 else {}
    return CallDescription(implementation.name, implementation.name, keywords, spaces, order)


def example_witness(target: Mapping[str, Any], model: Mapping[str, Any], call: CallDescription) -> dict[str, Any]:
    """Return the witness of terms in float32 that are all 0, of which the first came back as 1."""
    size = len(target["bits"])
    return {
        "formula": Formula.PLAIN.value,
        "reduction": Reduction.TERMS.value,
        "axis": -1,
        "clip": None,
        "normalise": False,
        "dtype": "float32",
        "layout": {"target": "contiguous", "model": "contiguous"},
        "target": target,
        "model": model,
        "call": encode_call(call),
        "upstream": encode_upstream(call.upstream),
        "kind": Kind.NUMBER.value,
        "criterion": Criterion.TOLERANCE.value,
        "got": ["f64:3ff0000000000000", *["f64:0000000000000000"] * (size - 1)],
        "right": ["f64:0000000000000000"] * size,
        "allowed": ["f64:3e80000000000000"] * size,
        "at": [0],
        "note": "",
    }
