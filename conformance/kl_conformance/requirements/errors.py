"""Errors: what cannot be a divergence must not come back as a number."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance import judge
from kl_conformance.call import CallDescription
from kl_conformance.evaluation import RefusedError
from kl_conformance.implementation import Call
from kl_conformance.judgement import Judgement
from kl_conformance.requirement import HOW, Level, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import NAMES, Sketch, term
from kl_conformance.subject import Subject
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.problem import Problem
from kl_reports.result import Kind

FAMILIES = ("dirichlet-flat",)
SHAPES = ((3, 5),)


def _must_raise(
    subject: Subject,
    problem: Problem,
    note: str,
    alter: Callable[[Any], Any] | None = None,
    reduction: str | None = None,
    names: tuple[str, ...] = (),
) -> Judgement:
    """Make a call that cannot be answered and judge that it raises, and that the message has the names."""
    call = subject.call(problem, reduction=reduction)
    text = subject.describe(call)
    try:
        got = subject.ask(alter(call) if alter else call)
    except RefusedError as refusal:
        unsaid = [name for name in names if name not in str(refusal)]
        if unsaid:
            return judge.refused(problem, text, refusal, ", ".join(unsaid))
        return judge.passes(problem, text, str(refusal), raised=True)
    given = np.array2string(got.values, threshold=4)
    return judge.fails(problem, text, f"{note}: gave {given} and no error", Kind.ACCEPTED)


def _cut(measure: Measure, shape: tuple[int, ...]) -> Measure:
    """Return the first elements of a measure in another shape."""
    values = np.resize(measure.values, shape)
    return Measure(values, measure.space)


def shape_mismatch(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over shapes that do not broadcast: one class fewer, and the same count in another shape."""
    if len(pair.shape) != 2 or pair.rows == pair.classes or min(pair.shape) < 2:
        return
    rows, classes = pair.shape
    good = subject.problem(pair)
    for shape in ((rows, classes - 1), (classes, rows)):
        other = subject.problem(Pair(_cut(pair.p, shape), _cut(pair.q, shape), origin=pair.origin))
        mixed = Problem(
            good.target, other.model, formula=good.formula, reduction=good.reduction, axis=good.axis
        )
        note = f"target of shape {(rows, classes)} against a model of shape {shape}"
        yield _must_raise(subject, mixed, note)


def class_mismatch(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over one class against many: a broadcast, but no divergence."""
    if len(pair.shape) not in {1, 2} or pair.classes < 2:
        return
    good = subject.problem(pair)
    shape = (pair.shape[0], 1)  # one row of C classes meets C rows of one class
    other = subject.problem(Pair(_cut(pair.p, shape), _cut(pair.q, shape), origin=pair.origin))
    for target, model in ((good.target, other.model), (other.target, good.model)):
        mixed = Problem(target, model, formula=good.formula, reduction=good.reduction, axis=good.axis)
        note = f"{target.values.shape[-1]} classes against {model.values.shape[-1]}"
        yield _must_raise(subject, mixed, note)


def unknown_reduction(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for a reduction nobody offers, for a misspelt one and for another library's."""
    known = tuple(subject.convention.reductions)
    for name in ("no-such-reduction", "batch_mean", "batchmean", "sum_over_batch_size"):
        if name not in known:
            note = f"the reduction {name!r} was accepted"
            yield _must_raise(subject, subject.problem(pair), note, reduction=name, names=known)


def wrong_type(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over strings and None where tensors belong, integers, and whatever else people mistake for the call."""
    problem = subject.problem(pair)
    # None for the model is an entropy to some, as documented.
    for side, thing in (("target", "three fifths"), ("target", None), ("model", "three fifths")):
        note = f"{side}={thing!r} was accepted"
        yield _must_raise(subject, problem, note, partial(replace, **{side: thing}))
    for name, mistake in subject.implementation.mistakes.items():
        yield _mistaken(subject, problem, name, mistake)
    if Space.PROBABILITY in subject.convention.target:
        yield _of_integers(subject, pair)


def _mistaken(
    subject: Subject, problem: Problem, name: str, mistake: Callable[[Any, Call], Any]
) -> Judgement:
    """Make a call that is none of a divergence; whatever the framework raises will do."""
    call = subject.call(problem)
    made = CallDescription(name)
    try:
        mistake(subject.modules, call)
    except Exception as error:
        return judge.passes(problem, made, f"raised {type(error).__name__}: {error}", raised=True)
    return judge.fails(problem, made, f"{name} was accepted", Kind.ACCEPTED)


def _of_integers(subject: Subject, pair: Pair) -> Judgement:
    """Hand over one-hot integers as target: an error, or the answer for the same numbers."""
    counts = np.zeros(pair.shape, dtype=np.int64)
    counts[..., 0] = 1
    q = pair.q.expressed(Space.PROBABILITY, pair.axis)
    hot = Measure(counts.astype(np.float64), Space.PROBABILITY)
    problem = subject.problem(
        Pair(hot, Measure(q, Space.PROBABILITY), axis=pair.axis), target=Space.PROBABILITY
    )
    target = subject.framework.raw(subject.modules, counts, subject.column.device)
    call = replace(subject.call(problem), target=target)
    text = subject.describe(call).varied(" of integers")
    try:
        got = subject.ask(call)
    except RefusedError as refusal:
        return judge.passes(problem, text, str(refusal), raised=True)
    return judge.lies(subject.judged(problem, got, text), "integers were not converted")


def misuse(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hand over probabilities where logarithms belong: the formula is followed, and the number explained."""
    q = pair.q.expressed(Space.PROBABILITY, pair.axis)
    mistaken = Pair(
        pair.p, Measure(q, Space.LOG), axis=pair.axis, origin=f"{pair.origin}, softmax for log_softmax"
    )
    for problem in subject.problems(mistaken, *Reduction, target=(Space.PROBABILITY,)):
        yield judge.lies(subject.evaluate(problem), "probabilities were taken for logarithms")


def _named_reductions(subject: Subject) -> str | None:
    return "offers one reduction and takes no name" if len(subject.convention.reductions) == 1 else None


class _Forgiving(dict[str, Reduction]):
    """Takes every unknown name for a sum."""

    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Reduction:
        return Reduction.SUM


def _flat(target: Any, model: Any) -> tuple[Any, Any]:
    return np.resize(target, model.shape), model


def _anything(target: Any, model: Any) -> tuple[Any, Any]:
    return (target if isinstance(target, np.ndarray) else np.ones_like(model)), model


REQUIREMENTS = (
    Requirement(
        id="errors/shape-mismatch",
        sentence="Shapes that do not broadcast raise; equal element counts are no excuse.",
        formula="shape(P), shape(Q) must broadcast",
        reason="A kernel that counts elements only reads the wrong ones.",
        check=shape_mismatch,
        draws=HOW,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(before=_flat),
    ),
    Requirement(
        id="errors/class-mismatch",
        sentence="Another number of classes is never silently broadcast where distributions are compared.",
        formula="classes(P) = classes(Q)",
        reason="One class against many broadcasts into a plausible number that is no divergence.",
        check=class_mismatch,
        draws=HOW,
        applies=lambda subject: (
            None
            if subject.implementation.compares_distributions
            else "promises an elementwise function that broadcasts"
        ),
        families=FAMILIES,
        shapes=SHAPES,
        revision=2,
        miniature=Sketch(before=lambda target, model: (target, model)),
    ),
    Requirement(
        id="errors/unknown-reduction",
        sentence="An unknown reduction raises, and the message names the known ones.",
        formula="reduction ∈ offered reductions",
        reason='A typo in "batchmean" must not become a sum.',
        link=KL_DIV_LOSS,
        check=unknown_reduction,
        draws=HOW,
        applies=_named_reductions,
        families=FAMILIES,
        shapes=SHAPES,
        revision=2,
        miniature=Sketch(reductions=_Forgiving(NAMES)),
    ),
    Requirement(
        id="errors/wrong-type",
        sentence="Strings and None where tensors belong raise; integers do, or are the numbers they say.",
        formula="P, Q are arrays of numbers",
        reason="KLDivLoss(a, b) builds a loss out of data and fails somewhere else.",
        check=wrong_type,
        draws=HOW,
        families=FAMILIES,
        shapes=SHAPES,
        revision=2,
        miniature=Sketch(before=_anything),
    ),
    Requirement(
        id="errors/misuse",
        level=Level.CONVENTION,
        sentence="Probabilities where log-probabilities belong give the formula's number: negative, and no error.",
        formula="softmax in place of log_softmax: Σ p·(log p − q)",
        reason="The loss falls from −0.019 to −0.040 and looks like learning; nothing in the number says why.",
        link=KL_DIV_LOSS,
        check=misuse,
        draws=HOW,
        applies=scope.both(
            scope.formula(Formula.PLAIN),
            scope.takes(Side.TARGET, Space.PROBABILITY),
            scope.takes(Side.MODEL, Space.LOG),
        ),
        families=("one-hot", "dirichlet-flat"),
        shapes=((3, 5), (8, 31)),
        miniature=Sketch(term=lambda p, lq: term(p, np.where(lq > 0, np.log(np.maximum(lq, 1e-300)), lq))),
    ),
)
