"""Signs: pointwise terms keep their sign; sums respect the log-sum inequality."""

import math
from collections.abc import Iterator

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import EVERYDAY, KL_DIV_LOSS, probabilities, value_within_tolerance
from kl_conformance.requirements.miniature import Array, Miniature, generalised, log_term, term
from kl_conformance.requirements.requirement import Requirement
from kl_reference.convention import Formula, Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Problem

TOTALS = (Reduction.SUM, Reduction.ROWS)


def pointwise(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the sign of each term that is larger than its tolerance."""
    for problem in subject.problems(pair, Reduction.TERMS):
        evaluation = subject.evaluate(problem)
        clear = np.abs(evaluation.enclosure.value) > evaluation.tolerance.total
        correct = ~clear | (np.sign(evaluation.answer) == np.sign(evaluation.enclosure.value))
        yield judge.elementwise(evaluation, correct, "a term has the wrong sign")


def log_sum_bound(problem: Problem) -> Array:
    """Return P·log(P/Q), − P + Q if generalised, for the actual sums P and Q over each answer element's classes."""
    if problem.normalise or problem.target.space is Space.LOGITS:
        return np.zeros(())
    p, q = probabilities(problem)
    if problem.model.space is Space.LOGITS:  # a softmax sums to 1, and only its sum is used
        q = np.full(q.shape, 1 / q.shape[problem.axis])
    if problem.clip is not None:
        p, q = np.clip(p, *problem.clip), np.clip(q, *problem.clip)
    if problem.reduction is Reduction.ROWS:
        totals = (p.sum(problem.axis), q.sum(problem.axis))
    else:
        totals = (np.array(math.fsum(p.ravel())), np.array(math.fsum(q.ravel())))
    difference = totals[1] - totals[0] if problem.formula is Formula.GENERALISED else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(totals[0] > 0, totals[0] * np.log(totals[0] / totals[1]), 0.0) + difference


def gibbs(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare a sum over classes with the bound of the log-sum inequality."""
    for problem in subject.problems(pair, *TOTALS):
        evaluation = subject.evaluate(problem)
        # The bound is computed in float64 from sums of the same number of terms.
        slack = problem.target.values.size * Dtype.FLOAT64.roundoff * (1 + evaluation.enclosure.scale.condition)
        bound = log_sum_bound(problem) - evaluation.tolerance.total - slack
        yield judge.elementwise(
            evaluation, ~(evaluation.answer < bound), "is below P·log(P/Q) by more than rounding explains"
        )


def self_divergence(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Evaluate the divergence of P from itself."""
    same = Pair(pair.p, pair.p, axis=pair.axis, origin=pair.origin)
    for problem in subject.problems(same):
        evaluation = subject.evaluate(problem)
        if problem.target.space is problem.model.space is Space.LOG:
            yield judge.exact(evaluation, "log P against log P must give exactly 0")
        yield judge.within_tolerance(evaluation, decisive=False)


def generalised_terms(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge that no generalised term is negative, and that none is 0 where p and q differ."""
    for problem in subject.problems(pair):
        evaluation = subject.evaluate(problem)
        allowed = evaluation.tolerance.total
        yield judge.elementwise(evaluation, ~(evaluation.answer < -allowed), "a generalised term is negative")
        positive = evaluation.enclosure.value > allowed
        yield judge.elementwise(
            evaluation, ~(positive & (evaluation.answer <= 0)), "a generalised term is 0 though p and q differ"
        )


REQUIREMENTS = (
    Requirement(
        id="signs/pointwise",
        sentence="Each term has the sign of the exact term: terms with p < q are negative and are not clamped.",
        formula="sign(got) = sign(log p − log q) wherever |exact| > tolerance",
        reason="Negative terms are correct; only their sum over classes is never negative, and clamping biases it.",
        link=KL_DIV_LOSS,
        check=pointwise,
        applies=when.all_of(when.offers_terms, when.is_divergence),
        families=(*EVERYDAY, "measure"),
        miniature=Miniature(term=lambda p, lq: np.abs(term(p, lq)), log_term=lambda lp, lq: np.abs(log_term(lp, lq))),
    ),
    Requirement(
        id="signs/gibbs",
        sentence="A sum over classes is at least P·log(P/Q) for the actual sums P and Q; it is not negative for P = Q.",
        formula="Σ p·log(p/q) ≥ P·log(P/Q)",
        reason="A negative loss indicates swapped arguments, probabilities in place of logarithms, or a faulty kernel.",
        link="https://en.wikipedia.org/wiki/Log_sum_inequality",
        check=gibbs,
        applies=when.all_of(when.is_divergence, when.offers(*TOTALS)),
        families=(*EVERYDAY, "measure", "near-equal"),
        miniature=Miniature(after=np.negative),
    ),
    Requirement(
        id="signs/self",
        sentence="The divergence of a distribution from itself is zero: exactly, where both arguments are log P.",
        formula="KL(P‖P) = 0",
        reason="Users try this first; the remainder that the rounding of the inputs leaves is known and small.",
        check=self_divergence,
        applies=when.is_divergence,
        families=EVERYDAY,
        miniature=Miniature(term=lambda p, lq: term(p, lq) + 1e-9),
    ),
    Requirement(
        id="signs/generalised",
        sentence="A generalised term is never negative, and 0 only for p = q.",
        formula="p·log(p/q) − p + q ≥ 0, = 0 for p = q alone",
        reason="This form is used where P and Q are measures; a negative term indicates a loss by cancellation.",
        link="https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.kl_div.html",
        check=generalised_terms,
        applies=when.computes(Formula.GENERALISED),
        families=("measure", "dirichlet-flat", "near-equal"),
        revision=2,
        miniature=Miniature(
            term=lambda p, q: generalised(p, q) - 2 * q,
            formula=Formula.GENERALISED,
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
        ),
    ),
    Requirement(
        id="signs/direction",
        sentence="KL(P‖Q) is computed, not KL(Q‖P).",
        formula="Σ p·log(p/q) ≠ Σ q·log(q/p)",
        reason="Argument orders differ between libraries: torch takes the model first, SciPy the data.",
        link=KL_DIV_LOSS,
        check=value_within_tolerance(),
        applies=when.is_divergence,
        families=("asymmetric",),
        miniature=Miniature(term=lambda p, lq: term(np.exp(lq), np.log(p)), log_term=lambda lp, lq: log_term(lq, lp)),
    ),
)
