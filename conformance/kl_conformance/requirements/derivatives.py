"""Gradients at the edge, beside another, once more, and forwards."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance import judge, transformed
from kl_conformance.evaluation import Evaluation, RefusedError
from kl_conformance.judgement import Criterion, Judgement, Mask
from kl_conformance.requirement import HOW, Level, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.support import probabilities
from kl_conformance.sketch import Array, Sketch
from kl_conformance.subject import Subject
from kl_conformance.transform import Pullback, Transform
from kl_conformance.upstream import pattern, upstream_of
from kl_reference.convention import Reduction, Side, Space
from kl_reference.precision import Profile
from kl_reference.problem import Problem

FAMILIES = ("dirichlet-dense", "dirichlet-flat")
SHAPES = ((3, 5),)
KEPT = (Reduction.TERMS, Reduction.ROWS, Reduction.SUM)  # whose gradient a row has by itself
EDGES = ("unit-model", "equal", "zero-model")


def boundary(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate where q = 1, q = 0 or p = q, and at the limits of a clip."""
    for target, model in subject.forms:
        for asked in (pair, *_clipped(subject, pair)):
            problem = subject.problem(asked, target=target, model=model, subnormals=asked is not pair)
            if not subject.in_domain(problem):
                continue
            p, q = probabilities(problem)
            edge = (q == 1) | (q == 0) | (p == q) | _at_limits(problem, p) | _at_limits(problem, q)
            for side in subject.sides:
                # The target's own edge, p = 0 in a row, is the question of gradients/target-at-zero.
                where = edge & _smooth(problem) if side is Side.TARGET else edge
                if where.any():
                    yield _one_sided(subject.gradient(problem, side), where)


def _smooth(problem: Problem) -> Mask:
    """Return where the answer has a gradient by the target: p > 0 in all of a row, whose logits hang together."""
    p, q = probabilities(problem)
    smooth = p > 0 if problem.target.space is not Space.LOGITS else (p > 0) & (q > 0)
    return np.all(smooth, axis=problem.axis, keepdims=True) if p.ndim else smooth


def _clipped(subject: Subject, pair: Pair) -> Iterator[Pair]:
    """Yield the pair with both limits of the clip among the probabilities of each side."""
    clip = subject.convention.clip
    if clip is None or pair.classes < 4 or pair.p.values.shape != pair.q.values.shape or pair.axis != -1:
        return
    p, q = (np.array(each.expressed(Space.PROBABILITY, pair.axis)) for each in (pair.p, pair.q))
    p[..., :2], q[..., 2:4] = clip, clip
    origin = f"{pair.origin}, with the limits of the clip"
    yield Pair(Measure(p, Space.PROBABILITY), Measure(q, Space.PROBABILITY), pair.axis, origin)


def _at_limits(problem: Problem, probability: Array) -> Mask:
    """Return where a probability is a limit of the clip, as it is rounded."""
    if problem.clip is None:
        return np.zeros(probability.shape, dtype=bool)
    return np.isin(probability, problem.target.dtype.round(np.array(problem.clip)).astype(np.float64))


def _one_sided(asked: Evaluation, where: Mask) -> Judgement:
    """Judge the elements of ``where``: the limit from inside is right, and at a clip's limit 0 as well."""
    assert asked.side is not None
    judgement = judge.inside(asked, where & ~np.isnan(asked.enclosure.value))
    own = probabilities(asked.problem)[asked.side is Side.MODEL]
    outside = _at_limits(asked.problem, own) & (asked.got == 0)
    return replace(
        judgement,
        bad=judgement.bad & ~outside,
        note="not the one-sided limit",
        criterion=Criterion.YES_OR_NO,
    )


def independent(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for both gradients at once, and hold each against the same asked alone."""
    for problem in subject.problems(pair, *Reduction):
        if probabilities(problem)[0].all():
            for asked in transformed.together(subject, problem):
                assert asked.side is not None
                alone = subject.gradient(problem, asked.side)
                yield judge.agrees(asked, alone, "asked for beside the other side's, the gradient is another")


def late(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask twice, of two pairs and reductions, then differentiate: the second, the first; and then one twice."""
    turned = pair.take(np.roll(np.arange(pair.classes), 1))
    offered = subject.offers()
    for problem in subject.problems(pair, *Reduction):
        if not probabilities(problem)[0].all():
            continue
        following = offered[(offered.index(problem.reduction) + 1) % len(offered)]
        other = replace(subject.alike(problem, turned), reduction=following)
        for side in subject.sides:
            first, second = (transformed.later(subject, each, side) for each in (problem, other))
            yield judge.lies(second(upstream_of(other)))
            yield judge.lies(first(upstream_of(problem)), "another call came before the backward pass")
            once_more = partial(_once_more, subject, problem, side)
            yield _unless_refused(subject, problem, Transform.LATER, once_more)


def _once_more(subject: Subject, problem: Problem, side: Side) -> Judgement:
    backward = transformed.later(subject, problem, side, again=True)
    backward(upstream_of(problem))
    return judge.lies(backward(upstream_of(problem)), "the same backward pass, once more")


def second_order(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate the gradient by each side, once more along a direction, under an upstream gradient."""
    kinds = (Reduction.TERMS, Reduction.ROWS, Reduction.MEAN)
    for problem, side in _differentiable(subject, pair, Transform.CURVATURE, *kinds):
        bent = partial(_bent, subject, problem, side)
        yield _unless_refused(subject, problem, Transform.CURVATURE, bent)


def _bent(subject: Subject, problem: Problem, side: Side) -> Judgement:
    asked = transformed.bent(subject, problem, side, pattern(problem.shape), upstream_of(problem))
    # By log q the second derivative is 0, and 0 is what must be given.
    return judge.lies(asked, decisive=bool(np.any(asked.enclosure.value)))


def forward_mode(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Push a tangent of every side forward, then one of 0, through every p ≥ 0."""
    for problem, side in _differentiable(subject, pair, Transform.TANGENT, *Reduction):
        yield judge.lies(transformed.along(subject, problem, side, pattern(problem.shape)))
    for target, model in subject.forms:
        problem = subject.problem(pair, target=target, model=model)
        p, q = probabilities(problem)
        # What p = 0 makes of q = 0 is the question of chapter support.
        if (p >= 0).all() and (q > 0).all() and problem.target.values.shape == problem.model.values.shape:
            for side in subject.sides:
                asked = transformed.along(subject, problem, side, np.zeros(problem.side(side).values.shape))
                yield judge.holds(asked, asked.got == 0, "nothing moves, and the answer does")


def per_row(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate every row by itself, all of them batched, and hold them against the whole's gradient."""
    if len(pair.shape) != 2 or pair.p.values.shape != pair.q.values.shape or pair.axis != -1:
        return
    for problem in subject.problems(pair, *KEPT):
        if probabilities(problem)[0].all():
            for side in subject.sides:
                yield judge.lies(transformed.per_row(subject, problem, side))


def _differentiable(
    subject: Subject, pair: Pair, transform: Transform, *reductions: Reduction
) -> Iterator[tuple[Problem, Side]]:
    """Yield problems with both sides of one shape and all p > 0, and the sides to differentiate by.

    The logits of Q are led through log_softmax where the framework differentiates that as well.
    """
    if pair.p.values.shape != pair.q.values.shape:
        return
    models: tuple[Space | None, ...] = (None,)
    if (
        subject.convention.model[0] is Space.LOG
        and pair.shape
        and transform not in subject.implementation.own
    ):
        models = (None, Space.LOGITS)
    for model in models:
        for problem in subject.problems(pair, *reductions, model=model):
            if probabilities(problem)[0].all():
                for side in subject.sides if model is None else (Side.MODEL,):
                    yield problem, side


def _unless_refused(
    subject: Subject, problem: Problem, transform: Transform, ask: Callable[[], Judgement]
) -> Judgement:
    """Judge what is asked for; to raise instead is as good where the implementation may refuse it."""
    try:
        return ask()
    except RefusedError as refusal:
        if transform not in subject.implementation.refuses:
            raise
        return judge.passes(problem, subject.named, str(refusal))


def _both(subject: Subject) -> str | None:
    return None if subject.sides == tuple(Side) else "is differentiated by one side only"


def _bounded(subject: Subject) -> str | None:
    """Apply where the reference has the derivative along a direction, and a bound of its rounding."""
    if subject.convention.normalise:
        return "divides by sums that would move as well"
    accurate = Profile.of(subject.profile.storage)
    fast = subject.profile.near_one > accurate.near_one or subject.profile.steepness > accurate.steepness
    return "declares fast logarithms, for which no bound along a direction is derived" if fast else None


def _spent(pull: Pullback) -> Pullback:
    """Lets go of what it has saved: a second backward pass gives 0."""
    given: list[Any] = []

    def backward(upstream: Any) -> list[Any]:
        given.append(pull(upstream)[0])
        return [given[0] * (len(given) == 1)]

    return backward


def mean_of_the_batch(rows: Array) -> Array:
    """Takes the batch for something to divide by."""
    return np.asarray(rows / len(rows))


def _second_doubled(both: list[Array]) -> list[Array]:
    return [both[0], 2 * both[1]]


def _dead_at_one(p: Array, log_q: Array) -> Array:
    return np.where(log_q == 0, 0.0, -p + np.zeros_like(log_q))


REQUIREMENTS = (
    Requirement(
        id="gradients/boundary",
        level=Level.SHOULD,
        sentence="At q = 1, q = 0, p = q and at the limits of a clip the gradient is the one-sided limit.",
        formula="lim from inside of ∂/∂x; at a clip's limit 0, the limit from outside, as well",
        reason="A clip or a branch that hands over the gradient of its other side stops learning at the edge.",
        check=boundary,
        applies=scope.differentiable(*Side),
        families=("dirichlet-dense",),
        corners=EDGES,
        shapes=SHAPES,
        miniature=Sketch(by_model=_dead_at_one),
    ),
    Requirement(
        id="gradients/independent",
        sentence="A gradient is the same whether or not the other side's is asked for with it.",
        formula="∇_Q f(P, Q) alone = ∇_Q f(P, Q) beside ∇_P",
        reason="A backward pass that takes a shortcut when the target is constant has two gradients.",
        link="https://github.com/pytorch/pytorch/issues/65466",
        check=independent,
        draws=HOW,
        applies=scope.both(_both, scope.able(Transform.TOGETHER)),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(ways={Transform.TOGETHER: _second_doubled}),
    ),
    Requirement(
        id="gradients/late",
        sentence="A backward pass gives its own call's gradient, however late it comes, and the same a second time.",
        formula="pull₁(g) after f(P₂, Q₂) = pull₁(g); pull₁(g) again = pull₁(g)",
        reason="What is saved in the module, or in one buffer, is the latest call's: two losses in one step show it.",
        link="https://docs.pytorch.org/docs/stable/notes/autograd.html",
        check=late,
        draws=HOW,
        applies=scope.both(scope.differentiable(*Side), scope.able(Transform.LATER)),
        families=("dirichlet-dense",),
        shapes=SHAPES,
        miniature=Sketch(ways={Transform.LATER: _spent}),
    ),
    Requirement(
        id="gradients/second-order",
        level=Level.SHOULD,
        sentence="Second derivatives, where offered, are right: by log q 0, by p 1/p, by logits those of a softmax.",
        formula="∂²/∂p² = 1/p; ∂²/∂(log p)² = p·(log p − log q + 2); by Q's logits diag(s) − s·sᵀ; all times upstream",
        reason="Natural gradients, trust regions and meta-learning differentiate a KL divergence twice.",
        check=second_order,
        draws=HOW,
        applies=scope.both(scope.differentiable(*Side), scope.able(Transform.CURVATURE), _bounded),
        families=("dirichlet-dense", "uniform"),
        shapes=SHAPES,
        miniature=Sketch(bend_target=lambda p, log_q: np.zeros_like(p + log_q)),
    ),
    Requirement(
        id="gradients/forward-mode",
        level=Level.SHOULD,
        sentence="Forward-mode derivatives, where offered, are right, and along a tangent of 0 they are 0.",
        formula="Σ ∂/∂x · v; v = 0 ⇒ 0, at p = 0 too",
        reason="0 · ∞ is NaN: a parameter that does not move still poisons every tangent it meets at p = 0.",
        check=forward_mode,
        draws=HOW,
        applies=scope.both(scope.differentiable(*Side), scope.able(Transform.TANGENT), _bounded),
        families=("dirichlet-dense", "sparse"),
        shapes=SHAPES,
        miniature=Sketch(push=np.multiply),
    ),
    Requirement(
        id="gradients/per-row",
        level=Level.SHOULD,
        sentence="Gradients of single rows, asked of a function and batched by vmap, are those of the whole.",
        formula="vmap(vjp(f))(P, Q)[i] = ∇ Σ f(P[i], Q[i])",
        reason="Per-sample gradients (differential privacy, influence) go through rules that a backward pass does not.",
        link="https://docs.pytorch.org/functorch/stable/notebooks/per_sample_grads.html",
        check=per_row,
        draws=HOW,
        applies=scope.both(scope.differentiable(*Side), scope.able(Transform.PER_ROW)),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(ways={Transform.PER_ROW: mean_of_the_batch}),
    ),
)
