"""A recorded failure for tests, in the format of a run file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kl_reference.convention import Formula, Reduction


def example_witness(target: Mapping[str, Any], model: Mapping[str, Any], call: str) -> dict[str, Any]:
    """Return the witness of float32 terms whose first answer is 1 where 0 is expected."""
    size = len(target["bits"])
    return {
        "formula": Formula.PLAIN.value,
        "reduction": Reduction.TERMS.value,
        "axis": -1,
        "clip": None,
        "normalise": False,
        "dtype": "float32",
        "layout": "contiguous",
        "target": target,
        "model": model,
        "call": call,
        "got": ["f64:3ff0000000000000", *["f64:0000000000000000"] * (size - 1)],
        "right": ["f64:0000000000000000"] * size,
        "allowed": ["f64:3e80000000000000"] * size,
        "at": [0],
        "note": "",
    }
