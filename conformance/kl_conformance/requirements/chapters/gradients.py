"""Gradients: against the analytic gradient, without finite differences."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance.harness.problems import ordinary
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judgement import Judgement
from kl_conformance.judging.upstream import UpstreamKind, upstream_of
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import KL_DIV_LOSS, probabilities, sides, spread
from kl_conformance.requirements.miniature import Miniature, divisor
from kl_conformance.requirements.requirement import Applies, Check, FaultSource, Requirement
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.enclosure import Array
from kl_reference.problem import Problem

FAMILIES = ("dirichlet-flat", "dirichlet-dense", "power-law", "dirichlet-sparse")
SHAPES = ((4,), (3, 5), (8, 31))


def by(side: Side) -> Check:
    """Return a check of the gradient with respect to one side; of the target, where all p are positive."""

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for problem in subject.problems(pair, *Reduction):
            if side is Side.MODEL or probabilities(problem)[0].all():
                yield judge.within_tolerance(subject.gradient(problem, side))

    return check


def upstream(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate with respect to each side, with upstream gradients of several values and layouts."""
    for problem in subject.problems(pair, *Reduction):
        for side in sides(subject, problem):
            yield from _upstream_variants(subject, problem, side)


def _upstream_variants(subject: Subject, problem: Problem, side: Side) -> Iterator[Judgement]:
    yield judge.within_tolerance(subject.gradient(problem, side, UpstreamKind.PATTERN))
    several = upstream_of(problem).ndim > 0
    if not several and problem.reduction is not subject.finest:
        return  # a scalar: the other upstream gradients are tested with the finest reduction
    huge = subject.gradient(problem, side, UpstreamKind.HUGE)
    yield judge.within_tolerance(huge, "the upstream gradient is huge")
    zero = subject.gradient(problem, side, UpstreamKind.ZERO)
    yield judge.exact(zero, "the upstream gradient is 0, and its answer is not")
    if not subject.framework.strided or not several:
        return
    for layout in ("transposed", "strided"):
        note = f"the upstream gradient has the layout {layout}"
        yield judge.within_tolerance(subject.gradient(problem, side, UpstreamKind.PATTERN, layout), note)
    expanded = subject.gradient(problem, side, UpstreamKind.EXPANDED, "expanded")
    yield judge.within_tolerance(expanded, "the upstream gradient is one row expanded", decisive=False)


def logits(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate the pipeline log_softmax → KL with respect to the logits of each side."""
    for problem in subject.problems(pair, *Reduction, model=Space.LOGITS):
        yield judge.within_tolerance(subject.gradient(problem, Side.MODEL))
    if Side.TARGET in subject.sides and _accepts_logits(Side.TARGET)(subject) is None:
        for reduction in subject.offers():
            problem = subject.problem(pair, reduction, target=Space.LOGITS, model=Space.LOGITS)
            if ordinary(problem):
                yield judge.within_tolerance(subject.gradient(problem, Side.TARGET))


def small(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate with P scaled far down: the gradient must be correct relative to its own size."""
    p = pair.p.expressed(Space.PROBABILITY, pair.axis)
    scale = 2.0 ** (-100 if subject.dtype.least_normal < 1e-30 else -8)
    small = Measure(p * scale, Space.PROBABILITY)
    tiny = Pair(small, pair.q, axis=pair.axis, origin=f"{pair.origin}, P scaled down")
    for problem in subject.problems(tiny, *Reduction):
        yield judge.within_tolerance(subject.gradient(problem, Side.MODEL))


def masked(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate with respect to logits, some of them −∞ where the target is 0."""
    for target in subject.convention.target:
        problem = subject.problem(pair, target=target, model=Space.LOGITS)
        p, q = probabilities(problem)
        if ((p == 0) & (q == 0)).any() and subject.in_domain(problem):
            yield judge.within_tolerance(subject.gradient(problem, Side.MODEL))


def target_at_zero(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate with respect to a target with zeros: never NaN, and correct at every other class."""
    for target, model in subject.forms:
        problem = subject.problem(pair, target=target, model=model)
        p, q = probabilities(problem)
        if not ((p == 0) & (q > 0)).any():
            continue
        evaluation = subject.gradient(problem, Side.TARGET)
        yield judge.elementwise(evaluation, ~np.isnan(evaluation.answer), "a finite loss has a NaN gradient")
        yield judge.within_tolerance_where(evaluation, p > 0)


def odd(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate with respect to each side, with the finest reduction."""
    for problem in subject.problems(pair):
        for side in sides(subject, problem):
            yield judge.within_tolerance(subject.gradient(problem, side))


def broadcast(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate with respect to each side, one of them broadcast."""
    for each in spread(subject, pair):
        # Other divisors are tested by the chapter reductions.
        for problem in subject.problems(each, subject.finest, Reduction.MEAN):
            for side in sides(subject, problem):
                yield judge.within_tolerance(subject.gradient(problem, side, UpstreamKind.PATTERN))


def _first_copy(gradient: Array, shape: tuple[int, ...]) -> Array:
    while gradient.ndim > len(shape):
        gradient = gradient[0]
    return gradient[tuple(slice(length) for length in shape)]


def _mean_is_sum(reduction: Reduction, shape: tuple[int, ...]) -> float:
    return divisor(Reduction.BATCHMEAN if reduction is Reduction.MEAN else reduction, shape)


def _accepts_logits(side: Side) -> Applies:
    """Apply where the gradient with respect to a side's logits is available, through log_softmax."""

    def applies(subject: Subject) -> str | None:
        accepted = subject.convention.target if side is Side.TARGET else subject.convention.model
        if subject.implementation.gradient is not None and Space.LOGITS not in accepted:
            return f"has its own gradient, with respect to the {accepted[0].value} only"
        return when.accepts(side, Space.LOG, Space.LOGITS)(subject)

    return applies


_requirement = partial(Requirement, families=FAMILIES, shapes=SHAPES)
REQUIREMENTS = (
    _requirement(
        id="gradients/model",
        sentence="The gradient with respect to log q is −p times the reduction's factor; q: −p/q; logits: softmax − p.",
        formula="∂/∂log q = −p · factor",
        reason="Training follows this gradient; a forward test does not exercise it.",
        check=by(Side.MODEL),
        applies=when.differentiable(Side.MODEL),
        link=KL_DIV_LOSS,
        miniature=Miniature(divisor=_mean_is_sum),
    ),
    _requirement(
        id="gradients/target",
        sentence="For p > 0, the gradient with respect to the target is correct, in the space of the target.",
        formula="∂/∂p = (log p − log q + 1) · factor; ∂/∂log p = p · (log p − log q + 1) · factor",
        reason="Distillation with a learned teacher, variational methods and policy optimisation use it.",
        check=by(Side.TARGET),
        applies=when.differentiable(Side.TARGET),
        link=KL_DIV_LOSS,
        miniature=Miniature(by_target=lambda p, lq: np.log(p) - lq),
    ),
    _requirement(
        id="gradients/upstream",
        sentence="Upstream gradients are applied: non-uniform, 0, huge, expanded and non-contiguous ones.",
        formula="∂L/∂log q = −p · factor · upstream; ∂L/∂p = (log p − log q + 1) · factor · upstream",
        reason="A kernel that computes its gradient in the forward pass often ignores the upstream gradient.",
        check=upstream,
        fault_source=FaultSource.CALL,
        applies=when.differentiable(*Side),
        families=FAMILIES[:1],  # the upstream gradient does not depend on P and Q
        shapes=((4,), (3, 5)),
        revision=2,
        miniature=Miniature(upstream=lambda upstream: np.ones_like(upstream)),
    ),
    _requirement(
        id="gradients/odd",
        sentence="Gradients are correct after the last full block, too: at 33, 129 and 1,025 classes or rows.",
        formula="∂/∂x_i for every i, however many there are",
        reason="A backward pass has its own blocks; a forward test does not reveal an element that it skips.",
        check=odd,
        fault_source=FaultSource.CALL,
        applies=when.differentiable(*Side),
        families=("dirichlet-dense",),
        shapes=((3, 33), (129, 3), (2, 1025)),
        miniature=Miniature(by_model=lambda p, lq: np.where(np.arange(p.shape[-1]) < p.shape[-1] // 2 * 2, -p, 0.0)),
    ),
    _requirement(
        id="gradients/broadcast",
        sentence="A broadcast argument receives the sum of its copies' gradients, in its own shape.",
        formula="∂L/∂x = Σ over copies of x; shape(∂L/∂x) = shape(x)",
        reason="One teacher row for a whole batch: an elementwise backward pass returns the gradient of one copy.",
        check=broadcast,
        fault_source=FaultSource.CALL,
        applies=when.all_of(when.broadcasts, when.differentiable(*Side)),
        families=FAMILIES[:1],
        shapes=((3, 5),),
        link=KL_DIV_LOSS,
        miniature=Miniature(sum_copies=_first_copy),
    ),
    _requirement(
        id="gradients/logits",
        sentence="Through log_softmax, the gradient for the logits of either side is correct: softmax·Σp − p for Q.",
        formula="∂/∂x = (softmax(x)·Σp − p) · factor",
        reason="These are the two operations that are usually fused into one kernel.",
        check=logits,
        applies=when.all_of(when.differentiable(Side.MODEL), _accepts_logits(Side.MODEL)),
        families=("flat-logits", "peaked-logits"),
        revision=2,
        miniature=Miniature(
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            term=lambda p, x: p * (np.log(p) - x + np.log(np.exp(x).sum(-1, keepdims=True))),
            by_model=lambda p, x: np.exp(x) / np.exp(x).sum(-1, keepdims=True) - p * (1 + 1e-6),
        ),
    ),
    _requirement(
        id="gradients/small",
        sentence="Gradients far below any absolute tolerance are correct relative to their own size.",
        formula="|got + p| ≤ 3·u·p, also for p ~ 1e-30",
        reason="allclose accepts every gradient below 1e-8, zero included.",
        check=small,
        revision=2,
        # The gradient of the generalised form, 1 − p/q, is not small.
        applies=when.all_of(
            when.differentiable(Side.MODEL),
            when.not_normalised,
            when.not_clipped,
            when.computes(Formula.PLAIN, Formula.CROSS_ENTROPY),
        ),
        miniature=Miniature(by_model=lambda p, lq: np.where(p > 1e-20, -p, 0.0)),
    ),
    _requirement(
        id="gradients/masked",
        sentence="With logits of −∞ the gradient is correct for every other class, and 0 for the masked ones.",
        formula="x_i = −∞, p_i = 0 ⇒ ∂/∂x_i = 0",
        reason="A NaN at one masked class stops a training run.",
        check=masked,
        applies=when.all_of(when.differentiable(Side.MODEL), _accepts_logits(Side.MODEL), when.not_smoothed),
        families=("masked",),
        miniature=Miniature(
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            by_model=lambda p, x: np.exp(x) / np.exp(x).sum(-1, keepdims=True) + 0 * x - p,
        ),
    ),
    _requirement(
        id="gradients/target-at-zero",
        sentence="At p = 0 the gradient with respect to the target is never NaN, and is correct for every other class.",
        formula="lim p→0 of (log p − log q + 1) = −∞; ∂/∂log p → 0",
        reason="A finite loss with a NaN gradient destroys the weights in one step.",
        check=target_at_zero,
        applies=when.all_of(when.differentiable(Side.TARGET), when.not_clipped),
        families=("sparse",),
        miniature=Miniature(by_target=lambda p, lq: np.log(p) - lq + p / p),
    ),
)
