"""A broken judgement as plain data, bit for bit, for run files and pages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from kl_cases.bits import encode
from kl_cases.pair import Pair
from kl_conformance.judge import Judgement
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand


def witness(
    judgement: Judgement, pair: Pair, *, case: str | None = None, link: str = ""
) -> Mapping[str, Any]:
    """Return everything a person needs to see the failure, IEEE values as bit patterns.

    Parameters
    ----------
    judgement
        What was broken.
    pair
        The question it was realised from.
    case
        Id of the corpus case, where it is one.
    link
        Upstream link of a recorded deviation.
    """
    problem = judgement.problem
    return {
        "problem": problem.id,
        "pair": pair.id,
        "origin": pair.origin,
        "case": case,
        "formula": problem.formula.value,
        "reduction": problem.reduction.value,
        "axis": problem.axis,
        "clip": None if problem.clip is None else _float64(problem.clip),
        "normalise": problem.normalise,
        **({"smoothing": _float64(problem.smoothing)} if problem.smoothing else {}),
        "dtype": problem.target.dtype.label,
        "layout": problem.layout,
        "target": _operand(problem.target),
        "model": _operand(problem.model),
        "call": judgement.call,
        "got": _float64(judgement.got),
        "right": _float64(judgement.right),
        "allowed": _float64(judgement.allowed),
        "at": list(judgement.at),
        "note": judgement.note,
        **({"link": link} if link else {}),
    }


def _operand(operand: Operand) -> Mapping[str, Any]:
    return {
        "space": operand.space.value,
        "shape": list(operand.values.shape),
        "bits": encode(operand.values.ravel(), operand.dtype),
    }


def _float64(values: Any) -> list[str]:
    return encode(np.asarray(values, dtype=np.float64).ravel(), Dtype.FLOAT64)
