"""Explains a wrong number: the other problem to which it is the correct answer."""

from __future__ import annotations

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

DIVIDED = {
    Reduction.TERMS: "every term",
    Reduction.ROWS: "the sum of each row",
    Reduction.SUM: "the sum itself",
    Reduction.MEAN: "the sum divided by the number of elements",
    Reduction.BATCHMEAN: "the sum divided by the size of axis 0",
    Reduction.ROWMEAN: "the sum divided by the number of rows",
}


def diagnose(judgement: Judgement, pair: Pair, subject: Subject) -> str:
    """Return the mistake that gives exactly this answer as a clause, or an empty string."""
    if judgement.answer.ndim == 0 and np.isnan(judgement.answer):
        return ""
    if not np.array_equal(judgement.expected, reference(judgement.problem).value, equal_nan=True):
        return ""  # not the answer to this one problem was judged
    for problem, clause in _readings(judgement.problem, pair, subject):
        try:
            if judge.matches_problem(judgement, problem, subject.profile).all():
                return clause
        except ValueError:  # a reading that makes no problem explains nothing
            continue
    return ""


def _readings(problem: Problem, pair: Pair, subject: Subject) -> Iterator[tuple[Problem, str]]:
    """Yield the problems people confuse with this one."""
    classes = problem.shape[problem.axis] if problem.shape else 1
    also = " (here also that of classes)" if math.prod(problem.shape) == classes else ""
    swapped = subject.problem(Pair(pair.q, pair.p, axis=pair.axis), problem.reduction)
    yield replace(swapped, clip=problem.clip), "KL(Q‖P), the two arguments exchanged"
    for reduction in Reduction:
        if reduction is not problem.reduction:
            given = DIVIDED[reduction] + (also if reduction is Reduction.MEAN else "")
            yield replace(problem, reduction=reduction), f"{given}, not {DIVIDED[problem.reduction]}"
    for formula in Formula:
        if formula is not problem.formula:
            yield replace(problem, formula=formula), f"of the formula {formula.value}"
    if problem.model.space is Space.LOG:
        taken = Operand(problem.model.values, Space.PROBABILITY, problem.model.dtype)
        yield replace(problem, model=taken), "log q taken for q"
    if problem.target.space is Space.LOG:
        taken = Operand(problem.target.values, Space.PROBABILITY, problem.target.dtype)
        yield replace(problem, target=taken), "log p taken for p"
    if problem.smoothing:
        yield replace(problem, smoothing=0.0), "labels left unsmoothed"
    if problem.clip is not None:
        yield replace(problem, clip=None), "probabilities left unclipped"
    for low in (1e-12, 1e-10, 1e-8, 1e-7):
        yield replace(problem, clip=(low, 1.0)), f"probabilities clipped to at least {low}"
