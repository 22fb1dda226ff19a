"""Arguments: reductions asked for by their old names, and weighed."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from packaging.specifiers import SpecifierSet

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.implementation import Output, Spelling, Weighting
from kl_conformance.judge import Judgement
from kl_conformance.requirement import Level, Requirement
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Sketch, spelt, weigh
from kl_conformance.subject import Evaluation, Subject
from kl_reference.convention import Reduction
from kl_reference.enclosure import Array
from kl_reference.problem import Operand, Problem

FAMILIES = ("dirichlet-flat", "power-law")
SHAPES = ((2, 4), (3, 5))


def legacy(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for each reduction in its old ways, and listen for the warning."""
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
        yield judge.fails(problem, text, "no warning says which reduction to ask for instead")


def weights(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Give rows the weights 0, 4, 2, 2, …, and leave every second class out."""
    if len(pair.shape) != 2 or min(pair.shape) < 2:
        return
    for weighting in subject.implementation.weightings:
        if _offered(subject, weighting.versions):
            yield from _weighed(subject, pair, weighting)
    if _masks(subject):
        yield from _masked(subject, pair)


def _weighed(subject: Subject, pair: Pair, weighting: Weighting) -> Iterator[Judgement]:
    """Hold an answer against rows repeated as often as they weigh.

    The weights add up to twice the rows, and 2 is exact.
    """
    count = np.full(pair.rows, 2)
    count[:2] = 0, 4
    kept = weighting.kind in {Reduction.TERMS, Reduction.ROWS}
    repeated = pair if kept else pair.take_rows(np.repeat(np.arange(pair.rows), count))
    for plain, due in zip(
        subject.problems(pair, weighting.kind), subject.problems(repeated, weighting.kind), strict=True
    ):
        call = subject.call(plain, reduction=weighting.reduction)
        operand = Operand(count.astype(subject.dtype.carrier), plain.target.space, subject.dtype)
        tensor = subject.framework.tensor(subject.modules, operand, subject.column.device, "contiguous")
        call = replace(call, weights=tensor)
        got = subject.ask(call)
        asked = subject.judged(due, got, f"{subject.describe(call)} with one weight a row")
        yield _against(asked, weighting, count)


def _against(asked: Evaluation, weighting: Weighting, count: Array) -> Judgement:
    """Judge rows against their multiples, sums and means against those of the repeated rows."""
    note = "rows do not weigh what they should"
    match weighting.kind:
        case Reduction.TERMS | Reduction.ROWS:
            scale = count.reshape(-1, *(1,) * (asked.enclosure.value.ndim - 1)).astype(np.float64)
            return judge.lies(_scaled(asked, scale), note)
        case Reduction.SUM:
            return judge.lies(asked, note)
        case _:
            return judge.lies(asked if weighting.by_weights else replace(asked, got=asked.got / 2), note)
