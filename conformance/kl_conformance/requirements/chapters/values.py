"""Values: the result is within tolerance of the exact divergence."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.cache import reference
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import EVERYDAY, KL_DIV_LOSS, probabilities, value_within_tolerance
from kl_conformance.requirements.miniature import Array, Miniature, log_term, reduce, term
from kl_conformance.requirements.requirement import Level, Requirement
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.problem import Problem

SAMPLED_TERMS = 8  # terms of a pair that are evaluated in one call each


def pointwise(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge terms; where the implementation offers none, sums of a single term, which are equivalent."""
    if subject.offers(Reduction.TERMS):
        yield from value_within_tolerance(Reduction.TERMS)(subject, pair)
        return
    logs = (each.expressed(Space.LOG, pair.axis) for each in (pair.p, pair.q))
    p, q = (np.broadcast_to(each, pair.shape).ravel() for each in logs)
    rows = bool(subject.offers(Reduction.ROWS))
    # Rows of one class give all terms in one call; otherwise a few are evaluated, one call each, smallest p first.
    sample = np.argsort(p)[np.unique(np.linspace(0, p.size - 1, SAMPLED_TERMS, dtype=int))]
    for chosen in [np.arange(p.size)] if rows else sample[:, np.newaxis]:
        terms = [Measure(values[chosen][:, np.newaxis], Space.LOG) for values in (p, q)]
        origin = f"terms one by one of {pair.origin}"
        for problem in subject.problems(Pair(terms[0], terms[1], origin=origin)):
            yield judge.within_tolerance(subject.evaluate(problem))


def graded(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge terms and determine their accuracy class."""
    for problem in subject.problems(pair, Reduction.TERMS):
        yield judge.graded(subject.evaluate(problem))


def exact_sum(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge a sum whose partial sums are all exact, with a tolerance of zero."""
    for problem in subject.problems(pair, Reduction.SUM, Reduction.ROWS, target=(Space.PROBABILITY,)):
        yield judge.exact(subject.evaluate(problem), "every partial sum is exact, so the sum must be exact")


def from_logits(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the answer from logits: through log_softmax, or directly where logits are accepted."""
    for problem in subject.problems(pair, model=Space.LOGITS):
        yield judge.within_tolerance(subject.evaluate(problem))


def dtype_range(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge answers to numbers near the largest; a sum may overflow where its intermediate results do."""
    for problem in subject.problems(pair):
        if np.max(probabilities(problem)) > subject.dtype.largest:  # logarithms represent larger numbers
            continue
        evaluation = subject.evaluate(problem)
        scale = evaluation.enclosure.scale
        if problem.reduction in when.SUMS and problem.reduction is not Reduction.ROWS:
            # A mean is divided only after the whole sum.
            scale = reference(replace(problem, reduction=Reduction.SUM)).scale
        largest, masses = subject.dtype.largest, np.zeros(())
        if problem.formula is Formula.GENERALISED:  # each of p·log(p/q), p and q may overflow first
            scale, masses = reference(replace(problem, formula=Formula.PLAIN)).scale, _largest_mass(problem)
        within = np.broadcast_to((scale.magnitude < largest) & (masses < largest), evaluation.answer.shape)
        if problem.reduction is Reduction.TERMS and problem.formula is not Formula.GENERALISED:
            yield judge.within_tolerance(evaluation)
        elif within.any():
            yield judge.within_tolerance_where(evaluation, within)


def _largest_mass(problem: Problem) -> Array:
    """Return the larger of Σp and Σq over the classes of each element of the answer."""
    sides = np.stack(probabilities(problem))
    if problem.reduction is Reduction.TERMS:
        return np.asarray(sides.max(0))
    axis = problem.axis if problem.reduction is Reduction.ROWS else tuple(range(-len(problem.shape), 0))
    with np.errstate(over="ignore"):
        return np.asarray(sides.sum(axis).max(0))


def _naive_logits(p: Array, logits: Array) -> Array:
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        weights = np.exp(logits)
        return term(p, np.log(weights / weights.sum(-1, keepdims=True)))


REQUIREMENTS = (
    Requirement(
        id="values/pointwise",
        sentence="Each term, unreduced or summed alone, is within the tolerance of its rounding, at every magnitude.",
        formula="|got − p·(log p − log q)| ≤ k·u·p·(|log p| + |log q|)",
        reason="A fault such as log(p + 1e-10) disappears in a sum over a vocabulary, and shows in a single term.",
        link=KL_DIV_LOSS,
        check=pointwise,
        # A row of one class proves nothing where operands are normalised.
        applies=when.any_of(
            when.offers_terms,
            when.all_of(when.offers_sums, when.not_normalised, when.accepts(Side.MODEL, Space.PROBABILITY, Space.LOG)),
        ),
        families=("ladder", *EVERYDAY, "measure"),
        revision=2,
        miniature=Miniature(term=lambda p, lq: p * (np.log(p + 1e-10) - lq)),
    ),
    Requirement(
        id="values/sum",
        sentence="The sum over classes, and over all elements, is within its tolerance, for odd sizes as well.",
        formula="|got − Σ p·(log p − log q)| ≤ k·u·S + h(n)·u·T + u·|v|",
        reason="Kernels that work in blocks lose the tail; accumulators in half precision stagnate.",
        link=KL_DIV_LOSS,
        check=value_within_tolerance(Reduction.SUM, Reduction.ROWS),
        applies=when.offers(Reduction.SUM, Reduction.ROWS),
        families=(*EVERYDAY, "measure"),
        miniature=Miniature(reduce=lambda terms, how: reduce(terms[..., :-1], how)),
    ),
    Requirement(
        id="values/batch",
        sentence="The mean over rows is within its tolerance.",
        formula="|got − (Σ p·(log p − log q)) / rows| ≤ tolerance / rows",
        reason="This is the usual training loss.",
        link=KL_DIV_LOSS,
        check=value_within_tolerance(Reduction.BATCHMEAN, Reduction.ROWMEAN),
        applies=when.offers(Reduction.BATCHMEAN, Reduction.ROWMEAN),
        families=EVERYDAY,
        miniature=Miniature(after=lambda answer: answer * (1 + 1e-6)),
    ),
    Requirement(
        id="values/mean",
        sentence="The mean over all elements is within its tolerance.",
        formula="|got − (Σ p·(log p − log q)) / elements| ≤ tolerance / elements",
        reason="A mean over rows in its place is wrong by a factor of the number of classes.",
        link=KL_DIV_LOSS,
        check=value_within_tolerance(Reduction.MEAN),
        applies=when.offers(Reduction.MEAN),
        families=EVERYDAY,
        miniature=Miniature(after=lambda answer: answer * 2),
    ),
    Requirement(
        id="values/exact-sum",
        sentence="Where every partial sum is exact, the sum is exact in any order: the tolerance is zero.",
        formula="p ∈ {0, 1}, log q dyadic: got = −Σ log q over p = 1",
        reason="The tolerance of a row of vocabulary size hides one dropped element; an exact problem reveals it.",
        check=exact_sum,
        applies=when.all_of(
            when.computes(Formula.PLAIN, Formula.CROSS_ENTROPY),  # + q adds e^(log q), which is rounded
            when.offers(Reduction.SUM, Reduction.ROWS),
            when.accepts(Side.TARGET, Space.PROBABILITY),
            when.accepts(Side.MODEL, Space.LOG),
        ),
        families=("exact-sum",),
        miniature=Miniature(reduce=lambda terms, how: reduce(terms[..., : max(terms.shape[-1] // 4 * 4, 1)], how)),
    ),
    Requirement(
        id="values/near-equal",
        sentence="For Q within 1e-3 to 1e-12 of P, each term is as accurate as elsewhere.",
        formula="q = p·(1 + δ), 1e-12 ≤ |δ| ≤ 1e-3",
        reason="Late in training, and in policy optimisation, P and Q are nearly equal.",
        check=graded,
        applies=when.all_of(when.offers_terms, when.computes(Formula.PLAIN), when.is_wider_than_16_bits),
        families=("near-equal",),
        miniature=Miniature(
            term=lambda p, lq: p * (np.log(p) - lq) * (1 + 1e-3 * (np.abs(np.log(p) - lq) < 1e-2)),
            log_term=lambda lp, lq: log_term(lp, lq) * (1 + 1e-3 * (np.abs(lp - lq) < 1e-2)),
        ),
    ),
    Requirement(
        id="values/extreme",
        sentence="Subnormal numbers, overflowing ratios and log-probabilities to −1e4 give no spurious 0, ∞ or NaN.",
        formula="p·(log p − log q) for every finite p ≥ 0 and log q, or q > 0",
        reason="The ratio form p·log(p/q) overflows where the difference of logarithms does not.",
        check=value_within_tolerance(subnormals=True),
        families=("extreme", "distant-logs"),
        revision=2,
        miniature=Miniature(term=lambda p, lq: term(p, np.log(np.maximum(np.exp(lq), 1e-300)))),
    ),
    Requirement(
        id="values/half",
        sentence="In a 16-bit dtype, a reduction whose exact result is representable neither overflows nor stagnates.",
        formula="accumulate in float32 or wider, round once",
        reason="A float16 accumulator stops growing at 2048 times its smallest term.",
        check=value_within_tolerance(*when.SUMS),
        applies=when.all_of(when.is_16_bit, when.offers_sums, when.not_normalised),
        families=("half-range",),
        miniature=Miniature(
            reduce=lambda terms, how: reduce(np.cumsum(terms, axis=-1, dtype=terms.dtype)[..., -1:], how)
        ),
    ),
    Requirement(
        id="values/from-logits",
        sentence="From logits through log_softmax, the answer is within the tolerance of the whole pipeline.",
        formula="Σ p·(log p − log_softmax(x))",
        reason="log(softmax(x)) gives −∞ where log_softmax gives −104.",
        link="https://docs.pytorch.org/docs/stable/generated/torch.nn.functional.log_softmax.html",
        check=from_logits,
        applies=when.accepts(Side.MODEL, Space.LOG, Space.LOGITS),
        families=("peaked-logits", "flat-logits", "masked-finite"),
        revision=2,
        miniature=Miniature(term=_naive_logits, target=(Space.PROBABILITY,), model=(Space.LOGITS,)),
    ),
    Requirement(
        id="values/dtype-range",
        level=Level.SHOULD,
        sentence="Near the largest finite number the answer follows the formula; it is infinite only beyond the range.",
        formula="p, q from √MAX to MAX: p·(log p − log q) wherever it is at most MAX",
        reason="p·log p overflows where p·(log p − log q) does not, and ∞ − ∞ is NaN.",
        link="https://github.com/pytorch/pytorch/issues/51910",
        check=dtype_range,
        revision=2,
        applies=when.all_of(when.not_clipped, when.not_normalised),
        families=("largest",),
        miniature=Miniature(term=lambda p, lq: p * np.log(p) - p * lq),
    ),
)
