"""Layouts: element count and rank do not change the result."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kl_cases.family import probabilities
from kl_cases.pair import Measure, Pair
from kl_cases.recipes import ODD
from kl_conformance.errors import AbsentError
from kl_conformance.frameworks.framework import LARGE, Output
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.cache import reference
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import KL_DIV_LOSS
from kl_conformance.requirements.miniature import Array, Miniature, reduce
from kl_conformance.requirements.requirement import FaultSource, Requirement
from kl_reference.answer import answer
from kl_reference.convention import Reduction, Space
from kl_reference.problem import Problem

FAMILIES = ("dirichlet-flat",)
ROWS_AT_A_TIME = 64  # rows judged at a time: 64 MiB for 131,072 classes
_OUT_OF_MEMORY = ("out of memory", "outofmemory", "memoryerror", "resource_exhausted", "resourceexhausted")


def odd(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge every reduction of the pair, and of measures in which only the last element is not 0."""
    probes = [_last_element(pair)]
    if subject.finest is Reduction.ROWS:
        probes.append(_last_class(pair))
    for each in (pair, *probes):
        for problem in subject.problems(each, *Reduction):
            yield judge.within_tolerance(subject.evaluate(problem))


def _last_element(pair: Pair) -> Pair:
    """Return a pair with p = q = 1, whose terms are exactly 0, except q = e^−2 at the last element."""
    log_q = np.zeros(pair.shape)
    log_q.flat[-1] = -2.0
    p, q = Measure(np.zeros(pair.shape), Space.LOG), Measure(log_q, Space.LOG)
    return Pair(p, q, axis=pair.axis, origin=f"{pair.origin}, the last element alone")


def _last_class(pair: Pair) -> Pair:
    """Return rows with P concentrated on the last class, and Q uniform."""
    p = np.broadcast_to(np.arange(pair.classes) == pair.classes - 1, pair.shape).astype(np.float64)
    whole = probabilities(p, np.full(pair.shape, 1.0 / pair.classes))
    return replace(whole, axis=pair.axis, origin=f"{pair.origin}, the last class alone")


def rank(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge every reduction, except in 0-D where the implementation has a class axis."""
    if pair.shape or subject.convention.axis is None:
        for problem in subject.problems(pair, *Reduction):
            yield judge.within_tolerance(subject.evaluate(problem))


def large_index(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the last of more than 2^31 elements, and the sum of all; the others add exactly 0."""
    if len(pair.shape) != 2:
        return
    for problem in subject.problems(pair, subject.finest, Reduction.SUM, layout="large"):
        yield _last_rows(subject, problem)


def at_production_size(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge every term, and the first sum offered, at the size at which the implementation is used.

    Row i holds the elements of one long vector from the i-th on, so no two rows are equal.
    """
    size = subject.implementation.typical_shape
    assert size is not None
    text = f"{size[0]:,} × {size[1]:,}"
    suffix = f" of {text}"
    vector, matrix = vector_and_windows(subject, pair, size)
    call = subject.build_call(matrix)
    if subject.finest is Reduction.TERMS:
        stand_in = Output(reference(vector).value, subject.dtype.label)
        evaluation = subject.judged(vector, stand_in, subject.describe(call).varied(suffix))
        yield judge.windowed(evaluation, subject.pieces(call, ROWS_AT_A_TIME, size), text)
    for reduction in subject.offers(*when.SUMS)[:1]:
        summed = replace(matrix, reduction=reduction)
        if reduction is not subject.finest:  # reuse the same tensors
            call = replace(call, reduction=subject.convention.named(reduction))
        description = subject.describe(call).varied(suffix)
        evaluation = subject.judged(summed, subject.invoke(call), description, answer)
        # The witness shows the pair instead of the large problem.
        yield replace(judge.within_tolerance(evaluation, text), problem=subject.problem(pair, reduction))


def vector_and_windows(subject: Subject, pair: Pair, size: tuple[int, int]) -> tuple[Problem, Problem]:
    """Return one long vector that repeats the pair's elements, and the matrix whose rows are its windows."""
    numbers = (np.resize(each.values.ravel(), sum(size) - 1) for each in (pair.p, pair.q))
    vector = subject.problem(pair.with_values(*numbers))
    target, model = (
        replace(each, values=sliding_window_view(each.values, size[1])) for each in (vector.target, vector.model)
    )
    return vector, replace(vector, target=target, model=model)


def _declares_size(subject: Subject) -> str | None:
    if subject.implementation.typical_shape is None:
        return "declares no production size (`kl-conformance verify --shape ROWSxCLASSES`)"
    return "is documented for distributions only" if subject.implementation.needs_distributions else None


def _last_rows(subject: Subject, problem: Problem) -> Judgement:
    """Judge the last rows of the answer, or the single number."""
    rows = len(problem.target.values)
    try:
        call = subject.build_call(problem)
        got = subject.invoke(call, last=rows)
    except Exception as error:  # each framework has its own out-of-memory exception
        message = f"{type(error).__name__}: {error}"
        if isinstance(error, AbsentError) or not any(text in message.lower() for text in _OUT_OF_MEMORY):
            raise
        raise AbsentError(f"not enough memory for tensors of more than {LARGE:,} elements: {message[:200]}") from None
    return judge.within_tolerance(subject.judged(problem, got, subject.describe(call).varied(", last rows")))


def _has_memory(subject: Subject) -> str | None:
    if subject.framework.fits_large_tensors(subject.column.device):
        return None
    return f"tested on CUDA only, if memory allows: tensors of more than {LARGE:,} elements"


def _with_8_bit_index(terms: Array) -> Array:
    """Return terms with 0 beyond the last signed 8-bit index."""
    return np.where(np.arange(terms.size).reshape(terms.shape) < 2**7, terms, 0)


REQUIREMENTS = (
    Requirement(
        id="layouts/odd",
        sentence="Sizes next to powers of two give correct answers, for many rows of few classes and few rows of many.",
        formula="f(P, Q) for 1, 2, 31, 33, 127, 129, 1023, 1025, 4097, 65535, 65537 classes or rows",
        reason="Kernels work in blocks, and may skip the elements after the last full block.",
        check=odd,
        fault_source=FaultSource.CALL,
        families=FAMILIES,
        palette=ODD,
        miniature=Miniature(reduce=lambda terms, how: reduce(terms[..., : max(terms.shape[-1] // 2 * 2, 1)], how)),
    ),
    Requirement(
        id="layouts/rank",
        sentence="Any number of axes is supported: 0-D where there is no class axis, 1-D, 2-D, 3-D, 4-D.",
        formula="f(P, Q) for shapes (), (C), (N, C), (N, T, C), (N, T, H, C)",
        reason="Sequences have three axes and attention four; flattening them wrongly gives wrong divisors.",
        link=KL_DIV_LOSS,
        check=rank,
        fault_source=FaultSource.CALL,
        families=(*FAMILIES, "power-law"),
        shapes=((), (5,), (3, 5), (2, 3, 5), (2, 3, 4, 5)),
        miniature=Miniature(
            reduce=lambda terms, how: reduce(
                terms.reshape(-1, terms.shape[-1]) if terms.ndim > 2 and how is Reduction.BATCHMEAN else terms, how
            )
        ),
    ),
    Requirement(
        id="layouts/used-at",
        sentence="At the size used in production, every element and the sums are correct.",
        formula="f(P, Q) for rows × classes as in production",
        reason="Grids, 32-bit offsets and accumulators fail at the production size, and at no smaller one.",
        check=at_production_size,
        applies=_declares_size,
        once=True,
        families=FAMILIES,
        shapes=((4099,),),  # a prime: elements a power of two apart differ
        miniature=Miniature(after=lambda answer: _with_8_bit_index(answer) if answer.ndim else answer),
    ),
    Requirement(
        id="layouts/large-index",
        sentence="Elements beyond the 2^31st are correct, and are included in the sum.",
        formula="f(P, Q)[i] for i > 2^31 − 1; Σ over more than 2^31 elements",
        reason="A batch of 16 × 4,096 tokens over a vocabulary of 32,768 has 2^31 elements: 32-bit indices overflow.",
        check=large_index,
        fault_source=FaultSource.CALL,
        applies=_has_memory,
        families=FAMILIES,
        shapes=((3, 5),),
        miniature=Miniature(after=lambda answer: _with_8_bit_index(answer) if answer.ndim else answer),
    ),
)
