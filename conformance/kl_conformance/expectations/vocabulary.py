"""Variables that region expressions may use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from kl_conformance.expectations.predicate import Predicate
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.cache import reference
from kl_conformance.judging.judgement import Judgement
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand, Problem

# Variables of a region: one element's numbers, and the problem's sizes and dtype.
REGION_NAMES = frozenset(
    {"p", "q", "log_p", "log_q", "log_target", "target_classes", "model_classes"}
    | {"model_length", "result_length", "offset", "total"}
    | {"least_normal", "least_subnormal", "largest", "roundoff"}
)
# Variables of the recorded result: the answer itself, and whether it is correct for an alternative definition.
INSTEAD_NAMES = frozenset(
    {"got", "right", "allowed", "p", "offset", "roundoff", "least_subnormal", "least_normal"}
    | {"no_error", "unhelpful_error", "clipped", "clipped_in_single", "divided_by_batch", "divided_by_model"}
)


def region_values(problem: Problem, region: Predicate) -> Mapping[str, Any]:
    """Return the variables of a region: arrays of the problem's broadcast shape, and single numbers."""
    dtype = problem.target.dtype
    named: dict[str, Any] = {
        "log_target": problem.target.space is not Space.PROBABILITY,
        "least_normal": dtype.least_normal,
        "least_subnormal": dtype.least_subnormal,
        "largest": dtype.largest,
        "roundoff": dtype.roundoff,
        "target_classes": _last(problem.target.values),
        "model_classes": _last(problem.model.values),
        "model_length": _first(problem.model.values),
    }
    sides = [*_both(problem.target, problem), *_both(problem.model, problem)]
    try:
        sides = list(np.broadcast_arrays(*sides))
    except ValueError:  # chapter errors tests shapes that do not broadcast
        pass
    else:
        named["result_length"] = _first(sides[0])
    named["offset"] = np.maximum(_offset(problem.target, problem.axis), _offset(problem.model, problem.axis))
    if "total" in region.text:
        named["total"] = reference(replace(problem, reduction=Reduction.SUM)).value
    return named | dict(zip(("p", "log_p", "q", "log_q"), sides, strict=True))


def _both(operand: Operand, problem: Problem) -> tuple[Any, Any]:
    """Return an operand as probabilities and their logarithms, normalised if the Convention is."""
    values = operand.values.astype(np.float64)
    with np.errstate(all="ignore"):
        if operand.space is not Space.PROBABILITY:
            if operand.space is Space.LOGITS:
                values = values - np.logaddexp.reduce(values, axis=problem.axis, keepdims=True)
            return np.exp(values), values
        logs = np.log(values)
        if problem.normalise:
            # In logarithms, because the quotient may underflow in float64.
            logs = logs - np.log(values.sum(problem.axis, keepdims=True))
            values = np.exp(logs)
        return values, logs


def _offset(operand: Operand, axis: int) -> Any:
    """Return the distance of a row of logits from normalised ones, |logsumexp|; 0 for other spaces."""
    if operand.space is not Space.LOGITS:
        return np.zeros(())
    with np.errstate(all="ignore"):
        wide = operand.values.astype(np.float64)
        return np.abs(np.logaddexp.reduce(wide, axis=axis, keepdims=True))


def _last(values: Any) -> int:
    return values.shape[-1] if values.ndim else 1


def _first(values: Any) -> int:
    return values.shape[0] if values.ndim else 1


def instead_values(judgement: Judgement, subject: Subject, instead: Predicate) -> Mapping[str, Any]:
    """Return the variables of the recorded result; only the alternative definitions that it names are computed."""
    problem, profile = judgement.problem, subject.profile
    named: dict[str, Any] = {
        "got": judgement.answer,
        "right": judgement.expected,
        "no_error": judgement.raised is False,
        "unhelpful_error": judgement.unhelpful,
    }
    dtype = subject.dtype
    named |= {
        "allowed": judgement.allowed,
        "roundoff": dtype.roundoff,
        "least_subnormal": dtype.least_subnormal,
        "least_normal": dtype.least_normal,
    }
    named["p"] = _both(problem.target, problem)[0]
    if "offset" in instead.text:
        sides = (_offset(each, problem.axis) for each in (problem.target, problem.model))
        named["offset"] = float(np.max([np.max(side, initial=0.0) for side in sides]))
    clip = subject.convention.clip
    if "clipped" in instead.text:
        clipped = problem if clip is None else replace(problem, clip=clip)
        named["clipped"] = judge.matches_problem(judgement, clipped, profile)
        if "clipped_in_single" in instead.text:  # the limits are rounded to the dtype of the operands
            target, model = (
                replace(each, values=each.values.astype(np.float32), dtype=Dtype.FLOAT32)
                for each in (problem.target, problem.model)
            )
            single = replace(clipped, target=target, model=model)
            named["clipped_in_single"] = judge.matches_problem(judgement, single, profile)
    if "divided_by_batch" in instead.text:
        rescaled = replace(judgement, answer=judgement.answer * (problem.shape[0] if problem.shape else 1))
        named["divided_by_batch"] = judge.matches_problem(rescaled, problem, profile)
    if "divided_by_model" in instead.text:
        scale = _first(problem.model.values) / max(problem.shape[0], 1)
        rescaled = replace(judgement, answer=judgement.answer * scale)
        named["divided_by_model"] = judge.matches_problem(rescaled, problem, profile)
    return named
