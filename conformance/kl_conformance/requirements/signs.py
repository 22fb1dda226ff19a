"""Signs: single terms keep theirs, and a divergence is never below what the log-sum inequality allows."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.judgement import Judgement
from kl_conformance.requirement import Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.support import probabilities
from kl_conformance.requirements.values import EVERYDAY, KL_DIV_LOSS, lies
from kl_conformance.sketch import Array, Sketch, generalised, log_term, term
from kl_conformance.subject import Subject
from kl_reference.convention import Formula, Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Problem

TOTALS = (Reduction.SUM, Reduction.ROWS)


def pointwise(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare the sign of each term that is larger than its tolerance."""
    for problem in subject.problems(pair, Reduction.TERMS):
        asked = subject.evaluate(problem)
        clear = np.abs(asked.enclosure.value) > asked.tolerance.total
        fine = ~clear | (np.sign(asked.got) == np.sign(asked.enclosure.value))
        yield judge.holds(asked, fine, "a term has the wrong sign")


def log_sum_bound(problem: Problem) -> Array:
    """Return P·log(P/Q) for the actual sums P and Q of what each answer element sums over; − P + Q if generalised."""
    if problem.normalise or problem.target.space is Space.LOGITS:
        return np.zeros(())
    p, q = probabilities(problem)
    if problem.model.space is Space.LOGITS:  # a softmax sums to 1; only its sum counts here
        q = np.full(q.shape, 1 / q.shape[problem.axis])
    if problem.clip is not None:
        p, q = np.clip(p, *problem.clip), np.clip(q, *problem.clip)
    if problem.reduction is Reduction.ROWS:
        totals = (p.sum(problem.axis), q.sum(problem.axis))
    else:
        totals = (np.array(math.fsum(p.ravel())), np.array(math.fsum(q.ravel())))
    more = totals[1] - totals[0] if problem.formula is Formula.GENERALISED else 0.0
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(totals[0] > 0, totals[0] * np.log(totals[0] / totals[1]), 0.0) + more


def gibbs(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hold a sum over classes against the log-sum inequality."""
    for problem in subject.problems(pair, *TOTALS):
        asked = subject.evaluate(problem)
        # The bound itself is computed in float64 from sums of as many terms.
        slack = problem.target.values.size * Dtype.FLOAT64.roundoff * (1 + asked.enclosure.scale.condition)
        bound = log_sum_bound(problem) - asked.tolerance.total - slack
        yield judge.holds(asked, ~(asked.got < bound), "lies below P·log(P/Q), which no rounding explains")


def itself(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for the divergence of P from itself."""
    same = Pair(pair.p, pair.p, axis=pair.axis, origin=pair.origin)
    for problem in subject.problems(same):
        asked = subject.evaluate(problem)
        if problem.target.space is problem.model.space is Space.LOG:
            yield judge.exactly(asked, "log P against log P must give exactly 0")
        yield judge.lies(asked, decisive=False)


def never_negative(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for generalised terms: none is negative, and 0 is only what may be 0."""
    for problem in subject.problems(pair):
        asked = subject.evaluate(problem)
        allowed = asked.tolerance.total
        yield judge.holds(asked, ~(asked.got < -allowed), "a generalised term is negative")
        apart = asked.enclosure.value > allowed
        yield judge.holds(asked, ~(apart & (asked.got <= 0)), "a generalised term is 0 though p and q differ")


REQUIREMENTS = (
    Requirement(
        id="signs/pointwise",
        sentence="A term has the sign of the exact term: terms with p < q are negative, and stay negative.",
        formula="sign(got) = sign(log p − log q) wherever |exact| > tolerance",
        reason="Negative terms are right; only their sum over classes is never negative. Clamping them biases it.",
        link=KL_DIV_LOSS,
        check=pointwise,
        applies=scope.both(scope.terms, scope.divergence),
        families=(*EVERYDAY, "measure"),
        miniature=Sketch(
            term=lambda p, lq: np.abs(term(p, lq)), log_term=lambda lp, lq: np.abs(log_term(lp, lq))
        ),
    ),
    Requirement(
        id="signs/gibbs",
        sentence="A sum over classes is at least P·log(P/Q), P and Q the actual sums: not negative for P = Q.",
        formula="Σ p·log(p/q) ≥ P·log(P/Q)",
        reason="A negative loss means swapped arguments, probabilities in place of logarithms, or a wrong kernel.",
        link="https://en.wikipedia.org/wiki/Log_sum_inequality",
        check=gibbs,
        applies=scope.both(scope.divergence, scope.offers(*TOTALS)),
        families=(*EVERYDAY, "measure", "near-equal"),
        miniature=Sketch(after=np.negative),
    ),
    Requirement(
        id="signs/self",
        sentence="A distribution is at distance zero from itself: exactly, where log P is passed for both.",
        formula="KL(P‖P) = 0",
        reason="The first thing people try; what rounding of the inputs leaves is known and small.",
        check=itself,
        applies=scope.divergence,
        families=EVERYDAY,
        miniature=Sketch(term=lambda p, lq: term(p, lq) + 1e-9),
    ),
    Requirement(
        id="signs/generalised",
        sentence="A generalised term is never negative, and 0 only for p = q.",
        formula="p·log(p/q) − p + q ≥ 0, = 0 for p = q alone",
        reason="This form is used where P and Q are measures; a negative term means cancellation went wrong.",
        link="https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.kl_div.html",
        check=never_negative,
        applies=scope.formula(Formula.GENERALISED),
        families=("measure", "dirichlet-flat", "near-equal"),
        revision=2,
        miniature=Sketch(
            term=lambda p, q: generalised(p, q) - 2 * q,
            formula=Formula.GENERALISED,
            target=(Space.PROBABILITY,),
            model=(Space.PROBABILITY,),
        ),
    ),
    Requirement(
        id="signs/direction",
        sentence="KL(P‖Q) and KL(Q‖P) are not confused.",
        formula="Σ p·log(p/q) ≠ Σ q·log(q/p)",
        reason="Argument orders differ between libraries: torch takes the model first, SciPy the data.",
        link=KL_DIV_LOSS,
        check=lies(),
        applies=scope.divergence,
        families=("asymmetric",),
        miniature=Sketch(
            term=lambda p, lq: term(np.exp(lq), np.log(p)), log_term=lambda lp, lq: log_term(lq, lp)
        ),
    ),
)
