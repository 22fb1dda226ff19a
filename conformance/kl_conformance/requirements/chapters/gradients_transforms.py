"""Gradients: at the boundary, of both arguments at once, higher order, forward mode."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance.errors import RefusedError
from kl_conformance.frameworks.transform import Pullback, Transform
from kl_conformance.harness import transformed_calls
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Criterion, Judgement, Mask
from kl_conformance.judging.upstream import pattern, upstream_of
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import mean_of_the_batch, probabilities
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import FaultSource, Level, Requirement
from kl_reference.convention import Reduction, Side, Space
from kl_reference.problem import Problem
from kl_reference.tolerance import Profile

FAMILIES = ("dirichlet-dense", "dirichlet-flat")
SHAPES = ((3, 5),)
# In these reductions the gradient of a row does not depend on other rows.
ROW_SEPARABLE = (Reduction.TERMS, Reduction.ROWS, Reduction.SUM)
BOUNDARIES = ("unit-model", "equal", "zero-model")


def at_boundary(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate where q = 1, q = 0 or p = q, and at the limits of a clip."""
    for target, model in subject.forms:
        for each in (pair, *_clipped(subject, pair)):
            problem = subject.problem(each, target=target, model=model, subnormals=each is not pair)
            if not subject.in_domain(problem):
                continue
            p, q = probabilities(problem)
            boundary = (q == 1) | (q == 0) | (p == q) | _at_limits(problem, p) | _at_limits(problem, q)
            for side in subject.sides:
                # The boundary p = 0 of the target is tested by gradients/target-at-zero.
                where = boundary & _smooth(problem) if side is Side.TARGET else boundary
                if where.any():
                    yield _one_sided(subject.gradient(problem, side), where)


def _smooth(problem: Problem) -> Mask:
    """Return where the gradient with respect to the target exists: in rows with p > 0, and q > 0 for logits."""
    p, q = probabilities(problem)
    smooth = p > 0 if problem.target.space is not Space.LOGITS else (p > 0) & (q > 0)
    return np.all(smooth, axis=problem.axis, keepdims=True) if p.ndim else smooth


def _clipped(subject: Subject, pair: Pair) -> Iterator[Pair]:
    """Yield the pair with both limits of the clip among the probabilities of both sides."""
    clip = subject.convention.clip
    if clip is None or pair.classes < 4 or pair.p.values.shape != pair.q.values.shape or pair.axis != -1:
        return
    p, q = (np.array(each.expressed(Space.PROBABILITY, pair.axis)) for each in (pair.p, pair.q))
    p[..., :2], q[..., 2:4] = clip, clip
    origin = f"{pair.origin}, with the limits of the clip"
    yield Pair(Measure(p, Space.PROBABILITY), Measure(q, Space.PROBABILITY), pair.axis, origin)


def _at_limits(problem: Problem, probability: Array) -> Mask:
    """Return where a probability equals a limit of the clip, rounded to the dtype."""
    if problem.clip is None:
        return np.zeros(probability.shape, dtype=bool)
    return np.isin(probability, problem.target.dtype.round(np.array(problem.clip)).astype(np.float64))


def _one_sided(evaluation: Evaluation, where: Mask) -> Judgement:
    """Judge the elements of ``where``: the limit from inside is correct, and at a limit of the clip 0 as well."""
    assert evaluation.side is not None
    judgement = judge.within_tolerance_where(evaluation, where & ~np.isnan(evaluation.enclosure.value))
    probability = probabilities(evaluation.problem)[evaluation.side is Side.MODEL]
    outside = _at_limits(evaluation.problem, probability) & (evaluation.answer == 0)
    return replace(
        judgement, failed=judgement.failed & ~outside, note="not the one-sided limit", criterion=Criterion.YES_OR_NO
    )


def independent(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compute both gradients at once, and compare each with the same gradient computed alone."""
    for problem in subject.problems(pair, *Reduction):
        if probabilities(problem)[0].all():
            for evaluation in transformed_calls.joint_gradients(subject, problem):
                assert evaluation.side is not None
                alone = subject.gradient(problem, evaluation.side)
                yield judge.same_answer(
                    evaluation, alone, "computed together with the other side's, the gradient differs"
                )


def after_other_calls(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Make two calls of different pairs and reductions, differentiate the second, then the first; then one twice."""
    rotated = pair.take(np.roll(np.arange(pair.classes), 1))
    offered = subject.offers()
    for problem in subject.problems(pair, *Reduction):
        if not probabilities(problem)[0].all():
            continue
        next_reduction = offered[(offered.index(problem.reduction) + 1) % len(offered)]
        other = replace(subject.with_pair(problem, rotated), reduction=next_reduction)
        for side in subject.sides:
            first, second = (transformed_calls.deferred_gradient(subject, each, side) for each in (problem, other))
            yield judge.within_tolerance(second(upstream_of(other)))
            yield judge.within_tolerance(first(upstream_of(problem)), "another call was made before the backward pass")
            repeated = partial(_repeated_backward, subject, problem, side)
            yield _unless_refused(subject, problem, Transform.DEFERRED, repeated)


def _repeated_backward(subject: Subject, problem: Problem, side: Side) -> Judgement:
    backward = transformed_calls.deferred_gradient(subject, problem, side, again=True)
    backward(upstream_of(problem))
    return judge.within_tolerance(backward(upstream_of(problem)), "the backward pass is repeated")


def second_order(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate the gradient with respect to each side along a direction, with an upstream gradient."""
    kinds = (Reduction.TERMS, Reduction.ROWS, Reduction.MEAN)
    for problem, side in _differentiable(subject, pair, Transform.CURVATURE, *kinds):
        evaluate = partial(_second_derivative, subject, problem, side)
        yield _unless_refused(subject, problem, Transform.CURVATURE, evaluate)


def _second_derivative(subject: Subject, problem: Problem, side: Side) -> Judgement:
    evaluation = transformed_calls.directional_second_derivative(
        subject, problem, side, pattern(problem.shape), upstream_of(problem)
    )
    # The second derivative with respect to log q is 0, which an implementation must return.
    return judge.within_tolerance(evaluation, decisive=bool(np.any(evaluation.enclosure.value)))


def forward_mode(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the derivative along a direction of each side, then along a direction of 0, also at p = 0."""
    for problem, side in _differentiable(subject, pair, Transform.TANGENT, *Reduction):
        yield judge.within_tolerance(
            transformed_calls.directional_derivative(subject, problem, side, pattern(problem.shape))
        )
    for target, model in subject.forms:
        problem = subject.problem(pair, target=target, model=model)
        p, q = probabilities(problem)
        # q = 0 is tested by the chapter support.
        if (p >= 0).all() and (q > 0).all() and problem.target.values.shape == problem.model.values.shape:
            for side in subject.sides:
                evaluation = transformed_calls.directional_derivative(
                    subject, problem, side, np.zeros(problem.side(side).values.shape)
                )
                yield judge.elementwise(
                    evaluation, evaluation.answer == 0, "the direction is 0, and the derivative is not"
                )


def per_row(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Differentiate single rows, batched, and compare them with the gradient of the whole."""
    if len(pair.shape) != 2 or pair.p.values.shape != pair.q.values.shape or pair.axis != -1:
        return
    for problem in subject.problems(pair, *ROW_SEPARABLE):
        if probabilities(problem)[0].all():
            for side in subject.sides:
                yield judge.within_tolerance(transformed_calls.row_gradients(subject, problem, side))


def _differentiable(
    subject: Subject, pair: Pair, transform: Transform, *reductions: Reduction
) -> Iterator[tuple[Problem, Side]]:
    """Yield problems with operands of equal shape and all p > 0, with the sides to differentiate.

    The logits of Q pass through log_softmax where the framework differentiates that as well.
    """
    if pair.p.values.shape != pair.q.values.shape:
        return
    models: tuple[Space | None, ...] = (None,)
    own = transform in subject.implementation.custom_transforms
    if subject.convention.model[0] is Space.LOG and pair.shape and not own:
        models = (None, Space.LOGITS)
    for model in models:
        for problem in subject.problems(pair, *reductions, model=model):
            if probabilities(problem)[0].all():
                for side in subject.sides if model is None else (Side.MODEL,):
                    yield problem, side


def _unless_refused(
    subject: Subject, problem: Problem, transform: Transform, evaluate: Callable[[], Judgement]
) -> Judgement:
    """Return the judgement; an error passes as well where the implementation may refuse the transform."""
    try:
        return evaluate()
    except RefusedError as refusal:
        if transform not in subject.implementation.may_refuse:
            raise
        return judge.passed(problem, subject.named, str(refusal))


def _has_both_gradients(subject: Subject) -> str | None:
    return None if subject.sides == tuple(Side) else "is differentiable with respect to one side only"


def _has_bound(subject: Subject) -> str | None:
    """Apply where the reference bounds the rounding of a derivative along a direction."""
    if subject.convention.normalise:
        return "divides by sums, whose derivatives are not bounded"
    accurate = Profile.of(subject.profile.storage)
    fast = subject.profile.near_one > accurate.near_one or subject.profile.steepness > accurate.steepness
    return "declares fast logarithms, for which derivatives along a direction have no bound" if fast else None


def _freed_after_first(pull: Pullback) -> Pullback:
    """Free the saved tensors after the first backward pass: the second returns 0."""
    calls: list[Any] = []

    def backward(upstream: Any) -> list[Any]:
        calls.append(pull(upstream)[0])
        return [calls[0] * (len(calls) == 1)]

    return backward


def _second_doubled(both: list[Array]) -> list[Array]:
    return [both[0], 2 * both[1]]


_requirement = partial(Requirement, fault_source=FaultSource.CALL, shapes=SHAPES)
REQUIREMENTS = (
    _requirement(
        id="gradients/boundary",
        level=Level.SHOULD,
        sentence="At q = 1, q = 0, p = q and at the limits of a clip, the gradient is the one-sided limit.",
        formula="lim from inside of ∂/∂x; at a clip's limit 0, the limit from outside, as well",
        reason="A clip or a branch that returns the gradient of its other side stops learning at the boundary.",
        check=at_boundary,
        applies=when.differentiable(*Side),
        families=("dirichlet-dense",),
        corners=BOUNDARIES,
        fault_source=FaultSource.VALUES,
        miniature=Miniature(by_model=lambda p, log_q: np.where(log_q == 0, 0.0, -p + np.zeros_like(log_q))),
    ),
    _requirement(
        id="gradients/independent",
        sentence="A gradient is the same whether it is computed alone or together with the other side's gradient.",
        formula="∇_Q f(P, Q) alone = ∇_Q f(P, Q) beside ∇_P",
        reason="A backward pass with a shortcut for constant targets has two code paths for one gradient.",
        link="https://github.com/pytorch/pytorch/issues/65466",
        check=independent,
        applies=when.all_of(_has_both_gradients, when.supports_transform(Transform.JOINT)),
        families=FAMILIES,
        miniature=Miniature(after_transform={Transform.JOINT: _second_doubled}),
    ),
    _requirement(
        id="gradients/late",
        sentence="A backward pass returns the gradient of its own call, also after later calls and when repeated.",
        formula="pull₁(g) after f(P₂, Q₂) = pull₁(g); pull₁(g) again = pull₁(g)",
        reason="State saved in a module or in one buffer belongs to the latest call: two losses in one step reveal it.",
        link="https://docs.pytorch.org/docs/stable/notes/autograd.html",
        check=after_other_calls,
        applies=when.all_of(when.differentiable(*Side), when.supports_transform(Transform.DEFERRED)),
        families=("dirichlet-dense",),
        miniature=Miniature(after_transform={Transform.DEFERRED: _freed_after_first}),
    ),
    _requirement(
        id="gradients/second-order",
        level=Level.SHOULD,
        sentence="Second derivatives, where offered, are correct: 0 for log q, 1/p for p, a softmax's for logits.",
        formula="∂²/∂p² = 1/p; ∂²/∂(log p)² = p·(log p − log q + 2); by Q's logits diag(s) − s·sᵀ; all times upstream",
        reason="Natural gradients, trust regions and meta-learning differentiate a KL divergence twice.",
        check=second_order,
        applies=when.all_of(when.differentiable(*Side), when.supports_transform(Transform.CURVATURE), _has_bound),
        families=("dirichlet-dense", "uniform"),
        miniature=Miniature(second_by_target=lambda p, log_q: np.zeros_like(p + log_q)),
    ),
    _requirement(
        id="gradients/forward-mode",
        level=Level.SHOULD,
        sentence="Forward-mode derivatives, where offered, are correct, and 0 along a tangent of 0.",
        formula="Σ ∂/∂x · v; v = 0 ⇒ 0, at p = 0 too",
        reason="0 · ∞ is NaN: a parameter that does not change still makes tangents NaN at p = 0.",
        check=forward_mode,
        applies=when.all_of(when.differentiable(*Side), when.supports_transform(Transform.TANGENT), _has_bound),
        families=("dirichlet-dense", "sparse"),
        miniature=Miniature(jvp=np.multiply),
    ),
    _requirement(
        id="gradients/per-row",
        level=Level.SHOULD,
        sentence="Gradients of single rows, computed by a batched function (vmap), equal the gradient of the whole.",
        formula="vmap(vjp(f))(P, Q)[i] = ∇ Σ f(P[i], Q[i])",
        reason="Per-sample gradients (as in differential privacy) use batching rules, unlike a backward pass.",
        link="https://docs.pytorch.org/functorch/stable/notebooks/per_sample_grads.html",
        check=per_row,
        applies=when.all_of(when.differentiable(*Side), when.supports_transform(Transform.PER_ROW)),
        families=FAMILIES,
        miniature=Miniature(after_transform={Transform.PER_ROW: mean_of_the_batch}),
    ),
)
