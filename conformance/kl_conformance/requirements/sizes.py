"""Sizes: the answer depends on the elements, however many there are and on however many axes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kl_cases.family import probabilities
from kl_cases.pair import Measure, Pair
from kl_cases.problems import ODD
from kl_conformance import judge
from kl_conformance.framework import LARGE, Output
from kl_conformance.implementation import AbsentError
from kl_conformance.judgement import Judgement
from kl_conformance.remembered import reference
from kl_conformance.requirement import HOW, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.values import KL_DIV_LOSS
from kl_conformance.sketch import Array, Sketch, reduce
from kl_conformance.subject import Subject
from kl_reference.answer import answer
from kl_reference.convention import Reduction, Space
from kl_reference.problem import Problem

FAMILIES = ("dirichlet-flat",)
PIECE = 64  # rows judged at a time: of 131,072 classes 64 MiB
_FULL = ("out of memory", "outofmemory", "memoryerror", "resource_exhausted", "resourceexhausted")


def odd(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for every reduction of the pair, and of measures of which only the last element counts."""
    probes = [_last_element(pair)]
    if subject.finest is Reduction.ROWS:
        probes.append(_last_class(pair))
    for asked in (pair, *probes):
        for problem in subject.problems(asked, *Reduction):
            yield judge.lies(subject.evaluate(problem))


def _last_element(pair: Pair) -> Pair:
    """Return p = q = 1, which adds exactly 0, and at the very last element q = e^−2."""
    log_q = np.zeros(pair.shape)
    log_q.flat[-1] = -2.0
    p, q = Measure(np.zeros(pair.shape), Space.LOG), Measure(log_q, Space.LOG)
    return Pair(p, q, axis=pair.axis, origin=f"{pair.origin}, the last element alone")


def _last_class(pair: Pair) -> Pair:
    """Return rows with all of P on their last class, and Q the same everywhere."""
    p = np.broadcast_to(np.arange(pair.classes) == pair.classes - 1, pair.shape).astype(np.float64)
    whole = probabilities(p, np.full(pair.shape, 1.0 / pair.classes))
    return replace(whole, axis=pair.axis, origin=f"{pair.origin}, the last class alone")


def rank(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for every reduction, whatever the number of axes; where classes have an axis, there is one."""
    if pair.shape or subject.convention.axis is None:
        for problem in subject.problems(pair, *Reduction):
            yield judge.lies(subject.evaluate(problem))


def large_index(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for the last of more than 2^31 elements, and for the sum of all, the others adding exactly 0."""
    if len(pair.shape) != 2:
        return
    for problem in subject.problems(pair, subject.finest, Reduction.SUM, layout="large"):
        yield _at_the_end(subject, problem)


def used(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask at the size the implementation is used at: every term, and every row's sum or the one of all.

    Row i holds the elements of one long vector from the i-th on, so that no two rows are alike.
    """
    size = subject.implementation.used_at
    assert size is not None
    text = f"{size[0]:,} × {size[1]:,}"
    after = f" of {text}"
    vector, sheet = sheets(subject, pair, size)
    call = subject.call(sheet)
    if subject.finest is Reduction.TERMS:
        stand_in = Output(reference(vector).value, subject.dtype.label)
        asked = subject.judged(vector, stand_in, subject.describe(call).varied(after))
        yield judge.windowed(asked, subject.pieces(call, PIECE), text)
    for reduction in subject.offers(*scope.SUMS)[:1]:
        summed = replace(sheet, reduction=reduction)
        if reduction is not subject.finest:  # of the same tensors
            call = replace(call, reduction=subject.convention.named(reduction))
        made = subject.describe(call).varied(after)
        asked = subject.judged(summed, subject.ask(call), made, answer)
        # What people are shown is the pair, not all that is made of it.
        yield replace(judge.lies(asked, text), problem=subject.problem(pair, reduction))


def sheets(subject: Subject, pair: Pair, size: tuple[int, int]) -> tuple[Problem, Problem]:
    """Return one long vector, the pair's elements again and again, and the sheet whose rows are its windows."""
    numbers = (np.resize(each.values.ravel(), sum(size) - 1) for each in (pair.p, pair.q))
    vector = subject.problem(pair.with_values(*numbers))
    target, model = (
        replace(each, values=sliding_window_view(each.values, size[1]))
        for each in (vector.target, vector.model)
    )
    return vector, replace(vector, target=target, model=model)


def _used(subject: Subject) -> str | None:
    if subject.implementation.used_at is None:
        return "names no size it is used at (`kl-conformance verify --shape ROWSxCLASSES`)"
    return "is documented for distributions only" if subject.implementation.needs_distributions else None


def _at_the_end(subject: Subject, problem: Problem) -> Judgement:
    """Judge the last rows of the answer, or its one number."""
    rows = len(problem.target.values)
    try:
        call = subject.call(problem)
        got = subject.ask(call, last=rows)
    except Exception as error:  # every framework has an exception of its own for want of memory
        said = f"{type(error).__name__}: {error}"
        if isinstance(error, AbsentError) or not any(words in said.lower() for words in _FULL):
            raise
        raise AbsentError(f"no room for tensors of more than {LARGE:,} elements: {said[:200]}") from None
    return judge.lies(subject.judged(problem, got, subject.describe(call).varied(", last rows")))


def _roomy(subject: Subject) -> str | None:
    """Apply where so much memory is asked for."""
    if subject.framework.roomy(subject.column.device):
        return None
    return f"asked on CUDA only, where memory allows: tensors of more than {LARGE:,} elements"


def _narrow(terms: Array) -> Array:
    """Leave what lies beyond the last index of 8 bits as it was."""
    return np.where(np.arange(terms.size).reshape(terms.shape) < 2**7, terms, 0)


REQUIREMENTS = (
    Requirement(
        id="layouts/odd",
        sentence="Sizes beside powers of two are right, for many rows of few classes and few rows of many.",
        formula="f(P, Q) for 1, 2, 31, 33, 127, 129, 1023, 1025, 4097, 65535, 65537 classes or rows",
        reason="A kernel works in blocks; the element after the last full block is the one it forgets.",
        check=odd,
        draws=HOW,
        families=FAMILIES,
        palette=ODD,
        miniature=Sketch(
            reduce=lambda terms, how: reduce(terms[..., : max(terms.shape[-1] // 2 * 2, 1)], how),
        ),
    ),
    Requirement(
        id="layouts/rank",
        sentence="Any number of axes will do: 0-D where there is no class axis, 1-D, 2-D, 3-D, 4-D.",
        formula="f(P, Q) for shapes (), (C), (N, C), (N, T, C), (N, T, H, C)",
        reason="Sequences have three axes and attention four; what folds them wrongly divides wrongly.",
        link=KL_DIV_LOSS,
        check=rank,
        draws=HOW,
        families=(*FAMILIES, "power-law"),
        shapes=((), (5,), (3, 5), (2, 3, 5), (2, 3, 4, 5)),
        miniature=Sketch(
            reduce=lambda terms, how: reduce(
                terms.reshape(-1, terms.shape[-1])
                if terms.ndim > 2 and how is Reduction.BATCHMEAN
                else terms,
                how,
            )
        ),
    ),
    Requirement(
        id="layouts/used-at",
        sentence="At the size it is used at, every element and the sums are right.",
        formula="f(P, Q) for rows × classes as in production",
        reason="Grids, 32-bit offsets and accumulators give way at the real size, and at no other.",
        check=used,
        applies=_used,
        once=True,
        families=FAMILIES,
        shapes=((4099,),),  # a prime: no power of two takes an element for another of its value
        miniature=Sketch(after=lambda answer: _narrow(answer) if answer.ndim else answer),
    ),
    Requirement(
        id="layouts/large-index",
        sentence="Elements beyond the 2^31st are right, and count in the sum.",
        formula="f(P, Q)[i] for i > 2^31 − 1; Σ over more than 2^31 elements",
        reason="A batch of 16 × 4,096 tokens over a vocabulary of 32,768 is 2^31: 32-bit indices turn negative.",
        check=large_index,
        draws=HOW,
        applies=_roomy,
        families=FAMILIES,
        shapes=((3, 5),),
        miniature=Sketch(after=lambda answer: _narrow(answer) if answer.ndim else answer),
    ),
)
