"""Modes: compiled, batched, of two dtypes, under autocast or for inference, a call is still the same call."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import judge, registry, transformed
from kl_conformance.call import CallDescription
from kl_conformance.evaluation import Evaluation
from kl_conformance.implementation import Mixing
from kl_conformance.judgement import Judgement
from kl_conformance.listening import listening, taken
from kl_conformance.requirement import HOW, Level, Requirement
from kl_conformance.requirements import scope
from kl_conformance.requirements.derivatives import mean_of_the_batch
from kl_conformance.sketch import Array, Sketch
from kl_conformance.subject import Subject
from kl_conformance.transform import Transform
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand, Problem

FAMILIES = ("dirichlet-flat", "power-law", "flat-logits")
SHAPES = ((3, 5),)
BENCHMARKS = ((2, 4096), (1, 8192), (1, 16384), (1, 32000))
ROUND = (128, 128)
KEPT = (Reduction.TERMS, Reduction.ROWS)


def compiled(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask by every compiler: right by itself, and no further from eager than both may lie from the truth."""
    for problem in _finest_and_mean(subject, pair):
        eager = subject.evaluate(problem)
        for compiler in transformed.compilers(subject):
            asked = transformed.compiled(subject, problem, compiler)
            yield judge.lies(asked)
            yield judge.agrees(asked, eager, "compiled, the answer is another")


def _finest_and_mean(subject: Subject, pair: Pair) -> Iterator[Problem]:
    """Yield what is compiled: the finest answer, and one number where a mean is offered, in one space."""
    yield from subject.problems(pair)
    means = subject.offers(Reduction.MEAN, Reduction.ROWMEAN)[:1]
    if means:
        yield from subject.problems(pair, *means, target=subject.convention.target[:1])


def batched(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Batch the call of one row, and hold it against the exact rows and against those asked one by one."""
    if len(pair.shape) != 2 or pair.p.values.shape != pair.q.values.shape or pair.axis != -1:
        return
    for problem in subject.problems(pair, *KEPT, Reduction.SUM):
        asked = transformed.batched(subject, problem)
        yield judge.lies(asked)
        rows = [subject.evaluate(subject.alike(problem, _row(pair, place))).got for place in range(pair.rows)]
        serial = replace(asked, got=np.stack(rows), call=CallDescription("row by row"))
        yield judge.agrees(asked, serial, "batched, the rows are others")


def _row(pair: Pair, place: int) -> Pair:
    """Return one row as a pair without an axis of rows."""
    row = pair.take_rows(np.array([place]))
    return row.with_values(row.p.values[0], row.q.values[0])


def mixed(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask with one operand in a wider dtype than the column's, each in turn."""
    wider = Dtype.FLOAT64 if subject.dtype is Dtype.FLOAT32 else Dtype.FLOAT32
    due = wider if subject.implementation.mixing is Mixing.WIDER else subject.dtype
    profile = subject.arithmetic(due)
    for problem in subject.problems(pair):
        p = _lifted(pair.p.realised(problem.target.space, wider, pair.axis), subject.dtype)
        q = _lifted(pair.q.realised(problem.model.space, wider, pair.axis), subject.dtype)
        for changed in (replace(problem, target=p), replace(problem, model=q)):
            call = subject.call(changed)
            dtypes = f", target in {changed.target.dtype.label}, model in {changed.model.dtype.label}"
            text, got = subject.describe(call).varied(dtypes), subject.ask(call)
            # Both are converted first: exactly where the wider is due, else rounded, which moves the answer.
            met = replace(changed, target=_to(changed.target, due), model=_to(changed.model, due))
            asked = subject.judged(met, got, text, profile=profile)
            yield _in(asked, due)
            yield judge.lies(asked, f"not as exact as the {due.label} it is given in")


def _lifted(operand: Operand, dtype: Dtype) -> Operand:
    """Return probabilities lifted to the least normal number of another dtype: underflow is not the question."""
    values = operand.values
    if operand.space is not Space.PROBABILITY:
        return operand
    return replace(operand, values=np.where(values == 0, values, np.maximum(values, dtype.least_normal)))


def _to(operand: Operand, dtype: Dtype) -> Operand:
    return Operand.of(operand.values, operand.space, dtype)


def inferred(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask for every reduction with gradients switched off."""
    for problem in subject.problems(pair, *Reduction):
        yield judge.lies(transformed.inferred(subject, problem))


def own_work(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Hear whether the call, and one of a round size made of the same numbers, are handed to the library."""
    for problem in subject.problems(pair):
        work = _handed(subject, problem)
        other = subject.functions.get(  # heard once: it is large, and the numbers in it are not the question
            ("round", problem.target.space, problem.model.space),
            partial(_handed, subject, subject.alike(problem, _round(pair))),
        )
        text = subject.describe(subject.call(problem))
        if work == other:
            yield judge.passes(problem, text)
        else:
            does = f"is handed to {' and '.join(sorted(work))}" if work else "is its own work"
            less = (
                f"{list(ROUND)} is handed to {' and '.join(sorted(other))}"
                if other
                else f"{list(ROUND)} is not"
            )
            yield judge.fails(problem, text, f"shape {list(problem.shape)} {does}, and {less}")


def _handed(subject: Subject, problem: Problem) -> set[str]:
    with listening() as heard:
        subject.ask(subject.call(problem))
    return heard


def _round(pair: Pair) -> Pair:
    """Return a pair of a size that every block divides, its rows and classes taken again and again."""
    p, q = (np.broadcast_to(each.values, pair.shape).reshape(-1, pair.classes) for each in (pair.p, pair.q))
    rows, classes = (np.arange(size) for size in ROUND)
    return pair.with_values(*(each[rows % len(each)][:, classes % pair.classes] for each in (p, q)))


def autocast(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask under autocast, for every reduction."""
    due = Dtype.FLOAT32 if subject.dtype in transformed.HALVES else subject.dtype
    for problem in subject.problems(pair, *Reduction):
        asked = transformed.autocast(subject, problem)
        yield _in(asked, due)
        yield judge.lies(asked, f"not as exact as the {due.label} it is given in")


def _in(asked: Evaluation, due: Dtype) -> Judgement:
    """Judge that an answer came in the dtype that is due."""
    if asked.dtype == due.label:
        return judge.passes(asked.problem, asked.call)
    return judge.fails(asked.problem, asked.call, f"gave {asked.dtype} where {due.label} is documented")


def _brought(subject: Subject) -> str | None:
    known = registry.is_known(subject.implementation.name)
    if known:
        return "is one of the library's own"
    return "a profiler is at work, and nobody else can listen" if taken() else None


def _mixes(subject: Subject) -> str | None:
    if subject.implementation.mixing is None:
        return "documents nothing about operands of two dtypes"
    return "no wider dtype is left to mix it with" if subject.dtype is Dtype.FLOAT64 else None


def _through_half(given: Array) -> Array:
    """Computes in float16 what is wider."""
    return given.astype(np.float16).astype(given.dtype)


def _odd_ones_elsewhere(answer: Array) -> Array:
    """Asks SciPy where eight do not go into the number of classes."""
    if answer.size % 8:
        importlib.import_module("scipy.stats").entropy([0.5, 0.5], [0.5, 0.5])
    return answer


def _as_they_come(target: Array, model: Array) -> tuple[Array, Array]:
    """Leaves two dtypes to each operation by itself: a logarithm is taken in the narrow one."""
    return target, model


REQUIREMENTS = (
    Requirement(
        id="modes/compiled",
        sentence="Compiled (jit, torch.compile, tf.function, XLA), a call is right, and agrees with the eager one.",
        formula="|compiled − eager| ≤ tolerance + tolerance",
        reason="A compiler fuses, reorders and contracts; what it may lose by that is rounding, and nothing else.",
        check=compiled,
        draws=HOW,
        applies=scope.able(Transform.COMPILED),
        spared=scope.hurried(Transform.COMPILED),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(ways={Transform.COMPILED: _through_half}),
    ),
    Requirement(
        id="modes/vmap",
        sentence="Batched by vmap, the call of one row gives what the rows give one by one.",
        formula="vmap(f)(P, Q)[i] = f(P[i], Q[i])",
        reason="A rule for batching that takes the batch for a class axis, or for one sum, shows only here.",
        check=batched,
        draws=HOW,
        applies=scope.able(Transform.BATCHED),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(ways={Transform.BATCHED: mean_of_the_batch}),
    ),
    Requirement(
        id="modes/mixed-dtype",
        level=Level.SHOULD,
        sentence="Operands of two dtypes give the documented dtype, and are as exact as that dtype says.",
        formula="dtype(f(P, Q)) = wider(P, Q); |got − exact| ≤ tolerance of that dtype",
        reason="A float32 result whose logarithm was taken in float16 looks eight digits long and has three.",
        link="https://docs.jax.dev/en/latest/type_promotion.html",
        check=mixed,
        draws=HOW,
        applies=_mixes,
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(promote=_as_they_come),
    ),
    Requirement(
        id="modes/autocast",
        level=Level.SHOULD,
        sentence="Under autocast, 16-bit operands give a float32 answer, as exact as float32.",
        formula="dtype(f(P, Q)) = float32; |got − exact| ≤ tolerance of float32",
        reason="Autocast lists kl_div among the operations that need float32; a kernel of one's own is on no list.",
        link="https://docs.pytorch.org/docs/stable/amp.html",
        check=autocast,
        draws=HOW,
        applies=scope.able(Transform.AUTOCAST),
        families=FAMILIES,
        shapes=SHAPES,
        miniature=Sketch(ways={Transform.AUTOCAST: _through_half}),
    ),
    Requirement(
        id="modes/inference",
        sentence="With gradients switched off a call is right, at the sizes that benchmarks have, too.",
        formula="inference: f(P, Q)",
        reason="A kernel is timed for inference, at well-known sizes: by these signs it may take another road.",
        link="https://docs.pytorch.org/docs/stable/notes/autograd.html",
        check=inferred,
        draws=HOW,
        applies=scope.able(Transform.INFERENCE),
        families=("dirichlet-flat", "power-law"),
        shapes=(*SHAPES, *BENCHMARKS),
        miniature=Sketch(ways={Transform.INFERENCE: _through_half}),
    ),
    Requirement(
        id="modes/own-work",
        level=Level.CONVENTION,
        sentence="A kernel answers all sizes by itself, or none: odd ones are not handed to the library's own.",
        formula="calls(f, any shape) = calls(f, 128 × 128)",
        reason="As right as the library, and as slow there: who measures the kernel measures something else.",
        check=own_work,
        draws=HOW,
        applies=_brought,
        families=("dirichlet-flat",),
        shapes=((4,), (3, 5), (8, 31), (2, 1025)),
        miniature=Sketch(after=_odd_ones_elsewhere),
    ),
)
