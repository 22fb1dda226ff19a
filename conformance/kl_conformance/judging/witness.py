"""Builds a witness (bit-exact failing input and output) from a failed Judgement."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from kl_cases.bits import decode, encode
from kl_cases.layouts import side_layouts
from kl_cases.pair import Measure, Pair
from kl_conformance.judging.call_description import encode_call, encode_upstream
from kl_conformance.judging.judgement import Judgement
from kl_reference.convention import Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand

MOST_NUMBERS = 8192  # of a stored pair; a larger one can be generated again


def witness(judgement: Judgement, pair: Pair, *, case: str | None = None, link: str = "") -> Mapping[str, Any]:
    """Return the failure as plain data, IEEE values as bit patterns.

    Parameters
    ----------
    judgement
        The failed judgement.
    pair
        The pair that its problem realises.
    case
        Id of the corpus case, if the pair is one.
    link
        Upstream link of a known deviation.
    """
    problem, shapes, error = judgement.problem, judgement.shape_mismatch, judgement.error
    return {
        "problem": problem.id,
        "pair": pair.id,
        "origin": pair.origin,
        **({"question": encode_pair(pair)} if pair.p.values.size + pair.q.values.size <= MOST_NUMBERS else {}),
        "case": case,
        "formula": problem.formula.value,
        "reduction": problem.reduction.value,
        "axis": problem.axis,
        "clip": None if problem.clip is None else _float64(problem.clip),
        "normalise": problem.normalise,
        **({"smoothing": _float64(problem.smoothing)} if problem.smoothing else {}),
        "dtype": problem.target.dtype.label,
        "layout": {side.value: layout for side, layout in side_layouts(problem.layout).items()},
        "target": _operand(problem.target),
        "model": _operand(problem.model),
        "call": encode_call(judgement.call),
        "upstream": encode_upstream(judgement.call.upstream),
        "kind": judgement.kind.value,
        "criterion": judgement.criterion.value,
        "got": _float64(judgement.answer),
        "right": _float64(judgement.expected),
        "allowed": _float64(judgement.allowed),
        "at": list(judgement.at),
        "note": judgement.note,
        **({"got_shape": list(shapes.returned), "expected_shape": list(shapes.expected)} if shapes else {}),
        **({"raised": asdict(error)} if error else {}),
        **({"link": link} if link else {}),
    }


def encode_pair(pair: Pair) -> Mapping[str, Any]:
    """Return a pair as plain data: both sides in their own space, and the class axis."""
    return {"p": _measure(pair.p), "q": _measure(pair.q), "axis": pair.axis}


def decode_pair(data: Mapping[str, Any], origin: str = "") -> Pair:
    """Return the pair that :func:`encode_pair` encoded.

    Raises
    ------
    ValueError
        The data are no encoded pair; the message gives the reason.
    """
    try:
        sides = [_decoded(data[side]) for side in ("p", "q")]
        return Pair(sides[0], sides[1], axis=int(data["axis"]), origin=origin)
    except (KeyError, TypeError) as error:
        raise ValueError(f"not an encoded pair: {type(error).__name__}: {error}") from None


def _measure(measure: Measure) -> Mapping[str, Any]:
    bits = encode(measure.values.ravel(), Dtype.FLOAT64)
    return {"space": measure.space.value, "shape": list(measure.values.shape), "bits": bits}


def _decoded(data: Mapping[str, Any]) -> Measure:
    values = decode(data["bits"])[0] if data["bits"] else np.zeros(0)
    return Measure(values.reshape([int(size) for size in data["shape"]]), Space(data["space"]))


def _operand(operand: Operand) -> Mapping[str, Any]:
    return {
        "space": operand.space.value,
        "shape": list(operand.values.shape),
        "bits": encode(operand.values.ravel(), operand.dtype),
    }


def _float64(values: Any) -> list[str]:
    return encode(np.asarray(values, dtype=np.float64).ravel(), Dtype.FLOAT64)
