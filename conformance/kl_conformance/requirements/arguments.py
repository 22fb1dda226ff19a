"""Arguments: reductions asked for by their old names, and weighed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from packaging.specifiers import SpecifierSet

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.evaluation import Evaluation
from kl_conformance.implementation import Spelling, Weighting, covers
from kl_conformance.judgement import Judgement, Mask
from kl_conformance.requirement import Level, Requirement
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Sketch, weigh
from kl_conformance.subject import Subject
from kl_reference.convention import Reduction, Space
from kl_reference.problem import Operand, Problem

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((2, 4), (3, 5))
KEPT = frozenset({Reduction.TERMS, Reduction.ROWS})
UNWEIGHED = "rows do not weigh what they should"


def legacy(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for reductions in their old ways, and listen for the warning."""
    for spelling in subject.implementation.legacy:
        for problem in subject.problems(pair, spelling.reduction):
            yield from _old(subject, problem, spelling)


def _old(subject: Subject, problem: Problem, spelling: Spelling) -> Iterator[Judgement]:
    call = replace(subject.call(problem, default=True), options=spelling.options)
    text = subject.describe(call)
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        got = subject.ask(call)
    yield judge.lies(subject.judged(problem, got, text), "not the reduction it is documented to mean")
    if any("reduction" in str(warning.message) for warning in heard):
        yield judge.passes(problem, text)
    else:
        yield judge.fails(problem, text, "no warning says how to ask instead")


def weights(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Give the rows weights, then leave every second class out."""
    if len(pair.shape) != 2 or min(pair.shape) < 2:
        return
    for weighting in subject.implementation.weightings:
        if _covers(subject, weighting.versions):
            yield from _weighed(subject, pair, weighting)
    if subject.implementation.masks and _covers(subject, subject.implementation.masks):
        yield from _masked(subject, pair)


def _covers(subject: Subject, versions: str) -> bool:
    return covers(SpecifierSet(versions), subject.column.version)


def _weighed(subject: Subject, pair: Pair, weighting: Weighting) -> Iterator[Judgement]:
    """Give the rows the weights 0, 4, 2, 2, …: a row counts as if it were there so many times."""
    count = np.full(pair.rows, 2)
    count[:2] = 0, 4
    kind = weighting.kind
    whole = pair if kind in KEPT else pair.take_rows(np.repeat(np.arange(pair.rows), count))
    for plain, due in zip(subject.problems(pair, kind), subject.problems(whole, kind), strict=True):
        call = subject.call(plain, reduction=weighting.reduction)
        call = replace(call, weights=_tensor(subject, count))
        asked = subject.judged(due, subject.ask(call), subject.describe(call).varied(", weighed"))
        if kind in KEPT:
            yield from _each(asked, count.reshape(-1, *(1,) * (asked.got.ndim - 1)))
        elif kind is Reduction.SUM or weighting.by_weights:
            yield judge.lies(asked, UNWEIGHED)
        else:  # divided by the rows, half as many as the weights add up to
            yield judge.lies(replace(asked, got=asked.got / 2), UNWEIGHED)


def _each(asked: Evaluation, count: NDArray[Any]) -> Iterator[Judgement]:
    """Judge rows one by one; dividing by a power of two is exact."""
    counted: Mask = np.broadcast_to(count > 0, asked.got.shape)
    yield judge.holds(asked, counted | (asked.got == 0), "a row of weight 0 counts")
    yield judge.inside(replace(asked, got=asked.got / np.maximum(count, 1)), counted)


def _masked(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Leave every second class out, and put NaN there: the sum is that of the others."""
    kept = np.arange(pair.classes) % 2 == 0
    for target in subject.convention.target:
        for reduction in subject.offers(Reduction.ROWS, Reduction.SUM):
            plain = subject.problem(pair, reduction, target=target)
            p, q = (
                replace(each, values=np.where(kept, each.values, np.nan))
                for each in (plain.target, plain.model)
            )
            call = subject.call(replace(plain, target=p, model=q))
            call = replace(call, mask=_tensor(subject, np.broadcast_to(kept, pair.shape)))
            due = subject.problem(pair.take(np.flatnonzero(kept)), reduction, target=target)
            asked = subject.judged(due, subject.ask(call), subject.describe(call).varied(", masked"))
            yield judge.lies(asked, "a class that is left out counts")


def _tensor(subject: Subject, values: NDArray[Any]) -> Any:
    """Hand over weights or a mask in the column's dtype."""
    operand = Operand(values.astype(subject.dtype.carrier), Space.PROBABILITY, subject.dtype)
    return subject.framework.tensor(subject.modules, operand, subject.column.device, "contiguous")


def _has_legacy(subject: Subject) -> str | None:
    if not subject.implementation.legacy:
        return "documents no old way of asking for a reduction"
    if subject.compiled:
        return "old arguments are read, and warned of, before anything is compiled: asked in eager columns"
    return None


def _weighs(subject: Subject) -> str | None:
    mine = subject.implementation
    offered = (*(each.versions for each in mine.weightings), *filter(None, [mine.masks]))
    if any(_covers(subject, versions) for versions in offered):
        return None
    return "takes neither weights nor a mask"


REQUIREMENTS = (
    Requirement(
        id="reductions/legacy",
        level=Level.SHOULD,
        sentence="Old ways of asking for a reduction mean what is documented, and warn.",
        formula="size_average=False: sum; reduce=False: none; otherwise mean, whatever `reduction` says",
        reason="Code from before 2018 still runs; what it asks for has to stay what it was.",
        link=KL_DIV_LOSS,
        check=legacy,
        applies=_has_legacy,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(spelt=lambda options: "mean" if options["reduce"] else "none"),
    ),
    Requirement(
        id="reductions/weights",
        level=Level.SHOULD,
        sentence="A row of weight w counts w times, and what is masked not at all, whatever stands there.",
        formula="none: w·row; sum: Σ w·row; mean: Σ w·row ÷ rows, or ÷ Σ w where documented",
        reason="Divided by the rows or by the weights: the two differ by how many samples are padding.",
        link="https://keras.io/api/losses/",
        check=weights,
        applies=_weighs,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(weigh=lambda terms, count: weigh(terms, count / count.mean())),
    ),
)
