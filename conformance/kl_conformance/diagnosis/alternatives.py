"""Finds the alternative definition (swapped arguments, other reduction, …) that a wrong value fits."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.cache import reference
from kl_conformance.judging.judgement import Judgement
from kl_reference.convention import Formula, Reduction, Space
from kl_reference.problem import Operand, Problem

_REDUCTIONS = {
    Reduction.TERMS: "the terms without a reduction",
    Reduction.ROWS: "the sum of each row",
    Reduction.SUM: "the sum",
    Reduction.MEAN: "the sum divided by the number of elements",
    Reduction.BATCHMEAN: "the sum divided by the size of axis 0",
    Reduction.ROWMEAN: "the sum divided by the number of rows",
}


def diagnose(judgement: Judgement, pair: Pair, subject: Subject) -> str:
    """Return the other problem to which the wrong value is the correct answer; an empty string if none is found."""
    if judgement.answer.ndim == 0 and np.isnan(judgement.answer):
        return ""
    if not np.array_equal(judgement.expected, reference(judgement.problem).value, equal_nan=True):
        return ""  # the judgement compares something other than the answer to this one problem
    for problem, description in _alternatives(judgement.problem, pair, subject):
        try:
            if judge.matches_problem(judgement, problem, subject.profile).all():
                return description
        except ValueError:  # the alternative is not defined for these inputs
            continue
    return ""


def _alternatives(problem: Problem, pair: Pair, subject: Subject) -> Iterator[tuple[Problem, str]]:
    """Yield the problems that are commonly confused with this one, each with its description."""
    classes = problem.shape[problem.axis] if problem.shape else 1
    same = " (here equal to the number of classes)" if math.prod(problem.shape) == classes else ""
    swapped = subject.problem(Pair(pair.q, pair.p, axis=pair.axis), problem.reduction)
    yield replace(swapped, clip=problem.clip), "KL(Q‖P), with the arguments swapped"
    for reduction in Reduction:
        if reduction is not problem.reduction:
            other = _REDUCTIONS[reduction] + (same if reduction is Reduction.MEAN else "")
            yield replace(problem, reduction=reduction), f"{other}, not {_REDUCTIONS[problem.reduction]}"
    for formula in Formula:
        if formula is not problem.formula:
            yield replace(problem, formula=formula), f"the formula {formula.value}"
    if problem.model.space is Space.LOG:
        operand = Operand(problem.model.values, Space.PROBABILITY, problem.model.dtype)
        yield replace(problem, model=operand), "log q used as q"
    if problem.target.space is Space.LOG:
        operand = Operand(problem.target.values, Space.PROBABILITY, problem.target.dtype)
        yield replace(problem, target=operand), "log p used as p"
    if problem.smoothing:
        yield replace(problem, smoothing=0.0), "no label smoothing"
    if problem.clip is not None:
        yield replace(problem, clip=None), "no clipping of the probabilities"
    for low in (1e-12, 1e-10, 1e-8, 1e-7):
        yield replace(problem, clip=(low, 1.0)), f"probabilities clipped to at least {low}"
