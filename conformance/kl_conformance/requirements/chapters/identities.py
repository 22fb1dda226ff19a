"""Identities: one value computed in two ways."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.family import probabilities
from kl_cases.pair import Measure, Pair
from kl_cases.pair import product as product_of
from kl_conformance.harness.problems import ordinary
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judge import WeightedAnswer
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import CROSS_ENTROPY, EVERYDAY, KL_DIV_LOSS
from kl_conformance.requirements.miniature import Miniature, log_term, term
from kl_conformance.requirements.requirement import Level, Requirement
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.enclosure import Array

SHIFT = 3.0
POWER = 20


def one_hot(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge one-hot targets, for which the divergence is −log q of the true class."""
    p = pair.p.expressed(Space.PROBABILITY, pair.axis)
    if set(np.unique(p)) <= {0.0, 1.0} and np.all(p.sum(pair.axis) == 1):
        for problem in subject.problems(pair):
            yield judge.within_tolerance(subject.evaluate(problem), "KL is not −log q of the true class")


def log_target(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare the target as a probability with the target as a log-probability."""
    for reduction in subject.offers():
        forms = [subject.problem(pair, reduction, target=target) for target in (Space.PROBABILITY, Space.LOG)]
        if all(ordinary(problem) for problem in forms):
            one, other = (subject.evaluate(problem) for problem in forms)
            sides = (WeightedAnswer(1.0, one), WeightedAnswer(-1.0, other))
            yield judge.identity(sides, "log-target and probability-target disagree")


def logits_shift(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Add a power of two to logits on a grid coarse enough for an exact sum."""
    q = Measure(pair.q.values + 8.0, pair.q.space)
    shifted = Pair(pair.p, q, axis=pair.axis, origin=f"{pair.origin}, logits + 8")
    for problem, other in zip(
        subject.problems(pair, model=Space.LOGITS), subject.problems(shifted, model=Space.LOGITS), strict=True
    ):
        first, second = subject.evaluate(problem), subject.evaluate(other)
        note = "adding 8 to every logit changed the answer"
        if Space.LOGITS in subject.convention.model:
            # x − logsumexp(x) is a correct normalisation, and rounds once more than log_softmax.
            yield judge.identity((WeightedAnswer(1.0, second), WeightedAnswer(-1.0, first)), note)
        else:
            yield judge.elementwise(second, second.answer == first.answer, note)


def affine(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Lower log q by an exact constant: the divergence increases by that constant times Σ p."""
    q = Measure(pair.q.values - SHIFT, pair.q.space)
    shifted = Pair(pair.p, q, axis=pair.axis, origin=f"{pair.origin}, log q − 3")
    first, second = (
        subject.evaluate(subject.problem(each, target=Space.PROBABILITY, model=Space.LOG)) for each in (pair, shifted)
    )
    yield judge.identity((WeightedAnswer(1.0, second), WeightedAnswer(-1.0, first)), "K(log q − c) is not K + c·Σp")


def scaling(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Scale p by an exact power of two: 2^k·term(2^-k·p) = term(p) − k·ln 2·p."""
    power = POWER if subject.dtype.least_normal < 1e-30 else 4
    p, q = pair.realise(Space.PROBABILITY, subject.convention.model[0], subject.dtype)
    # The values are already in the dtype, so scaling is exact; p must stay normal when scaled.
    values, model = p.values.astype(np.float64), Measure(q.values.astype(np.float64), q.space)
    values = np.where(values >= 2.0**power * subject.dtype.least_normal, values, 1.0)
    first, second = (
        subject.evaluate(
            subject.problem(Pair(Measure(each, Space.PROBABILITY), model, axis=pair.axis, origin=pair.origin))
        )
        for each in (values, values * 2.0**-power)
    )
    sides = (WeightedAnswer(2.0**power, second), WeightedAnswer(-1.0, first))
    yield judge.identity(sides, "2^k·term(2^-k·p) is not term(p) − k·ln 2·p")


def product(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the product of two rows: its divergence is the sum of the rows' divergences."""
    if pair.rows < 2 or len(pair.shape) != 2:
        return
    joint = product_of(pair.take_rows(np.array([0])), pair.take_rows(np.array([1])))
    for problem in subject.problems(joint):
        yield judge.within_tolerance(subject.evaluate(problem))


def jensen_shannon(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge ½·KL(P‖M) + ½·KL(Q‖M): its bounds, and its equality with one call for both, Q first."""
    if not pair.shape or pair.p.values.shape != pair.q.values.shape:
        return
    p, q = (side.expressed(Space.PROBABILITY, pair.axis) for side in (pair.p, pair.q))
    middle = (p + q) / 2
    against_middle = [_against_middle(pair, each, middle) for each in (p, q)]
    joint = _against_middle(pair, np.stack([q, p]), np.stack([middle, middle]))
    for target, reduction in itertools.product(
        subject.convention.target, subject.offers(Reduction.ROWS, Reduction.SUM) or (subject.finest,)
    ):
        problems = [subject.problem(each, reduction, target=target) for each in (*against_middle, joint)]
        if not all(ordinary(each) and subject.in_domain(each) for each in problems):
            continue
        first, second, swapped = (subject.evaluate(each) for each in problems)
        sides = (WeightedAnswer(0.5, first, summed=True), WeightedAnswer(0.5, second, summed=True))
        yield judge.in_range(sides, 0.0, math.log(2.0) * math.fsum(middle.ravel()), "JS is not in [0, ln 2]")
        yield judge.identity((*sides, WeightedAnswer(-0.5, swapped, summed=True)), "JS(P, Q) is not JS(Q, P)")


def _against_middle(pair: Pair, p: Array, middle: Array) -> Pair:
    """Return one side of a pair and the middle (P + Q)/2 as a pair."""
    return replace(probabilities(p, middle), axis=pair.axis, origin=f"{pair.origin}, against (P + Q)/2")


REQUIREMENTS = (
    Requirement(
        id="identities/one-hot",
        sentence="For one-hot P the divergence is −log q of the true class: KL = CE.",
        formula="P = e_y ⇒ KL(P‖Q) = CE(P, Q) = −log q_y",
        reason="Training on hard labels with KL and with cross-entropy must be equivalent.",
        link=CROSS_ENTROPY,
        check=one_hot,
        applies=when.all_of(when.accepts(Side.TARGET, Space.PROBABILITY), when.not_smoothed),
        families=("one-hot",),
        miniature=Miniature(term=lambda p, lq: term(np.maximum(p, 1e-7), lq)),
    ),
    Requirement(
        id="identities/log-target",
        sentence="The log-target and the probability-target forms agree.",
        formula="f(p) = f_log(log p)",
        reason="They are two code paths; faults remain in the one that is used less.",
        link=KL_DIV_LOSS,
        check=log_target,
        applies=when.all_of(when.accepts(Side.TARGET, Space.PROBABILITY), when.accepts(Side.TARGET, Space.LOG)),
        families=EVERYDAY,
        miniature=Miniature(log_term=lambda lp, lq: log_term(lp, lq) - np.exp(lp)),
    ),
    Requirement(
        id="identities/logits-shift",
        sentence="Adding a power of two to logits on an exact grid changes nothing: not one bit after log_softmax.",
        formula="KL(P‖softmax(x + c)) = KL(P‖softmax(x))",
        reason="Logits have no origin: an answer that depends on one overflows for large logits.",
        link="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html",
        check=logits_shift,
        applies=when.accepts(Side.MODEL, Space.LOG, Space.LOGITS),
        families=("grid-logits",),
        miniature=Miniature(
            term=lambda p, x: term(p, x - np.log(np.exp(x).sum(-1, keepdims=True))) + 1e-6 * x,
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
        ),
    ),
    Requirement(
        id="identities/affine",
        sentence="Lowering log q by a constant increases the divergence by that constant times Σp.",
        formula="K(log q − c) = K(log q) + c·Σp",
        reason="It holds at any size without a logarithm; clamps and rounded operands violate it.",
        check=affine,
        applies=when.all_of(
            when.computes(Formula.PLAIN),
            when.accepts(Side.TARGET, Space.PROBABILITY),
            when.accepts(Side.MODEL, Space.LOG),
        ),
        families=("dyadic",),
        miniature=Miniature(term=lambda p, lq: term(p, np.maximum(lq, -2.0))),
    ),
    Requirement(
        id="identities/scaling",
        sentence="Scaling p by a power of two scales the term and adds p times the logarithm of that power.",
        formula="2^k·term(2^−k·p) = term(p) − k·ln 2·p",
        reason="It reveals an epsilon of 1e-12 without a reference, which no tolerance at that scale can.",
        check=scaling,
        applies=when.all_of(
            when.offers_terms,
            when.not_clipped,
            when.computes(Formula.PLAIN),
            when.accepts(Side.TARGET, Space.PROBABILITY),
        ),
        families=("dirichlet-flat", "dirichlet-dense"),
        miniature=Miniature(term=lambda p, lq: p * (np.log(p + 1e-12) - lq)),
    ),
    Requirement(
        id="identities/product",
        sentence="The divergence of product distributions is the sum of their divergences.",
        formula="KL(P₁⊗P₂‖Q₁⊗Q₂) = KL(P₁‖Q₁) + KL(P₂‖Q₂)",
        reason="Additivity makes the divergence a measure of information.",
        link="https://en.wikipedia.org/wiki/Kullback%E2%80%93Leibler_divergence#Properties",
        check=product,
        applies=when.is_divergence,
        families=("dirichlet-flat", "dirichlet-dense"),
        shapes=((3, 5), (8, 31)),
        miniature=Miniature(term=lambda p, lq: term(p, lq) + p * p),
    ),
    Requirement(
        id="identities/jensen-shannon",
        level=Level.SHOULD,
        sentence="The Jensen-Shannon divergence, computed from two KLs, is between 0 and ln 2 and symmetric.",
        formula="M = (P + Q)/2: 0 ≤ JS = ½·KL(P‖M) + ½·KL(Q‖M) ≤ ln 2; JS(P, Q) = JS(Q, P)",
        reason="A JS above ln 2 is in another base of the logarithm, or its middle is not (P + Q)/2.",
        link="https://en.wikipedia.org/wiki/Jensen%E2%80%93Shannon_divergence",
        check=jensen_shannon,
        applies=when.is_divergence,
        families=("one-hot", "dirichlet-sparse", "dirichlet-flat"),
        shapes=((4,), (3, 5), (8, 31)),
        miniature=Miniature(
            term=lambda p, lq: term(p, lq) / np.log(2.0), log_term=lambda lp, lq: log_term(lp, lq) / np.log(2.0)
        ),
    ),
)
