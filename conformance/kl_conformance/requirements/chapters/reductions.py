"""Reductions: none, sum, mean, batchmean; axis and broadcasting."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judge import WeightedAnswer
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import KL_DIV_LOSS, evaluated_or_passed, spread, value_within_tolerance
from kl_conformance.requirements.miniature import Miniature, divisor, reduce
from kl_conformance.requirements.requirement import Check, Level, Requirement
from kl_reference.convention import Reduction

FAMILIES = ("dirichlet-flat", "power-law")
# One row, several rows, several axes: the divisors of all reductions differ.
SHAPES = ((4,), (1, 4), (3, 5), (2, 3, 5))


def by_every_name(*kinds: Reduction) -> Check:
    """Return a check of the given reductions, under each of their names."""

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        if pair.p.values.shape != pair.q.values.shape and not subject.implementation.broadcasts:
            return
        yield from value_within_tolerance(*kinds)(subject, pair)
        yield from _by_alternative_name(subject, pair, *kinds)

    return check


def _by_alternative_name(subject: Subject, pair: Pair, *kinds: Reduction) -> Iterator[Judgement]:
    """Judge reductions under their alternative names, which no other requirement uses."""
    convention = subject.convention
    for name, kind in convention.reductions.items():
        if kind in kinds and name != convention.named(kind):
            for problem in subject.problems(pair, kind):
                call = subject.build_call(problem, reduction=name)
                yield judge.within_tolerance(subject.judged(problem, subject.invoke(call), subject.describe(call)))


def unreduced(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the shape and the dtype of the unreduced answer, also for broadcast inputs."""
    pairs = (pair, *spread(subject, pair)) if subject.implementation.broadcasts else (pair,)
    for each in pairs:
        for problem in subject.problems(each):
            evaluation = subject.evaluate(problem)
            note = f"returned {evaluation.dtype}, expected {subject.dtype.label}"
            yield judge.elementwise(evaluation, np.array(evaluation.dtype == subject.dtype.label), note)
    yield from _by_alternative_name(subject, pair, Reduction.TERMS, Reduction.ROWS)


def sum_of_terms(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare "sum" with the sum of "none"; only the rounding of a sum is allowed."""
    for problem in subject.problems(pair, Reduction.SUM):
        total = subject.evaluate(problem)
        parts = subject.evaluate(replace(problem, reduction=subject.finest))
        sides = (WeightedAnswer(1.0, total), WeightedAnswer(-1.0, parts, summed=True))
        yield judge.identity(sides, '"sum" is not the sum of "none"')
    yield from _by_alternative_name(subject, pair, Reduction.SUM)


def broadcast(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge one row, and one class, against many."""
    for each in spread(subject, pair):
        yield from value_within_tolerance(*when.SUMS)(subject, each)


def empty(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge inputs without rows, then without classes: their sum is 0, and their mean undefined."""
    no_indices = np.array([], dtype=np.intp)
    no_rows, no_classes = pair.take_rows(no_indices), pair.take(no_indices)
    pairs = (no_rows, no_classes) if pair.p.values.size and len(pair.shape) > 1 else (pair,)
    for each in pairs:
        for problem in subject.problems(each, *Reduction):
            evaluation = evaluated_or_passed(subject, problem)
            if isinstance(evaluation, Judgement):
                yield evaluation
                continue
            judgement = judge.within_tolerance(evaluation, "an empty sum is 0", decisive=False)
            if np.isnan(evaluation.enclosure.value).any():
                fine = ~(np.abs(evaluation.returned) > 0)
                judgement = judge.elementwise(evaluation, fine, "an empty mean is NaN or 0")
                if not evaluation.returned.size:  # as undefined as NaN; its sum is judged by its shape
                    judgement = replace(judge.passed(problem, evaluation.call), answer=evaluation.returned)
            yield judgement


def default(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge calls without a reduction argument."""
    kind = subject.convention.reductions[subject.convention.default]
    for problem in subject.problems(pair, kind):
        yield judge.within_tolerance(subject.evaluate(problem, default=True))


def axis(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge calls without an axis argument, with the classes on the documented axis."""
    documented = subject.convention.axis
    if documented is None:
        return
    # Without rows the only axis is the class axis: cross_entropy documents (C), and axis 1 of (N, C, …).
    moved = pair.moved(documented if documented < len(pair.shape) else -1)
    for problem in subject.problems(moved):
        yield judge.within_tolerance(subject.evaluate(problem))


def _has_axis(subject: Subject) -> str | None:
    return "is an elementwise function" if subject.convention.axis is None else None


_requirement = partial(Requirement, link=KL_DIV_LOSS, families=FAMILIES, shapes=SHAPES)
REQUIREMENTS = (
    _requirement(
        id="reductions/none",
        sentence='"none" has the broadcast shape, without the class axis if it returns rows, and the inputs\' dtype.',
        formula="shape(none) = broadcast(P, Q); dtype(none) = dtype(P)",
        reason="A silent upcast or a lost axis shows only later, as memory use or in a broadcast.",
        check=unreduced,
        revision=2,
        miniature=Miniature(after=lambda answer: np.atleast_2d(answer)[..., :1]),
    ),
    _requirement(
        id="reductions/sum",
        sentence='"sum" is the sum of "none".',
        formula="sum = Σ none",
        reason="They are two code paths for one number: the second path of a fused kernel is rarely tested.",
        check=sum_of_terms,
        applies=when.offers(Reduction.SUM),
        families=(*FAMILIES, "measure"),
        shapes=(),
        miniature=Miniature(reduce=lambda terms, how: reduce(terms, how) * (1 + 1e-9 * (how is Reduction.SUM))),
    ),
    _requirement(
        id="reductions/mean",
        sentence='"mean" divides by the number that the Convention documents: of all elements in torch.',
        formula="mean = Σ none ÷ elements",
        reason="The result may differ by the number of classes: a KL of 0.0179 where 0.0716 was expected.",
        check=by_every_name(Reduction.MEAN),
        applies=when.offers(Reduction.MEAN),
        miniature=Miniature(
            reduce=lambda terms, how: np.asarray(terms.sum() / max(divisor(Reduction.ROWMEAN, terms.shape), 1))
        ),
    ),
    _requirement(
        id="reductions/rowmean",
        sentence='Keras\' "sum_over_batch_size" divides by the number of rows, for every rank.',
        formula="sum_over_batch_size = Σ none ÷ rows",
        reason="For sequences the rows are batch × time; dividing by the batch alone is wrong by the length.",
        link="https://keras.io/api/losses/",
        check=by_every_name(Reduction.ROWMEAN),
        applies=when.offers(Reduction.ROWMEAN),
        miniature=Miniature(
            reductions={"none": Reduction.ROWS, "mean": Reduction.ROWMEAN},
            reduce=lambda terms, how: reduce(terms, Reduction.MEAN if how is Reduction.ROWMEAN else how),
        ),
    ),
    _requirement(
        id="reductions/batchmean",
        sentence='"batchmean" divides by the size of axis 0 of the result; in 0-D it does not divide.',
        formula="batchmean = Σ none ÷ shape[0]",
        reason="In 1-D this divides by the classes, in 3-D by the batch and not by the rows.",
        check=by_every_name(Reduction.BATCHMEAN),
        applies=when.offers(Reduction.BATCHMEAN),
        shapes=((), *SHAPES),
        miniature=Miniature(
            reduce=lambda terms, how: reduce(terms, Reduction.MEAN if how is Reduction.BATCHMEAN else how)
        ),
    ),
    _requirement(
        id="reductions/broadcast",
        sentence="With broadcast inputs, each reduction divides by the broadcast size.",
        formula="mean = Σ none ÷ |broadcast(P, Q)|, batchmean = Σ none ÷ broadcast(P, Q).shape[0]",
        reason="One teacher row for many students: a divisor taken from one input is wrong by the batch size.",
        check=broadcast,
        applies=when.all_of(when.broadcasts, when.offers_sums),
        shapes=((3, 5), (2, 3, 5)),
        miniature=Miniature(reduce=lambda terms, how: reduce(terms[:1], how)),
    ),
    _requirement(
        id="reductions/default",
        sentence="The default reduction is the documented one.",
        formula="f(q, p) = f(q, p, reduction=default)",
        reason="Defaults differ: torch divides by all elements, Keras by all rows, optax not at all.",
        check=default,
        miniature=Miniature(reduce=lambda terms, how: reduce(terms, Reduction.SUM)),
    ),
    _requirement(
        id="reductions/axis",
        sentence="The class axis is the documented one, for every rank.",
        formula="Σ over the documented axis",
        reason="SciPy sums over axis 0, Keras and optax over the last: a square batch hides the difference.",
        link="https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.entropy.html",
        check=axis,
        applies=_has_axis,
        shapes=((4,), (5, 5), (2, 3, 5)),
        miniature=Miniature(
            reductions={"none": Reduction.ROWS}, default="none", reduce=lambda terms, how: np.asarray(terms.sum(0))
        ),
    ),
    _requirement(
        id="reductions/empty",
        level=Level.CONVENTION,
        sentence="No rows, or no classes, sum to 0, and their mean is undefined: NaN, 0 or an error.",
        formula="Σ over nothing = 0; 0 ÷ 0 is undefined",
        reason="The last batch of an epoch may be empty, as may a step whose tokens are all filtered out.",
        link="https://github.com/pytorch/pytorch/issues/51910",
        check=empty,
        families=("dirichlet-flat",),
        shapes=((3, 5),),
        miniature=Miniature(reduce=lambda terms, how: reduce(terms, how) * (np.float64(terms.size) / terms.size)),
    ),
)
