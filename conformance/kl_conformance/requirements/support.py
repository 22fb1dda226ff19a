"""Support: zeros, infinities and NaN, by the definition of the divergence."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.evaluation import Evaluation, RefusedError
from kl_conformance.judgement import Criterion, Judgement, Mask
from kl_conformance.remembered import reference
from kl_conformance.requirement import Check, Level, Requirement
from kl_conformance.requirements import scope
from kl_conformance.sketch import Array, Sketch, log_term, term
from kl_conformance.subject import Subject
from kl_reference.convention import Reduction, Side, Space
from kl_reference.problem import Problem

CONVENTION = "https://docs.scipy.org/doc/scipy/reference/generated/scipy.special.rel_entr.html"
Where = Callable[[Array, Array], Mask]


def probabilities(problem: Problem) -> tuple[Array, Array]:
    """Return p and q of a problem as float64, broadcast; logits as weights e^x.

    What underflows in e^x becomes the least positive number: 0 is for classes that are not there.
    """
    sides = []
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for operand in (problem.target, problem.model):
            wide = operand.values.astype(np.float64)
            weights = np.where(wide == -np.inf, 0.0, np.exp(np.maximum(wide, -745.0)))
            sides.append(wide if operand.space is Space.PROBABILITY else weights)
    p, q = np.broadcast_arrays(*sides)
    return p, q


def mathematically(
    where: Where,
    *reductions: Reduction,
    spaces: tuple[Space, ...] = tuple(Space),
    exact: bool = False,
) -> Check:
    """Hold the finest answer and other reductions against the definition on problems with such an element.

    ``where(p, q)`` finds the elements in question; ``exact`` demands the exact term there. The Convention's
    clip is left out of the answer: these sentences are about the divergence itself. Without ``reductions``
    it is the sum: what a mean divides by is the question of another chapter.
    """

    def check(subject: Subject, pair: Pair) -> Iterator[Judgement]:
        for problem in _defined(subject, pair, *(reductions or (Reduction.SUM,)), spaces=spaces):
            found = where(*probabilities(problem))
            if not found.any():
                continue
            asked = _answered(subject, problem)
            if isinstance(asked, Judgement):
                yield asked
                continue
            yield judge.lies(asked)
            if exact and problem.reduction is Reduction.TERMS:
                yield judge.exactly(asked, "must contribute exactly its limit", found)

    return check


def _defined(
    subject: Subject, pair: Pair, *reductions: Reduction, spaces: tuple[Space, ...] = tuple(Space)
) -> Iterator[Problem]:
    """Yield the problems of every form, finest and otherwise reduced, as the definition has them."""
    asked = dict.fromkeys((subject.finest, *subject.offers(*reductions)))
    for target, model in subject.forms:
        for reduction in asked if target in spaces else ():
            yield subject.problem(pair, reduction, target=target, model=model, mathematical=True)


def whole_row_masked(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask about rows in which every class is masked: they add 0, and the others are right.

    What softmax, or a sum to divide by, makes of such a row is undefined: anything will do there, or an error.
    """
    for problem in _defined(subject, pair, Reduction.SUM):
        p, q = probabilities(problem)
        dead = ((p == 0) & (q == 0)).all(problem.axis)
        if not dead.any() or dead.all():
            continue
        asked = _answered(subject, problem)
        if isinstance(asked, Judgement):
            yield asked
        else:
            yield judge.inside(asked, ~np.isnan(asked.enclosure.value))


def _answered(subject: Subject, problem: Problem) -> Evaluation | Judgement:
    """Return the answer, or that an error was given where nothing is defined: a row of zeros to be normalised."""
    try:
        return subject.evaluate(problem)
    except RefusedError as refusal:
        if not np.isnan(reference(problem).value).any():
            raise
        return judge.passes(problem, subject.named, str(refusal))


def infinite(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over an infinite probability: an infinity, NaN or an error, and other rows untouched."""
    for target, model in subject.forms:
        problem = subject.problem(pair, target=target, model=model)
        p, q = probabilities(problem)
        endless = np.isinf(p) | np.isinf(q)
        # 0·(log 0 − log ∞) is 0 by the limit, and NaN to some.
        asked_of = endless & ~((p == 0) & np.isinf(q))
        if not asked_of.any():
            continue
        try:
            asked = subject.evaluate(problem)
        except RefusedError as refusal:
            yield judge.passes(problem, subject.named, str(refusal))
            continue
        endless, asked_of = (_folded(each, problem) for each in (endless, asked_of))
        fine = ~asked_of | ~np.isfinite(asked.got)
        yield replace(
            judge.holds(asked, fine, "an infinite probability gave a plausible number"),
            criterion=Criterion.NOT_FINITE,
        )
        yield judge.inside(asked, ~endless)


def nan(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Put NaN into one side: its own term and the sums that contain it are NaN, nothing else is."""
    for target, model in subject.forms:
        for reduction in subject.offers():
            problem = subject.problem(pair, reduction, target=target, model=model)
            p, q = probabilities(problem)
            if not np.isnan(p + q).any():
                continue
            try:
                yield judge.lies(subject.evaluate(problem), decisive=False)
            except RefusedError as refusal:
                yield judge.passes(problem, subject.named, str(refusal))


def negative_target(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over a negative probability: NaN, an infinity or an error, never a plausible number."""
    problem = subject.problem(pair, target=Space.PROBABILITY)
    negative = probabilities(problem)[0] < 0
    if not negative.any():
        return
    try:
        asked = subject.evaluate(problem)
    except RefusedError as refusal:
        yield judge.passes(problem, subject.named, str(refusal))
        return
    fine = ~_folded(negative, problem) | ~np.isfinite(asked.got)
    yield replace(
        judge.holds(asked, fine, "a negative probability gave a plausible number"),
        criterion=Criterion.NOT_FINITE,
    )


def _folded(elements: Mask, problem: Problem) -> Mask:
    """Return, for each element of the answer, whether any that it is made of is meant."""
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
        reason="One-hot and smoothed-by-truncation targets are full of zeros; log 0 must not leak.",
        link=CONVENTION,
        check=mathematically(lambda p, q: (p == 0) & (q > 0), spaces=(Space.PROBABILITY,), exact=True),
        applies=scope.both(scope.takes(Side.TARGET, Space.PROBABILITY), scope.unsmoothed),
        families=("sparse", "one-hot"),
        corners=("zero-target", "negative-zero-target"),
        revision=2,
        miniature=Sketch(term=_nan_at_zero),
    ),
    Requirement(
        id="support/zero-over-zero",
        sentence="p = 0, q = 0 (log q = −∞, a masked class) contributes exactly 0.",
        formula="0·log(0/0) = 0",
        reason="Masked vocabularies put −∞ where the target is 0; 0·∞ is NaN and poisons the whole loss.",
        link=CONVENTION,
        check=mathematically(lambda p, q: (p == 0) & (q == 0), spaces=(Space.PROBABILITY,), exact=True),
        applies=scope.both(scope.takes(Side.TARGET, Space.PROBABILITY), scope.unsmoothed),
        families=("masked",),
        revision=2,
        miniature=Sketch(term=_nan_at_masked),
    ),
    Requirement(
        id="support/block-masked",
        sentence="A run of masked classes as long as a kernel's block leaves the rest right.",
        formula="p = q = 0 on a block: Σ over the other classes",
        reason="Online softmax kernels meet a block whose maximum is −∞ and compute −∞ − (−∞).",
        check=mathematically(lambda p, q: (p == 0) & (q == 0)),
        applies=scope.divergence,
        families=("masked",),
        shapes=((2, 1025), (3, 257)),
        revision=2,
        miniature=Sketch(term=_nan_at_masked, log_term=lambda lp, lq: np.exp(lp) * (lp - lq)),
    ),
    Requirement(
        id="support/whole-row-masked",
        sentence="A row in which every class is masked adds 0, and leaves the other rows right.",
        formula="p = q = 0 on a row: Σ over the other rows",
        reason="Padded sequences end in rows of nothing; NaN there is the NaN of the whole batch.",
        check=whole_row_masked,
        applies=scope.divergence,
        families=("dirichlet-flat",),
        corners=("masked-row",),
        shapes=((3, 5), (8, 31), (2, 3, 5)),
        miniature=Sketch(
            term=lambda p, lq: term(p, lq) + 0 * lq.max(-1, keepdims=True),
            log_term=lambda lp, lq: log_term(lp, lq) + 0 * lq.max(-1, keepdims=True),
        ),
    ),
    Requirement(
        id="support/log-zero-target",
        sentence="A log-target of −∞ contributes exactly 0, for finite log q and for −∞.",
        formula="e^(−∞)·(−∞ − log q) = 0",
        reason="Teachers with masked classes hand over log-probabilities of −∞.",
        check=mathematically(lambda p, q: p == 0, spaces=(Space.LOG, Space.LOGITS), exact=True),
        applies=scope.takes(Side.TARGET, Space.LOG, Space.LOGITS),
        families=("masked", "sparse"),
        revision=2,
        miniature=Sketch(log_term=lambda lp, lq: np.exp(lp) * (lp - lq)),
    ),
    Requirement(
        id="support/zero-model",
        sentence="p > 0, q = 0 gives +∞, unreduced and reduced.",
        formula="p·(log p − (−∞)) = +∞",
        reason="A model that excludes what happened is infinitely wrong; a finite number hides that.",
        link=CONVENTION,
        check=mathematically(lambda p, q: (p > 0) & (q == 0), *Reduction),
        families=("dirichlet-dense",),  # none of its probabilities underflows in float16
        corners=("zero-model",),
        revision=2,
        miniature=Sketch(term=_clamped, log_term=lambda lp, lq: log_term(lp, np.maximum(lq, -50.0))),
    ),
    Requirement(
        id="support/tiny-model",
        sentence="p > 0 and q tiny but not 0 gives the finite true value, never +∞, never a plateau.",
        formula="p·(log p − log q), 0 < q ≪ p",
        reason="An epsilon added to q caps the loss, and its gradient, exactly where learning is needed.",
        check=mathematically(lambda p, q: (p > 0) & (q > 0) & (q < 1e-4)),
        families=("dirichlet-flat", "peaked-logits"),
        corners=("tiny-model",),
        revision=2,
        miniature=Sketch(term=lambda p, lq: term(p, np.log(np.exp(lq) + 1e-7))),
    ),
    Requirement(
        id="support/nan",
        sentence="NaN in p or q gives NaN in that term and in every sum that contains it, nowhere else, or an error.",
        formula="NaN ∈ {p, q} ⇒ NaN",
        reason="A loss that swallows NaN reports a healthy number for a broken model.",
        check=nan,
        families=("dirichlet-dense",),  # none of its probabilities underflows in float16
        corners=("nan-target", "nan-model"),
        miniature=Sketch(after=np.nan_to_num),
    ),
    Requirement(
        id="support/negative-target",
        sentence="p < 0 gives NaN, an infinity or an error, never a plausible number.",
        formula="log p is not real for p < 0",
        reason="A negative probability is a bug upstream; a plausible loss lets it live.",
        check=negative_target,
        applies=scope.both(scope.takes(Side.TARGET, Space.PROBABILITY), scope.unnormalised),
        families=("dirichlet-flat",),
        corners=("negative-target",),
        miniature=Sketch(term=lambda p, lq: term(np.abs(p), lq)),
    ),
    Requirement(
        id="support/infinite",
        level=Level.CONVENTION,
        sentence="An infinite probability gives an infinity, NaN or an error, and leaves the other rows alone.",
        formula="p = ±∞ or q = ±∞ is no probability",
        reason="exp(89) is ∞ in float32: what comes of it should look like what it is.",
        link="https://github.com/jax-ml/jax/issues/38239",
        check=infinite,
        applies=scope.divergence,
        families=("dirichlet-dense",),  # none of its probabilities underflows in float16
        corners=("infinite-target", "infinite-model", "minus-infinite-target", "minus-infinite-model"),
        miniature=Sketch(after=lambda answer: np.nan_to_num(answer, posinf=1.0, neginf=-1.0, nan=0.0)),
    ),
)
