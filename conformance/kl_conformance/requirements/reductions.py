"""Reductions: what is summed, and what it is divided by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance import judge
from kl_conformance.evaluation import RefusedError
from kl_conformance.judge import Weighed
from kl_conformance.judgement import Judgement
from kl_conformance.requirement import Check, Level, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.values import KL_DIV_LOSS, lies
from kl_conformance.sketch import Sketch, divisor, reduce
from kl_conformance.subject import Subject
from kl_reference.convention import Reduction
from kl_reports.result import Kind

FAMILIES = ("dirichlet-flat", "power-law")
# One row, several rows, several axes: every divisor is another number in each.
SHAPES = ((4,), (1, 4), (3, 5), (2, 3, 5))


def named(*kinds: Reduction) -> Check:
    """Ask for reductions of these kinds, by every name they have."""

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        if pair.p.values.shape != pair.q.values.shape and not subject.implementation.broadcasts:
            return
        yield from lies(*kinds)(subject, pair)
        yield from _otherwise(subject, pair, *kinds)

    return check


def _otherwise(subject: Subject, pair: Pair, *kinds: Reduction) -> Iterator[Judgement]:
    """Ask by the second names of reductions, which nothing else does."""
    convention = subject.convention
    for name, kind in convention.reductions.items():
        if kind in kinds and name != convention.named(kind):
            for problem in subject.problems(pair, kind):
                call = subject.call(problem, reduction=name)
                yield judge.lies(subject.judged(problem, subject.ask(call), subject.describe(call)))


def none(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Look at the shape and the dtype of the unreduced answer, of broadcast inputs as well."""
    pairs = (pair, *spread(subject, pair)) if subject.implementation.broadcasts else (pair,)
    for each in pairs:
        for problem in subject.problems(each):
            asked = subject.evaluate(problem)
            shapes, given = asked.misshapen, asked.got.shape
            if shapes is not None:
                judgement = judge.holds(asked, np.full(given, False), shapes.note)
                yield replace(judgement, kind=Kind.SHAPE, misshapen=shapes)
            else:
                note = f"gave {asked.dtype} where {subject.dtype.label} is right"
                yield judge.holds(asked, np.full(given, asked.dtype == subject.dtype.label), note)
    yield from _otherwise(subject, pair, Reduction.TERMS, Reduction.ROWS)


def total(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare "sum" with the sum of "none", allowing a sum's own rounding only."""
    for problem in subject.problems(pair, Reduction.SUM):
        whole = subject.evaluate(problem)
        parts = subject.evaluate(replace(problem, reduction=subject.finest))
        sides = (Weighed(1.0, whole), Weighed(-1.0, parts, summed=True))
        yield judge.balances(sides, '"sum" is not the sum of "none"')
    yield from _otherwise(subject, pair, Reduction.SUM)


def spread(subject: Subject, pair: Pair) -> Iterator[Pair]:
    """Yield one row for P, then one for Q, against many of the other; likewise one class, where that is promised."""
    if pair.rows < 2:
        return
    rows = [Measure(m.values.reshape(-1, pair.classes)[0], m.space) for m in (pair.p, pair.q)]
    for p, q in ((rows[0], pair.q), (pair.p, rows[1])):
        yield Pair(p, q, axis=pair.axis, origin=f"{pair.origin}, one row broadcast")
    if not subject.implementation.compares_distributions:
        classes = [Measure(m.values[..., :1], m.space) for m in (pair.p, pair.q)]
        for p, q in ((classes[0], pair.q), (pair.p, classes[1])):
            yield Pair(p, q, axis=pair.axis, origin=f"{pair.origin}, one class broadcast")


def broadcast(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over one row against many, and one class."""
    for one in spread(subject, pair):
        yield from lies(*scope.SUMS)(subject, one)


def empty(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over no rows, then no classes: nothing adds up to 0, and has no mean."""
    nothing = np.array([], dtype=np.intp)
    batch, classes = pair.take_rows(nothing), pair.take(nothing)
    pairs = (batch, classes) if pair.p.values.size and len(pair.shape) > 1 else (pair,)
    for each in pairs:
        for problem in subject.problems(each, *Reduction):
            try:
                asked = subject.evaluate(problem)
            except RefusedError as refusal:
                yield judge.passes(problem, subject.named, str(refusal))
                continue
            judgement = judge.lies(asked, "a sum of nothing is 0", decisive=False)
            if np.isnan(asked.enclosure.value).any():
                judgement = judge.holds(asked, ~(np.abs(asked.got) > 0), "a mean of nothing is NaN or 0")
            yield judgement


def default(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Leave the reduction unsaid."""
    kind = subject.convention.reductions[subject.convention.default]
    for problem in subject.problems(pair, kind):
        yield judge.lies(subject.evaluate(problem, default=True))


def axis(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Put the classes on the documented axis and leave the axis unsaid."""
    documented = subject.convention.axis
    if documented is None:
        return
    # Without rows there is one axis, and it has the classes: cross_entropy documents (C), and axis 1 of (N, C, …).
    moved = pair.moved(documented if documented < len(pair.shape) else -1)
    for problem in subject.problems(moved):
        yield judge.lies(subject.evaluate(problem))


def _knows_axis(subject: Subject) -> str | None:
    return "works element by element" if subject.convention.axis is None else None


REQUIREMENTS = (
    Requirement(
        id="reductions/none",
        sentence='"none" has the broadcast shape, classes summed away where rows are kept, and the inputs\' dtype.',
        formula="shape(none) = broadcast(P, Q); dtype(none) = dtype(P)",
        reason="A silent upcast or a lost axis shows up far away, in memory or in a broadcast.",
        link=KL_DIV_LOSS,
        check=none,
        families=FAMILIES,
        shapes=SHAPES,
        revision=2,
        miniature=Sketch(after=lambda answer: np.atleast_2d(answer)[..., :1]),
    ),
    Requirement(
        id="reductions/sum",
        sentence='"sum" is the sum of "none".',
        formula="sum = Σ none",
        reason="Two code paths, one number: fused kernels have a second one that nobody compares.",
        link=KL_DIV_LOSS,
        check=total,
        applies=scope.offers(Reduction.SUM),
        families=(*FAMILIES, "measure"),
        miniature=Sketch(reduce=lambda terms, how: reduce(terms, how) * (1 + 1e-9 * (how is Reduction.SUM))),
    ),
    Requirement(
        id="reductions/mean",
        sentence='"mean" divides by what the Convention says: every element in torch.',
        formula="mean = Σ none ÷ elements",
        reason="The factor-of-classes question: a KL of 0.0179 where 0.0716 was expected.",
        link=KL_DIV_LOSS,
        check=named(Reduction.MEAN),
        applies=scope.offers(Reduction.MEAN),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(
            reduce=lambda terms, how: np.asarray(
                terms.sum() / max(divisor(Reduction.ROWMEAN, terms.shape), 1)
            )
        ),
    ),
    Requirement(
        id="reductions/rowmean",
        sentence='Keras\' "sum_over_batch_size" divides by every row, whatever the rank.',
        formula="sum_over_batch_size = Σ none ÷ rows",
        reason="For sequences the rows are batch × time; dividing by the batch alone is off by the length.",
        link="https://keras.io/api/losses/",
        check=named(Reduction.ROWMEAN),
        applies=scope.offers(Reduction.ROWMEAN),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(
            reductions={"none": Reduction.ROWS, "mean": Reduction.ROWMEAN},
            reduce=lambda terms, how: reduce(terms, Reduction.MEAN if how is Reduction.ROWMEAN else how),
        ),
    ),
    Requirement(
        id="reductions/batchmean",
        sentence='"batchmean" divides by the size of axis 0 of the result; nothing is divided in 0-D.',
        formula="batchmean = Σ none ÷ shape[0]",
        reason="In 1-D this divides by the classes, in 3-D by the batch and not by the rows.",
        link=KL_DIV_LOSS,
        check=named(Reduction.BATCHMEAN),
        applies=scope.offers(Reduction.BATCHMEAN),
        families=FAMILIES,
        shapes=((), *SHAPES),
        miniature=Sketch(
            reduce=lambda terms, how: reduce(terms, Reduction.MEAN if how is Reduction.BATCHMEAN else how),
        ),
    ),
    Requirement(
        id="reductions/broadcast",
        sentence="With broadcast inputs each reduction still divides by the broadcast size.",
        formula="mean = Σ none ÷ |broadcast(P, Q)|, batchmean = Σ none ÷ broadcast(P, Q).shape[0]",
        reason="One teacher row for many students: a divisor read off one input is wrong by the batch.",
        link=KL_DIV_LOSS,
        check=broadcast,
        applies=scope.both(scope.broadcasts, scope.sums),
        families=FAMILIES,
        shapes=((3, 5), (2, 3, 5)),
        miniature=Sketch(reduce=lambda terms, how: reduce(terms[:1], how)),
    ),
    Requirement(
        id="reductions/default",
        sentence="The default reduction is the documented one.",
        formula="f(q, p) = f(q, p, reduction=default)",
        reason="Defaults differ: torch divides by every element, Keras by every row, optax not at all.",
        link=KL_DIV_LOSS,
        check=default,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(reduce=lambda terms, how: reduce(terms, Reduction.SUM)),
    ),
    Requirement(
        id="reductions/axis",
        sentence="The class axis is the documented one, for every rank.",
        formula="Σ over the documented axis",
        reason="SciPy sums over axis 0, Keras and optax over the last: a square batch hides the difference.",
        link="https://docs.scipy.org/doc/scipy/reference/generated/scipy.stats.entropy.html",
        check=axis,
        applies=_knows_axis,
        families=FAMILIES,
        shapes=((4,), (5, 5), (2, 3, 5)),
        miniature=Sketch(
            reductions={"none": Reduction.ROWS},
            default="none",
            reduce=lambda terms, how: np.asarray(terms.sum(0)),
        ),
    ),
    Requirement(
        id="reductions/empty",
        level=Level.CONVENTION,
        sentence="No rows, or no classes, add up to 0 and have no mean: NaN, 0 or an error.",
        formula="Σ over nothing = 0; 0 ÷ 0 is undefined",
        reason="The last batch of an epoch, or a step whose tokens are all filtered out, may be empty.",
        link="https://github.com/pytorch/pytorch/issues/51910",
        check=empty,
        families=("dirichlet-flat",),
        shapes=((3, 5),),
        miniature=Sketch(
            reduce=lambda terms, how: reduce(terms, how) * (np.float64(terms.size) / terms.size)
        ),
    ),
)
