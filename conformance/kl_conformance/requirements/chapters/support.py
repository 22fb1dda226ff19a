"""Support: zeros, infinities and NaN follow the definition."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.cache import reference
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Criterion, Judgement, Mask
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import evaluated_or_passed, probabilities
from kl_conformance.requirements.miniature import Array, Miniature, log_term, term
from kl_conformance.requirements.requirement import Check, Level, Requirement
from kl_reference.convention import Reduction, Side, Space
from kl_reference.problem import Problem

REL_ENTR = "https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.rel_entr.html"
Where = Callable[[Array, Array], Mask]


def by_definition(
    where: Where, *reductions: Reduction, spaces: tuple[Space, ...] = tuple(Space), exact: bool = False
) -> Check:
    """Return a check of the finest and other reductions against the definition, where a problem has such elements.

    ``where(p, q)`` selects the elements; ``exact`` requires the exact term there. The clip of the Convention is not
    applied: these requirements are about the divergence itself. Without ``reductions`` the sum is checked: the
    divisor of a mean belongs to the chapter reductions.
    """

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for problem in _problems_by_definition(subject, pair, *(reductions or (Reduction.SUM,)), spaces=spaces):
            found = where(*probabilities(problem))
            if not found.any():
                continue
            evaluation = _evaluated(subject, problem)
            if isinstance(evaluation, Judgement):
                yield evaluation
                continue
            yield judge.within_tolerance(evaluation)
            if exact and problem.reduction is Reduction.TERMS:
                yield judge.exact(evaluation, "must contribute exactly its limit", found)

    return check


def _problems_by_definition(
    subject: Subject, pair: Pair, *reductions: Reduction, spaces: tuple[Space, ...] = tuple(Space)
) -> Iterator[Problem]:
    """Yield the problems in every form, in the finest and in other reductions, without the clip."""
    tested = dict.fromkeys((subject.finest, *subject.offers(*reductions)))
    for target, model in subject.forms:
        for reduction in tested if target in spaces else ():
            yield subject.problem(pair, reduction, target=target, model=model, mathematical=True)


def whole_row_masked(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge rows in which every class is masked: they add 0, and the other rows are correct.

    Softmax and normalisation are undefined for such a row: any answer passes there, or an error.
    """
    for problem in _problems_by_definition(subject, pair, Reduction.SUM):
        p, q = probabilities(problem)
        fully_masked = ((p == 0) & (q == 0)).all(problem.axis)
        if not fully_masked.any() or fully_masked.all():
            continue
        evaluation = _evaluated(subject, problem)
        if isinstance(evaluation, Judgement):
            yield evaluation
        else:
            yield judge.within_tolerance_where(evaluation, ~np.isnan(evaluation.enclosure.value))


def _evaluated(subject: Subject, problem: Problem) -> Evaluation | Judgement:
    """Return the evaluation, or a pass for an error where the answer is undefined: normalising a row of zeros."""
    undefined = bool(np.isnan(reference(problem).value).any())
    return evaluated_or_passed(subject, problem) if undefined else subject.evaluate(problem)


def infinite_probability(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge an infinite probability: an infinity, NaN or an error, and other rows unchanged."""
    for target, model in subject.forms:
        problem = subject.problem(pair, target=target, model=model)
        p, q = probabilities(problem)
        infinite = np.isinf(p) | np.isinf(q)
        # 0·(log 0 − log ∞) is 0 by the limit, and NaN in some implementations: both pass.
        not_finite = infinite & ~((p == 0) & np.isinf(q))
        if not not_finite.any():
            continue
        evaluation = evaluated_or_passed(subject, problem)
        if isinstance(evaluation, Judgement):
            yield evaluation
            continue
        infinite, not_finite = (_reduced_any(each, problem) for each in (infinite, not_finite))
        correct = ~not_finite | ~np.isfinite(evaluation.answer)
        yield replace(
            judge.elementwise(evaluation, correct, "a plausible number for an infinite probability"),
            criterion=Criterion.NOT_FINITE,
        )
        yield judge.within_tolerance_where(evaluation, ~infinite)


def nan_input(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge NaN in one side: its own term and the sums that contain it are NaN, nothing else is."""
    for target, model in subject.forms:
        for reduction in subject.offers():
            problem = subject.problem(pair, reduction, target=target, model=model)
            p, q = probabilities(problem)
            if not np.isnan(p + q).any():
                continue
            evaluation = evaluated_or_passed(subject, problem)
            if isinstance(evaluation, Judgement):
                yield evaluation
            else:
                yield judge.within_tolerance(evaluation, decisive=False)


def negative_target(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge a negative probability: NaN, an infinity or an error, never a plausible number."""
    problem = subject.problem(pair, target=Space.PROBABILITY)
    negative = probabilities(problem)[0] < 0
    if not negative.any():
        return
    evaluation = evaluated_or_passed(subject, problem)
    if isinstance(evaluation, Judgement):
        yield evaluation
        return
    correct = ~_reduced_any(negative, problem) | ~np.isfinite(evaluation.answer)
    judgement = judge.elementwise(evaluation, correct, "a plausible number for a negative probability")
    yield replace(judgement, criterion=Criterion.NOT_FINITE)


def _reduced_any(elements: Mask, problem: Problem) -> Mask:
    """Return, for each element of the answer, whether any of the elements it is reduced from is selected."""
    if problem.reduction is Reduction.TERMS:
        return elements
    return np.asarray(elements.any(problem.axis if problem.reduction is Reduction.ROWS else None))


def _clamped(p: Array, log_q: Array) -> Array:
    return term(p, np.maximum(log_q, -50.0))


def _nan_at_zero(p: Array, log_q: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(p * (np.log(p) - log_q))


def _nan_at_masked(p: Array, log_q: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(p == 0, 0.0, p * np.log(p)) - p * log_q)


REQUIREMENTS = (
    Requirement(
        id="support/zero-target",
        sentence="p = 0, q > 0 contributes exactly 0.",
        formula="lim p→0 of p·(log p − log q) = 0",
        reason="One-hot and truncated targets are full of zeros; log 0 must not enter the answer.",
        link=REL_ENTR,
        check=by_definition(lambda p, q: (p == 0) & (q > 0), spaces=(Space.PROBABILITY,), exact=True),
        applies=when.all_of(when.accepts(Side.TARGET, Space.PROBABILITY), when.not_smoothed),
        families=("sparse", "one-hot"),
        corners=("zero-target", "negative-zero-target"),
        revision=2,
        miniature=Miniature(term=_nan_at_zero),
    ),
    Requirement(
        id="support/zero-over-zero",
        sentence="p = 0, q = 0 (log q = −∞, a masked class) contributes exactly 0.",
        formula="0·log(0/0) = 0",
        reason="Masked vocabularies have log q = −∞ where the target is 0; 0·∞ is NaN and makes the whole loss NaN.",
        link=REL_ENTR,
        check=by_definition(lambda p, q: (p == 0) & (q == 0), spaces=(Space.PROBABILITY,), exact=True),
        applies=when.all_of(when.accepts(Side.TARGET, Space.PROBABILITY), when.not_smoothed),
        families=("masked",),
        revision=2,
        miniature=Miniature(term=_nan_at_masked),
    ),
    Requirement(
        id="support/block-masked",
        sentence="A run of masked classes as long as a kernel's block does not affect the other classes.",
        formula="p = q = 0 on a block: Σ over the other classes",
        reason="Online softmax kernels meet a block whose maximum is −∞ and compute −∞ − (−∞).",
        check=by_definition(lambda p, q: (p == 0) & (q == 0)),
        applies=when.is_divergence,
        families=("masked",),
        shapes=((2, 1025), (3, 257)),
        revision=2,
        miniature=Miniature(term=_nan_at_masked, log_term=lambda lp, lq: np.exp(lp) * (lp - lq)),
    ),
    Requirement(
        id="support/whole-row-masked",
        sentence="A row in which every class is masked adds 0, and the other rows are correct.",
        formula="p = q = 0 on a row: Σ over the other rows",
        reason="Padded sequences end in fully masked rows; a NaN there makes the whole batch NaN.",
        check=whole_row_masked,
        applies=when.is_divergence,
        families=("dirichlet-flat",),
        corners=("masked-row",),
        shapes=((3, 5), (8, 31), (2, 3, 5)),
        miniature=Miniature(
            term=lambda p, lq: term(p, lq) + 0 * lq.max(-1, keepdims=True),
            log_term=lambda lp, lq: log_term(lp, lq) + 0 * lq.max(-1, keepdims=True),
        ),
    ),
    Requirement(
        id="support/log-zero-target",
        sentence="A log-target of −∞ contributes exactly 0, for finite log q and for −∞.",
        formula="e^(−∞)·(−∞ − log q) = 0",
        reason="Teachers with masked classes produce log-probabilities of −∞.",
        check=by_definition(lambda p, q: p == 0, spaces=(Space.LOG, Space.LOGITS), exact=True),
        applies=when.accepts(Side.TARGET, Space.LOG, Space.LOGITS),
        families=("masked", "sparse"),
        revision=2,
        miniature=Miniature(log_term=lambda lp, lq: np.exp(lp) * (lp - lq)),
    ),
    Requirement(
        id="support/zero-model",
        sentence="p > 0, q = 0 gives +∞, unreduced and reduced.",
        formula="p·(log p − (−∞)) = +∞",
        reason="A model that excludes a possible event is infinitely wrong; a finite number hides that.",
        link=REL_ENTR,
        check=by_definition(lambda p, q: (p > 0) & (q == 0), *Reduction),
        families=("dirichlet-dense",),  # none of its probabilities underflows in float16
        corners=("zero-model",),
        revision=2,
        miniature=Miniature(term=_clamped, log_term=lambda lp, lq: log_term(lp, np.maximum(lq, -50.0))),
    ),
    Requirement(
        id="support/tiny-model",
        sentence="p > 0 and q tiny but not 0 gives the finite exact value, never +∞ and never a plateau.",
        formula="p·(log p − log q), 0 < q ≪ p",
        reason="An epsilon added to q caps the loss, and its gradient, exactly where learning is needed.",
        check=by_definition(lambda p, q: (p > 0) & (q > 0) & (q < 1e-4)),
        families=("dirichlet-flat", "peaked-logits"),
        corners=("tiny-model",),
        revision=2,
        miniature=Miniature(term=lambda p, lq: term(p, np.log(np.exp(lq) + 1e-7))),
    ),
    Requirement(
        id="support/nan",
        sentence="NaN in p or q gives NaN in that term and every sum that contains it, nowhere else; or an error.",
        formula="NaN ∈ {p, q} ⇒ NaN",
        reason="A loss that drops NaN reports a normal number for a defective model.",
        check=nan_input,
        families=("dirichlet-dense",),  # none of its probabilities underflows in float16
        corners=("nan-target", "nan-model"),
        miniature=Miniature(after=np.nan_to_num),
    ),
    Requirement(
        id="support/negative-target",
        sentence="p < 0 gives NaN, an infinity or an error, never a plausible number.",
        formula="log p is not real for p < 0",
        reason="A negative probability is a bug in earlier code; a plausible loss hides it.",
        check=negative_target,
        applies=when.all_of(when.accepts(Side.TARGET, Space.PROBABILITY), when.not_normalised),
        families=("dirichlet-flat",),
        corners=("negative-target",),
        miniature=Miniature(term=lambda p, lq: term(np.abs(p), lq)),
    ),
    Requirement(
        id="support/infinite",
        level=Level.CONVENTION,
        sentence="An infinite probability gives an infinity, NaN or an error, and does not change the other rows.",
        formula="p = ±∞ or q = ±∞ is no probability",
        reason="exp(89) is ∞ in float32: the overflow should be visible in the answer.",
        link="https://github.com/jax-ml/jax/issues/38239",
        check=infinite_probability,
        applies=when.is_divergence,
        families=("dirichlet-dense",),  # none of its probabilities underflows in float16
        corners=("infinite-target", "infinite-model", "minus-infinite-target", "minus-infinite-model"),
        miniature=Miniature(after=lambda answer: np.nan_to_num(answer, posinf=1.0, neginf=-1.0, nan=0.0)),
    ),
)
