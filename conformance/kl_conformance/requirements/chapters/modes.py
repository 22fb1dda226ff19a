"""Modes: compiled, batched, mixed-dtype, autocast and inference calls agree with the plain call."""

import importlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.frameworks.transform import Transform
from kl_conformance.harness import transformed_calls
from kl_conformance.harness.subject import Subject
from kl_conformance.implementations import registry
from kl_conformance.implementations.delegation import profiler_active, record_delegation
from kl_conformance.implementations.implementation import Mixing
from kl_conformance.judging import judge
from kl_conformance.judging.cache import cached
from kl_conformance.judging.call_description import CallDescription
from kl_conformance.judging.evaluation import Evaluation
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements import applicability as when
from kl_conformance.requirements.checks import mean_of_the_batch
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import FaultSource, Level, Requirement
from kl_reference.convention import Reduction, Space
from kl_reference.dtype import Dtype
from kl_reference.problem import Operand, Problem

FAMILIES = ("dirichlet-flat", "power-law", "flat-logits")
SHAPES = ((3, 5),)
BENCHMARKS = ((2, 4096), (1, 8192), (1, 16384), (1, 32000))
ROUND_SHAPE = (128, 128)
UNREDUCED = (Reduction.TERMS, Reduction.ROWS)


def compiled(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge the call compiled by every compiler: within tolerance, and in agreement with the eager call."""
    for problem in _finest_and_mean(subject, pair):
        eager = subject.evaluate(problem)
        for compiler in transformed_calls.compilers(subject):
            evaluation = transformed_calls.compiled(subject, problem, compiler)
            yield judge.within_tolerance(evaluation)
            yield judge.same_answer(evaluation, eager, "the compiled answer differs from the eager one")


def _finest_and_mean(subject: Subject, pair: Pair) -> Iterator[Problem]:
    """Yield the problems to compile: the finest reduction, and a mean in one target space where offered."""
    yield from subject.problems(pair)
    means = subject.offers(Reduction.MEAN, Reduction.ROWMEAN)[:1]
    if means:
        yield from subject.problems(pair, *means, target=subject.convention.target[:1])


def batched(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Batch the call for one row, and compare it with the exact rows and with calls row by row."""
    if len(pair.shape) != 2 or pair.p.values.shape != pair.q.values.shape or pair.axis != -1:
        return
    for problem in subject.problems(pair, *UNREDUCED, Reduction.SUM):
        evaluation = transformed_calls.batched(subject, problem)
        yield judge.within_tolerance(evaluation)
        rows = [subject.evaluate(subject.with_pair(problem, _row(pair, index))).answer for index in range(pair.rows)]
        serial = replace(evaluation, returned=np.stack(rows), call=CallDescription("row by row"))
        yield judge.same_answer(evaluation, serial, "the batched rows differ from rows evaluated one by one")


def _row(pair: Pair, index: int) -> Pair:
    row = pair.take_rows(np.array([index]))
    return row.with_values(row.p.values[0], row.q.values[0])


def mixed_dtype(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge calls with one operand in a wider dtype than the column's: the target, then the model."""
    wider = Dtype.FLOAT64 if subject.dtype is Dtype.FLOAT32 else Dtype.FLOAT32
    expected = wider if subject.implementation.mixing is Mixing.WIDER else subject.dtype
    profile = subject.arithmetic(expected)
    for problem in subject.problems(pair):
        p = _without_underflow(pair.p.realised(problem.target.space, wider, pair.axis), subject.dtype)
        q = _without_underflow(pair.q.realised(problem.model.space, wider, pair.axis), subject.dtype)
        for changed in (replace(problem, target=p), replace(problem, model=q)):
            call = subject.build_call(changed)
            dtypes = f", target in {changed.target.dtype.label}, model in {changed.model.dtype.label}"
            text, got = subject.describe(call).varied(dtypes), subject.invoke(call)
            # Both are converted first: exactly to the wider dtype, or rounded to the column's, which moves the answer.
            converted = replace(
                changed, target=_converted(changed.target, expected), model=_converted(changed.model, expected)
            )
            evaluation = subject.judged(converted, got, text, profile=profile)
            yield _has_dtype(evaluation, expected)
            yield judge.within_tolerance(evaluation, f"not as accurate as its dtype {expected.label}")


def _without_underflow(operand: Operand, dtype: Dtype) -> Operand:
    """Return probabilities raised to the least normal number of another dtype, to exclude underflow."""
    values = operand.values
    if operand.space is not Space.PROBABILITY:
        return operand
    return replace(operand, values=np.where(values == 0, values, np.maximum(values, dtype.least_normal)))


def _converted(operand: Operand, dtype: Dtype) -> Operand:
    return Operand.of(operand.values, operand.space, dtype)


def inference(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge every reduction with gradients disabled."""
    for problem in subject.problems(pair, *Reduction):
        yield judge.within_tolerance(transformed_calls.without_gradients(subject, problem))


def delegation(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Compare the library functions that the call uses with those of a call of a round size, same values."""
    for problem in subject.problems(pair):
        used = _library_functions(subject, problem)
        other = cached(  # profiled once: it is large, and its values do not matter
            subject.functions,
            ("round", problem.target.space, problem.model.space),
            partial(_library_functions, subject, subject.with_pair(problem, _round_size(pair))),
        )
        text = subject.describe(subject.build_call(problem))
        if used == other:
            yield judge.passed(problem, text)
        else:
            note = f"shape {list(problem.shape)} is computed by {_names(used)}, {list(ROUND_SHAPE)} by {_names(other)}"
            yield judge.failed(problem, text, note)


def _names(functions: set[str]) -> str:
    return " and ".join(sorted(functions)) or "the kernel itself"


def _library_functions(subject: Subject, problem: Problem) -> set[str]:
    with record_delegation() as names:
        subject.invoke(subject.build_call(problem))
    return names


def _round_size(pair: Pair) -> Pair:
    """Return a pair of a size that every block divides, by repetition of rows and classes."""
    p, q = (np.broadcast_to(each.values, pair.shape).reshape(-1, pair.classes) for each in (pair.p, pair.q))
    rows, classes = (np.arange(size) for size in ROUND_SHAPE)
    return pair.with_values(*(each[rows % len(each)][:, classes % pair.classes] for each in (p, q)))


def autocast(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge every reduction under autocast."""
    expected = Dtype.FLOAT32 if subject.dtype in transformed_calls.HALVES else subject.dtype
    for problem in subject.problems(pair, *Reduction):
        evaluation = transformed_calls.autocast(subject, problem)
        yield _has_dtype(evaluation, expected)
        yield judge.within_tolerance(evaluation, f"not as accurate as its dtype {expected.label}")


def _has_dtype(evaluation: Evaluation, expected: Dtype) -> Judgement:
    if evaluation.dtype == expected.label:
        return judge.passed(evaluation.problem, evaluation.call)
    return judge.failed(
        evaluation.problem, evaluation.call, f"returned {evaluation.dtype}, documented is {expected.label}"
    )


def _is_user_kernel(subject: Subject) -> str | None:
    if registry.is_builtin(subject.implementation.name):
        return "is a built-in implementation"
    return "another profiler is active in this thread" if profiler_active() else None


def _documents_mixing(subject: Subject) -> str | None:
    if subject.implementation.mixing is None:
        return "documents no behaviour for operands of two dtypes"
    return "no wider dtype exists to mix with float64" if subject.dtype is Dtype.FLOAT64 else None


def _rounded_to_float16(values: Array) -> Array:
    return values.astype(np.float16).astype(values.dtype)


def _calls_scipy_for_odd_sizes(answer: Array) -> Array:
    """Call SciPy where the number of elements is not a multiple of 8."""
    if answer.size % 8:
        importlib.import_module("scipy.stats").entropy([0.5, 0.5], [0.5, 0.5])
    return answer


def _not_promoted(target: Array, model: Array) -> tuple[Array, Array]:
    """Leave the two dtypes as they are: a logarithm is computed in the narrower one."""
    return target, model


_requirement = partial(Requirement, fault_source=FaultSource.CALL, families=FAMILIES, shapes=SHAPES)
REQUIREMENTS = (
    _requirement(
        id="modes/compiled",
        sentence="Compiled (jit, torch.compile, tf.function, XLA), a call is correct, and agrees with the eager one.",
        formula="|compiled − eager| ≤ tolerance + tolerance",
        reason="A compiler fuses, reorders and contracts operations; only the rounding may change.",
        check=compiled,
        applies=when.supports_transform(Transform.COMPILED),
        skip_in_quick=when.is_fast(Transform.COMPILED),
        miniature=Miniature(after_transform={Transform.COMPILED: _rounded_to_float16}),
    ),
    _requirement(
        id="modes/vmap",
        sentence="Batched by vmap, the call for one row returns the same as calls row by row.",
        formula="vmap(f)(P, Q)[i] = f(P[i], Q[i])",
        reason="A batching rule that uses the batch as a class axis, or sums over it, shows only here.",
        check=batched,
        applies=when.supports_transform(Transform.BATCHED),
        miniature=Miniature(after_transform={Transform.BATCHED: mean_of_the_batch}),
    ),
    _requirement(
        id="modes/mixed-dtype",
        level=Level.SHOULD,
        sentence="Operands of two dtypes give an answer in the documented dtype, with the accuracy of that dtype.",
        formula="dtype(f(P, Q)) = wider(P, Q); |got − exact| ≤ tolerance of that dtype",
        reason="A float32 result whose logarithm was computed in float16 shows eight digits and has three.",
        link="https://docs.jax.dev/en/latest/type_promotion.html",
        check=mixed_dtype,
        applies=_documents_mixing,
        miniature=Miniature(promote=_not_promoted),
    ),
    _requirement(
        id="modes/autocast",
        level=Level.SHOULD,
        sentence="Under autocast, 16-bit operands give a float32 answer with the accuracy of float32.",
        formula="dtype(f(P, Q)) = float32; |got − exact| ≤ tolerance of float32",
        reason="Autocast lists kl_div among the operations that need float32; a user kernel is not on this list.",
        link="https://docs.pytorch.org/docs/stable/amp.html",
        check=autocast,
        applies=when.supports_transform(Transform.AUTOCAST),
        miniature=Miniature(after_transform={Transform.AUTOCAST: _rounded_to_float16}),
    ),
    _requirement(
        id="modes/inference",
        sentence="With gradients disabled a call is correct, also at the sizes of benchmarks.",
        formula="inference: f(P, Q)",
        reason="Kernels are timed in inference at well-known sizes, and may use another code path there.",
        link="https://docs.pytorch.org/docs/stable/notes/autograd.html",
        check=inference,
        applies=when.supports_transform(Transform.INFERENCE),
        families=("dirichlet-flat", "power-law"),
        shapes=(*SHAPES, *BENCHMARKS),
        miniature=Miniature(after_transform={Transform.INFERENCE: _rounded_to_float16}),
    ),
    _requirement(
        id="modes/own-work",
        level=Level.CONVENTION,
        sentence="A kernel computes all sizes itself, or none: odd sizes do not call the library's own function.",
        formula="calls(f, any shape) = calls(f, 128 × 128)",
        reason="Such answers are as accurate and as slow as the library: a benchmark does not measure the kernel.",
        check=delegation,
        applies=_is_user_kernel,
        families=("dirichlet-flat",),
        shapes=((4,), (3, 5), (8, 31), (2, 1025)),
        miniature=Miniature(after=_calls_scipy_for_odd_sizes),
    ),
)
