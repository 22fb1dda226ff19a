"""Gradients: held against the analytic ones, no finite differences."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance import judge
from kl_conformance.judgement import Judgement
from kl_conformance.posing import ordinary
from kl_conformance.requirement import HOW, Applies, Check, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.reductions import spread
from kl_conformance.requirements.support import probabilities
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Sketch, divisor
from kl_conformance.subject import Subject
from kl_conformance.upstream import UpstreamKind, upstream_of
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.enclosure import Array
from kl_reference.problem import Problem

FAMILIES = ("dirichlet-flat", "dirichlet-dense", "power-law", "dirichlet-sparse")
SHAPES = ((4,), (3, 5), (8, 31))


def by(side: Side) -> Check:
    """Differentiate by one side in every space and reduction; by the target, where all of it is positive."""

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for problem in subject.problems(pair, *Reduction):
            if side is Side.MODEL or probabilities(problem)[0].all():
                yield judge.lies(subject.gradient(problem, side))

    return check


def sides(subject: Subject, problem: Problem) -> tuple[Side, ...]:
    """Return the sides to differentiate by: the target only where all of it is positive."""
    positive = bool(probabilities(problem)[0].all())
    return tuple(side for side in subject.sides if side is Side.MODEL or positive)


def upstream(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate by each side with an upstream gradient that is not 1, in every way it may come."""
    for problem in subject.problems(pair, *Reduction):
        for side in sides(subject, problem):
            yield from _from_above(subject, problem, side)


def _from_above(subject: Subject, problem: Problem, side: Side) -> Iterator[Judgement]:
    yield judge.lies(subject.gradient(problem, side, UpstreamKind.PATTERN))
    several = upstream_of(problem).ndim > 0
    if not several and problem.reduction is not subject.finest:
        return  # one number: the other kinds are evaluated with the finest reduction
    huge = subject.gradient(problem, side, UpstreamKind.HUGE)
    yield judge.lies(huge, "the upstream gradient is huge")
    silent = subject.gradient(problem, side, UpstreamKind.ZERO)
    yield judge.exactly(silent, "the upstream gradient is 0, and its answer is not")
    if not subject.framework.strided or not several:
        return
    for layout in ("transposed", "strided"):
        note = f"the upstream gradient lies {layout}"
        yield judge.lies(subject.gradient(problem, side, UpstreamKind.PATTERN, layout), note)
    expanded = subject.gradient(problem, side, UpstreamKind.EXPANDED, "expanded")
    yield judge.lies(expanded, "the upstream gradient is one row expanded", decisive=False)


def logits(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate the pipeline log_softmax → KL by the logits of each side."""
    for problem in subject.problems(pair, *Reduction, model=Space.LOGITS):
        yield judge.lies(subject.gradient(problem, Side.MODEL))
    if Side.TARGET in subject.sides and _led(Side.TARGET)(subject) is None:
        for reduction in subject.offers():
            problem = subject.problem(pair, reduction, target=Space.LOGITS, model=Space.LOGITS)
            if ordinary(problem):
                yield judge.lies(subject.gradient(problem, Side.TARGET))


def small(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate where P is scaled far down: the gradient must be right relative to itself."""
    p = pair.p.expressed(Space.PROBABILITY, pair.axis)
    scale = 2.0 ** (-100 if subject.dtype.least_normal < 1e-30 else -8)
    tiny = Pair(
        Measure(p * scale, Space.PROBABILITY), pair.q, axis=pair.axis, origin=f"{pair.origin}, P scaled down"
    )
    for problem in subject.problems(tiny, *Reduction):
        yield judge.lies(subject.gradient(problem, Side.MODEL))


def masked(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate by logits some of which are −∞ where the target is 0."""
    for target in subject.convention.target:
        problem = subject.problem(pair, target=target, model=Space.LOGITS)
        p, q = probabilities(problem)
        if ((p == 0) & (q == 0)).any() and subject.in_domain(problem):
            yield judge.lies(subject.gradient(problem, Side.MODEL))


def target_at_zero(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate by a target that is 0 somewhere: never NaN, and right everywhere else."""
    for target, model in subject.forms:
        problem = subject.problem(pair, target=target, model=model)
        p, q = probabilities(problem)
        if not ((p == 0) & (q > 0)).any():
            continue
        asked = subject.gradient(problem, Side.TARGET)
        yield judge.holds(asked, ~np.isnan(asked.got), "a finite loss has a NaN gradient")
        yield judge.inside(asked, p > 0)


def odd(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate by each side, unreduced or by rows."""
    for problem in subject.problems(pair):
        for side in sides(subject, problem):
            yield judge.lies(subject.gradient(problem, side))


def broadcast(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate by each side where one of them is broadcast."""
    for one in spread(subject, pair):
        for problem in subject.problems(one, subject.finest, Reduction.MEAN):  # divisors: chapter reductions
            for side in sides(subject, problem):
                yield judge.lies(subject.gradient(problem, side, UpstreamKind.PATTERN))


def _first_copy(gradient: Array, shape: tuple[int, ...]) -> Array:
    """Return the gradient of the first of an argument's copies."""
    while gradient.ndim > len(shape):
        gradient = gradient[0]
    return gradient[tuple(slice(length) for length in shape)]


def _mean_is_sum(reduction: Reduction, shape: tuple[int, ...]) -> float:
    return divisor(Reduction.BATCHMEAN if reduction is Reduction.MEAN else reduction, shape)


def _led(side: Side) -> Applies:
    """Apply where a side's logits can be led in and the gradient back to them."""

    def applies(subject: Subject) -> str | None:
        taken = subject.convention.target if side is Side.TARGET else subject.convention.model
        if subject.implementation.gradient is not None and Space.LOGITS not in taken:
            return f"brings a gradient of its own, which ends at the {taken[0].value}"
        return scope.takes(side, Space.LOG, Space.LOGITS)(subject)

    return applies


REQUIREMENTS = (
    Requirement(
        id="gradients/model",
        sentence="The gradient by log q is −p times the reduction's factor (by q: −p/q; by logits: softmax − p).",
        formula="∂/∂log q = −p · factor",
        reason="This is what training follows; a forward test never sees it.",
        check=by(Side.MODEL),
        applies=scope.differentiable(Side.MODEL),
        families=FAMILIES,
        shapes=SHAPES,
        link=KL_DIV_LOSS,
        miniature=Sketch(divisor=_mean_is_sum),
    ),
    Requirement(
        id="gradients/target",
        sentence="The gradient by the target is right for p > 0, in the space the target is given in.",
        formula="∂/∂p = (log p − log q + 1) · factor; ∂/∂log p = p · (log p − log q + 1) · factor",
        reason="Distillation with a learned teacher, variational methods and policy optimisation use it.",
        check=by(Side.TARGET),
        applies=scope.differentiable(Side.TARGET),
        families=FAMILIES,
        shapes=SHAPES,
        link=KL_DIV_LOSS,
        miniature=Sketch(by_target=lambda p, lq: np.log(p) - lq),
    ),
    Requirement(
        id="gradients/upstream",
        sentence="Upstream gradients are carried through: not uniform, 0, huge, expanded or not contiguous.",
        formula="∂L/∂log q = −p · factor · upstream; ∂L/∂p = (log p − log q + 1) · factor · upstream",
        reason="A kernel that writes its gradient in the forward pass often forgets what comes from above.",
        check=upstream,
        draws=HOW,
        applies=scope.differentiable(*Side),
        families=FAMILIES[:1],  # what comes from above does not ask where P and Q come from
        shapes=((4,), (3, 5)),
        revision=2,
        miniature=Sketch(upstream=lambda upstream: np.ones_like(upstream)),
    ),
    Requirement(
        id="gradients/odd",
        sentence="Gradients are right past the last full block, too: at 33, 129 and 1,025 classes or rows.",
        formula="∂/∂x_i for every i, however many there are",
        reason="A backward pass works in blocks of its own; a forward test never sees the one it leaves out.",
        check=odd,
        draws=HOW,
        applies=scope.differentiable(*Side),
        families=("dirichlet-dense",),
        shapes=((3, 33), (129, 3), (2, 1025)),
        miniature=Sketch(
            by_model=lambda p, lq: np.where(np.arange(p.shape[-1]) < p.shape[-1] // 2 * 2, -p, 0.0)
        ),
    ),
    Requirement(
        id="gradients/broadcast",
        sentence="An argument that is broadcast gets the sum of its copies' gradients, in its own shape.",
        formula="∂L/∂x = Σ over copies of x; shape(∂L/∂x) = shape(x)",
        reason="One teacher row for a whole batch: a backward pass written element by element keeps one copy's share.",
        check=broadcast,
        draws=HOW,
        applies=scope.both(scope.broadcasts, scope.differentiable(*Side)),
        families=FAMILIES[:1],
        shapes=((3, 5),),
        link=KL_DIV_LOSS,
        miniature=Sketch(gathered=_first_copy),
    ),
    Requirement(
        id="gradients/logits",
        sentence="Through log_softmax, the gradient by either side's logits is right: by Q's, softmax·Σp − p.",
        formula="∂/∂x = (softmax(x)·Σp − p) · factor",
        reason="The pair of kernels people fuse.",
        check=logits,
        applies=scope.both(scope.differentiable(Side.MODEL), _led(Side.MODEL)),
        families=("flat-logits", "peaked-logits"),
        shapes=SHAPES,
        revision=2,
        miniature=Sketch(
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            term=lambda p, x: p * (np.log(p) - x + np.log(np.exp(x).sum(-1, keepdims=True))),
            by_model=lambda p, x: np.exp(x) / np.exp(x).sum(-1, keepdims=True) - p * (1 + 1e-6),
        ),
    ),
    Requirement(
        id="gradients/small",
        sentence="Gradients far below any absolute tolerance are right relative to themselves.",
        formula="|got + p| ≤ 3·u·p, also for p ~ 1e-30",
        reason="allclose calls every gradient below 1e-8 right, zero included.",
        check=small,
        revision=2,
        # The generalised form's gradient is 1 − p/q: nothing of it is small.
        applies=scope.both(
            scope.differentiable(Side.MODEL),
            scope.unnormalised,
            scope.unclipped,
            scope.formula(Formula.PLAIN, Formula.CROSS_ENTROPY),
        ),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(by_model=lambda p, lq: np.where(p > 1e-20, -p, 0.0)),
    ),
    Requirement(
        id="gradients/masked",
        sentence="With logits of −∞ the gradient of every other class is right, and 0 for the masked ones.",
        formula="x_i = −∞, p_i = 0 ⇒ ∂/∂x_i = 0",
        reason="One masked class that gives NaN here stops a training run.",
        check=masked,
        applies=scope.both(scope.differentiable(Side.MODEL), _led(Side.MODEL), scope.unsmoothed),
        families=("masked",),
        shapes=SHAPES,
        miniature=Sketch(
            target=(Space.PROBABILITY,),
            model=(Space.LOGITS,),
            by_model=lambda p, x: np.exp(x) / np.exp(x).sum(-1, keepdims=True) + 0 * x - p,
        ),
    ),
    Requirement(
        id="gradients/target-at-zero",
        sentence="At p = 0 the gradient by the target is never NaN, and right for every other class.",
        formula="lim p→0 of (log p − log q + 1) = −∞; ∂/∂log p → 0",
        reason="A finite loss with a NaN gradient destroys the weights in one step.",
        check=target_at_zero,
        applies=scope.both(scope.differentiable(Side.TARGET), scope.unclipped),
        families=("sparse",),
        shapes=SHAPES,
        miniature=Sketch(by_target=lambda p, lq: np.log(p) - lq + p / p),
    ),
)
