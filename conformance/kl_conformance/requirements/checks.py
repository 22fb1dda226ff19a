"""Checks and references shared by several chapters."""

from collections.abc import Iterator

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance.errors import RefusedError
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements.requirement import Check
from kl_reference.convention import Reduction, Side, Space
from kl_reference.enclosure import Array
from kl_reference.problem import Problem

EVERYDAY = ("dirichlet-flat", "dirichlet-sparse", "dirichlet-dense", "power-law", "peaked-logits")

KL_DIV_LOSS = "https://docs.pytorch.org/docs/stable/generated/torch.nn.KLDivLoss.html"
CROSS_ENTROPY = "https://docs.pytorch.org/docs/stable/generated/torch.nn.CrossEntropyLoss.html"


def value_within_tolerance(*reductions: Reduction, subnormals: bool = False) -> Check:
    """Return a check of the given reductions against the tolerance, in every space the implementation accepts.

    Without a reduction, the finest one that the implementation offers is checked.
    """

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for problem in subject.problems(pair, *reductions, subnormals=subnormals):
            yield judge.within_tolerance(subject.evaluate(problem))

    return check


def evaluated_or_passed(subject: Subject, problem: Problem) -> Evaluation | Judgement:
    """Return the evaluation of a problem, or a pass if the call raises an error."""
    try:
        return subject.evaluate(problem)
    except RefusedError as refusal:
        return judge.passed(problem, subject.named, str(refusal))


def probabilities(problem: Problem) -> tuple[Array, Array]:
    """Return p and q of a problem as float64, broadcast; for logits the weights e^x.

    Where e^x underflows, the result is the least positive number: 0 marks masked classes.
    """
    sides = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for operand in (problem.target, problem.model):
            values = operand.values.astype(np.float64)
            weights = np.where(values == -np.inf, 0.0, np.exp(np.maximum(values, -745.0)))
            sides.append(values if operand.space is Space.PROBABILITY else weights)
    p, q = np.broadcast_arrays(*sides)
    return p, q


def sides(subject: Subject, problem: Problem) -> tuple[Side, ...]:
    """Return the sides to differentiate: the target only where all p are positive."""
    positive = bool(probabilities(problem)[0].all())
    return tuple(side for side in subject.sides if side is Side.MODEL or positive)


def spread(subject: Subject, pair: Pair) -> Iterator[Pair]:
    """Yield one row of P, then of Q, against many of the other; likewise one class, where elementwise."""
    if pair.rows < 2:
        return
    rows = [Measure(m.values.reshape(-1, pair.classes)[0], m.space) for m in (pair.p, pair.q)]
    for p, q in ((rows[0], pair.q), (pair.p, rows[1])):
        yield Pair(p, q, axis=pair.axis, origin=f"{pair.origin}, one row broadcast")
    if not subject.implementation.compares_distributions:
        classes = [Measure(m.values[..., :1], m.space) for m in (pair.p, pair.q)]
        for p, q in ((classes[0], pair.q), (pair.p, classes[1])):
            yield Pair(p, q, axis=pair.axis, origin=f"{pair.origin}, one class broadcast")


def mean_of_the_batch(rows: Array) -> Array:
    """Divide by the size of the batch."""
    return np.asarray(rows / len(rows))
