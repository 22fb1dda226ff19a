"""Reductions: deprecated argument names and sample weights."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.specifiers import SpecifierSet

from kl_cases.pair import Pair
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations.implementation import Spelling, Weighting
from kl_conformance.judging import judge
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Judgement, Mask
from kl_conformance.requirements.checks import KL_DIV_LOSS
from kl_conformance.requirements.miniature import Miniature, apply_weights
from kl_conformance.requirements.requirement import Level, Requirement
from kl_reference.convention import Reduction, Space
from kl_reference.problem import Operand, Problem
from kl_reports.versions import meets

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((2, 4), (3, 5))
UNREDUCED = frozenset({Reduction.TERMS, Reduction.ROWS})
WRONG_WEIGHT = "the weights of rows are not applied as documented"


def legacy(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Request reductions by their deprecated arguments, and judge the answer and the warning."""
    for spelling in subject.implementation.legacy:
        for problem in subject.problems(pair, spelling.reduction):
            yield from _legacy_call(subject, problem, spelling)


def _legacy_call(subject: Subject, problem: Problem, spelling: Spelling) -> Iterator[Judgement]:
    call = replace(subject.build_call(problem, default=True), options=spelling.options)
    text = subject.describe(call)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = subject.invoke(call)
    yield judge.within_tolerance(subject.judged(problem, got, text), "not the documented reduction")
    if any("reduction" in str(warning.message) for warning in caught):
        yield judge.passed(problem, text)
    else:
        yield judge.failed(problem, text, "no warning names the replacement")


def weights(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Apply weights to the rows, then a mask to every second class."""
    if len(pair.shape) != 2 or min(pair.shape) < 2:
        return
    for weighting in subject.implementation.weightings:
        if _offered_in_version(subject, weighting.versions):
            yield from _weighted(subject, pair, weighting)
    if subject.implementation.masks and _offered_in_version(subject, subject.implementation.masks):
        yield from _masked_classes(subject, pair)


def _offered_in_version(subject: Subject, versions: str) -> bool:
    return not versions or meets(subject.column.version, SpecifierSet(versions), as_release=True)


def _weighted(subject: Subject, pair: Pair, weighting: Weighting) -> Iterator[Judgement]:
    """Apply the weights 0, 4, 2, 2, …: a row counts as many times as its weight."""
    count = np.full(pair.rows, 2)
    count[:2] = 0, 4
    kind = weighting.kind
    repeated = pair if kind in UNREDUCED else pair.take_rows(np.repeat(np.arange(pair.rows), count))
    for plain, expected in zip(subject.problems(pair, kind), subject.problems(repeated, kind), strict=True):
        call = subject.build_call(plain, reduction=weighting.reduction)
        call = replace(call, weights=_tensor(subject, count))
        evaluation = subject.judged(expected, subject.invoke(call), subject.describe(call).varied(", weighed"))
        if kind in UNREDUCED:
            yield from _weighted_rows(evaluation, count.reshape(-1, *(1,) * (evaluation.answer.ndim - 1)))
        elif kind is Reduction.SUM or weighting.by_weights:
            yield judge.within_tolerance(evaluation, WRONG_WEIGHT)
        else:  # divided by the number of rows, half the sum of the weights
            yield judge.within_tolerance(replace(evaluation, returned=evaluation.answer / 2), WRONG_WEIGHT)


def _weighted_rows(evaluation: Evaluation, count: NDArray[Any]) -> Iterator[Judgement]:
    """Judge each row divided by its weight; division by a power of two is exact."""
    nonzero: Mask = np.broadcast_to(count > 0, evaluation.answer.shape)
    yield judge.elementwise(evaluation, nonzero | (evaluation.answer == 0), "a row of weight 0 is not 0")
    yield judge.within_tolerance_where(replace(evaluation, returned=evaluation.answer / np.maximum(count, 1)), nonzero)


def _masked_classes(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Mask every second class, which is NaN: the answer is that of the other classes."""
    kept = np.arange(pair.classes) % 2 == 0
    for target in subject.convention.target:
        for reduction in subject.offers(Reduction.ROWS, Reduction.SUM):
            plain = subject.problem(pair, reduction, target=target)
            p, q = (replace(each, values=np.where(kept, each.values, np.nan)) for each in (plain.target, plain.model))
            call = subject.build_call(replace(plain, target=p, model=q))
            call = replace(call, mask=_tensor(subject, np.broadcast_to(kept, pair.shape)))
            expected = subject.problem(pair.take(np.flatnonzero(kept)), reduction, target=target)
            evaluation = subject.judged(expected, subject.invoke(call), subject.describe(call).varied(", masked"))
            yield judge.within_tolerance(evaluation, "a masked class is not ignored")


def _tensor(subject: Subject, values: NDArray[Any]) -> Any:
    """Return weights or a mask as a tensor in the column's dtype."""
    operand = Operand(values.astype(subject.dtype.carrier), Space.PROBABILITY, subject.dtype)
    return subject.framework.tensor(subject.modules, operand, subject.column.device, "contiguous")


def _has_legacy(subject: Subject) -> str | None:
    if not subject.implementation.legacy:
        return "documents no deprecated reduction arguments"
    if subject.compiled:
        return "deprecated arguments are handled before compilation: tested in eager columns"
    return None


def _has_weights(subject: Subject) -> str | None:
    implementation = subject.implementation
    offered = (*(each.versions for each in implementation.weightings), *filter(None, [implementation.masks]))
    if any(_offered_in_version(subject, versions) for versions in offered):
        return None
    return "accepts neither weights nor a mask"


REQUIREMENTS = (
    Requirement(
        id="reductions/legacy",
        level=Level.SHOULD,
        sentence="Deprecated reduction arguments select the documented reduction and issue a warning.",
        formula="size_average=False: sum; reduce=False: none; otherwise mean, whatever `reduction` says",
        reason="Code written before 2018 still runs; the meaning of its arguments must not change.",
        link=KL_DIV_LOSS,
        check=legacy,
        applies=_has_legacy,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Miniature(legacy_reduction=lambda options: "mean" if options["reduce"] else "none"),
    ),
    Requirement(
        id="reductions/weights",
        level=Level.SHOULD,
        sentence="A row of weight w counts w times; a masked class does not count, whatever its value.",
        formula="none: w·row; sum: Σ w·row; mean: Σ w·row ÷ rows, or ÷ Σ w where documented",
        reason="A mean divided by the rows differs from one divided by the weights by the share of padding.",
        link="https://keras.io/api/losses/",
        check=weights,
        applies=_has_weights,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Miniature(apply_weights=lambda terms, count: apply_weights(terms, count / count.mean())),
    ),
)
