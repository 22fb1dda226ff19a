"""Errors: invalid inputs raise instead of returning a number."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from kl_cases.pair import Measure, Pair
from kl_conformance.errors import RefusedError
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations.implementation import Mistake
from kl_conformance.judging import judge
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import KL_DIV_LOSS
from kl_conformance.requirements.miniature import NAMES, Miniature, term
from kl_conformance.requirements.requirement import FaultSource, Level, Requirement
from kl_reference.convention import Formula, Reduction, Side, Space
from kl_reference.problem import Problem
from kl_reports.runfile.records import Kind

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
    """Make an invalid call and judge that it raises, and that its message contains the names."""
    call = subject.build_call(problem, reduction=reduction)
    text = subject.describe(call)
    try:
        got = subject.invoke(alter(call) if alter else call)
    except RefusedError as refusal:
        missing = [name for name in names if name not in str(refusal)]
        if missing:
            return judge.refused(problem, text, refusal, ", ".join(missing))
        return judge.passed(problem, text, str(refusal), raised=True)
    returned = np.array2string(got.values, threshold=4)
    return judge.failed(problem, text, f"{note}: returned {returned} and no error", Kind.ACCEPTED)


def _resized(measure: Measure, shape: tuple[int, ...]) -> Measure:
    """Return the first elements of a measure in another shape."""
    values = np.resize(measure.values, shape)
    return Measure(values, measure.space)


def shape_mismatch(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Pass shapes that do not broadcast: one class fewer, and as many elements in another shape."""
    if len(pair.shape) != 2 or pair.rows == pair.classes or min(pair.shape) < 2:
        return
    rows, classes = pair.shape
    valid = subject.problem(pair)
    for shape in ((rows, classes - 1), (classes, rows)):
        other = subject.problem(Pair(_resized(pair.p, shape), _resized(pair.q, shape), origin=pair.origin))
        mixed = Problem(valid.target, other.model, formula=valid.formula, reduction=valid.reduction, axis=valid.axis)
        note = f"target of shape {(rows, classes)} against a model of shape {shape}"
        yield _must_raise(subject, mixed, note)


def class_mismatch(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Pass one class against many: the shapes broadcast, but are no divergence."""
    if len(pair.shape) not in {1, 2} or pair.classes < 2:
        return
    valid = subject.problem(pair)
    shape = (pair.shape[0], 1)  # one row of C classes meets C rows of one class
    other = subject.problem(Pair(_resized(pair.p, shape), _resized(pair.q, shape), origin=pair.origin))
    for target, model in ((valid.target, other.model), (other.target, valid.model)):
        mixed = Problem(target, model, formula=valid.formula, reduction=valid.reduction, axis=valid.axis)
        note = f"{target.values.shape[-1]} classes against {model.values.shape[-1]}"
        yield _must_raise(subject, mixed, note)


def unknown_reduction(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Request a nonexistent reduction, a misspelt one and those of other libraries."""
    known = tuple(subject.convention.reductions)
    for name in ("no-such-reduction", "batch_mean", "batchmean", "sum_over_batch_size"):
        if name not in known:
            note = f"the reduction {name!r} was accepted"
            yield _must_raise(subject, subject.problem(pair), note, reduction=name, names=known)


def wrong_type(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Pass strings and None in place of tensors, integers, and make the implementation's known mistaken calls."""
    problem = subject.problem(pair)
    # Some implementations document None for the model: an entropy.
    for side, value in (("target", "three fifths"), ("target", None), ("model", "three fifths")):
        note = f"{side}={value!r} was accepted"
        yield _must_raise(subject, problem, note, partial(replace, **{side: value}))
    for name, mistake in subject.implementation.mistakes.items():
        yield _mistaken_call(subject, problem, name, mistake)
    if Space.PROBABILITY in subject.convention.target:
        yield _integer_target(subject, pair)


def _mistaken_call(subject: Subject, problem: Problem, name: str, mistake: Mistake) -> Judgement:
    """Make a call that is not a divergence; any exception passes."""
    call = subject.build_call(problem)
    made = CallDescription(name)
    try:
        mistake(subject.modules, call)
    except Exception as error:
        return judge.passed(problem, made, f"raised {type(error).__name__}: {error}", raised=True)
    return judge.failed(problem, made, f"{name} was accepted", Kind.ACCEPTED)


def _integer_target(subject: Subject, pair: Pair) -> Judgement:
    """Pass one-hot integers as target: an error, or the answer for the same numbers."""
    counts = np.zeros(pair.shape, dtype=np.int64)
    counts[..., 0] = 1
    q = pair.q.expressed(Space.PROBABILITY, pair.axis)
    one_hot = Measure(counts.astype(np.float64), Space.PROBABILITY)
    problem = subject.problem(Pair(one_hot, Measure(q, Space.PROBABILITY), axis=pair.axis), target=Space.PROBABILITY)
    target = subject.framework.from_numpy(subject.modules, counts, subject.column.device)
    call = replace(subject.build_call(problem), target=target)
    text = subject.describe(call).varied(" of integers")
    try:
        got = subject.invoke(call)
    except RefusedError as refusal:
        return judge.passed(problem, text, str(refusal), raised=True)
    return judge.within_tolerance(subject.judged(problem, got, text), "integers were not converted")


def misuse(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Pass probabilities in place of logarithms: the answer follows the formula."""
    q = pair.q.expressed(Space.PROBABILITY, pair.axis)
    swapped_space = Pair(
        pair.p, Measure(q, Space.LOG), axis=pair.axis, origin=f"{pair.origin}, softmax for log_softmax"
    )
    for problem in subject.problems(swapped_space, *Reduction, target=(Space.PROBABILITY,)):
        yield judge.within_tolerance(subject.evaluate(problem), "probabilities were not used as logarithms")


def _named_reductions(subject: Subject) -> str | None:
    return "offers one reduction and accepts no name" if len(subject.convention.reductions) == 1 else None


class _AcceptsEveryName(dict[str, Reduction]):
    def __contains__(self, name: object) -> bool:
        return True

    def __missing__(self, name: str) -> Reduction:
        return Reduction.SUM


def _ones_for_non_arrays(target: Any, model: Any) -> tuple[Any, Any]:
    return (target if isinstance(target, np.ndarray) else np.ones_like(model)), model


_requirement = partial(Requirement, fault_source=FaultSource.CALL, families=FAMILIES, shapes=SHAPES)
REQUIREMENTS = (
    _requirement(
        id="errors/shape-mismatch",
        sentence="Shapes that do not broadcast raise an error, even with equal element counts.",
        formula="shape(P), shape(Q) must broadcast",
        reason="A kernel that checks only the number of elements reads the wrong ones.",
        check=shape_mismatch,
        miniature=Miniature(before=lambda target, model: (np.resize(target, model.shape), model)),
    ),
    _requirement(
        id="errors/class-mismatch",
        sentence="Different numbers of classes are never silently broadcast where distributions are compared.",
        formula="classes(P) = classes(Q)",
        reason="One class against many broadcasts to a plausible number that is not a divergence.",
        check=class_mismatch,
        applies=lambda subject: (
            None
            if subject.implementation.compares_distributions
            else "is documented as an elementwise function that broadcasts"
        ),
        revision=2,
        miniature=Miniature(before=lambda target, model: (target, model)),
    ),
    _requirement(
        id="errors/unknown-reduction",
        sentence="An unknown reduction raises an error whose message lists the known ones.",
        formula="reduction ∈ offered reductions",
        reason='A typo in "batchmean" must not become a sum.',
        link=KL_DIV_LOSS,
        check=unknown_reduction,
        applies=_named_reductions,
        revision=2,
        miniature=Miniature(reductions=_AcceptsEveryName(NAMES)),
    ),
    _requirement(
        id="errors/wrong-type",
        sentence="Strings and None in place of tensors raise an error; integers raise one, too, or are converted.",
        formula="P, Q are arrays of numbers",
        reason="KLDivLoss(a, b) constructs a loss object from data, and the error appears elsewhere.",
        check=wrong_type,
        revision=2,
        miniature=Miniature(before=_ones_for_non_arrays),
    ),
    _requirement(
        id="errors/misuse",
        level=Level.CONVENTION,
        sentence="Probabilities in place of log-probabilities give the formula's value: negative, without an error.",
        formula="softmax in place of log_softmax: Σ p·(log p − q)",
        reason="The loss falls from −0.019 to −0.040 and resembles learning; the number does not reveal the mistake.",
        link=KL_DIV_LOSS,
        check=misuse,
        applies=when.all_of(
            when.computes(Formula.PLAIN),
            when.accepts(Side.TARGET, Space.PROBABILITY),
            when.accepts(Side.MODEL, Space.LOG),
        ),
        families=("one-hot", "dirichlet-flat"),
        shapes=((3, 5), (8, 31)),
        miniature=Miniature(term=lambda p, lq: term(p, np.where(lq > 0, np.log(np.maximum(lq, 1e-300)), lq))),
    ),
)
