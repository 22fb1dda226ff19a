"""State: earlier calls, other threads and adjacent memory do not change the result."""

import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from kl_cases.pair import Pair
from kl_conformance.frameworks.framework import Output
from kl_conformance.harness.subject import Subject
from kl_conformance.judging import judge
from kl_conformance.judging.judgement import Judgement
from kl_conformance.requirements.miniature import Array, Miniature
from kl_conformance.requirements.requirement import FaultSource, Level, Requirement
from kl_reference.convention import Space
from kl_reference.problem import Operand, Problem

FAMILIES = ("dirichlet-flat", "power-law")
CALLS = 12  # more than ten: caches often keep ten entries
THREADS = 4
SURROUNDED_LAYOUTS = ("among-nan", "among-largest")


def fresh(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Make a dozen calls of two shapes, and read every answer again at the end."""
    for problem in subject.problems(pair):
        others = [subject.with_pair(problem, each) for each in _rotations(pair, CALLS)]
        others.insert(CALLS // 2, subject.with_pair(problem, pair.take_rows(np.arange(max(pair.rows // 2, 1)))))
        yield from _sequential_calls(subject, others)
        yield from _overwritten_inputs(subject, others[0], others[1])


def _rotations(pair: Pair, count: int) -> list[Pair]:
    """Return the pair with its classes rotated by 0, 1, 2, …: other problems of the same shape."""
    return [pair.take(np.roll(np.arange(pair.classes), shift)) for shift in range(count)]


def _sequential_calls(subject: Subject, problems: Sequence[Problem]) -> Iterator[Judgement]:
    note = "the answer depends on earlier calls"
    kept = [_tensor_and_output(subject, problem) for problem in problems]
    for problem, (tensor, first) in zip(problems, kept, strict=True):
        evaluation = subject.judged(problem, first, subject.describe(subject.build_call(problem)))
        yield judge.within_tolerance(evaluation, note, decisive=False)
        answer = evaluation.answer
        again = replace(evaluation, returned=subject.framework.output(subject.modules, tensor).values).answer
        unchanged = (again == answer) | (np.isnan(again) & np.isnan(answer))
        yield judge.elementwise(evaluation, unchanged, "a later call changed an earlier answer")


def _overwritten_inputs(subject: Subject, first: Problem, second: Problem) -> Iterator[Judgement]:
    """Make a call, overwrite its two tensors with other numbers, and repeat it."""
    call, other = subject.build_call(first), subject.build_call(second)
    subject.invoke(call)
    try:
        for tensor, values in ((call.target, other.target), (call.model, other.model)):
            subject.framework.overwrite(subject.modules, tensor, values)
    except NotImplementedError:
        return
    evaluation = subject.judged(second, subject.invoke(call), subject.describe(call))
    yield judge.within_tolerance(
        evaluation, "the inputs were overwritten, and the answer is that of the old ones", decisive=False
    )


def _tensor_and_output(subject: Subject, problem: Problem) -> tuple[Any, Output]:
    kept: list[Any] = []

    def make() -> Any:
        kept.append(subject.implementation.call(subject.modules, subject.build_call(problem)))
        return kept[0]

    output = subject.collect_output(make)
    return kept[0], output


def memory(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Judge inputs surrounded by NaN and by the largest numbers, with both in recently freed memory."""
    for layout in SURROUNDED_LAYOUTS if subject.framework.strided else ("contiguous",):
        value = np.nan if layout != "among-largest" else subject.dtype.largest
        for problem in subject.problems(pair, *subject.offers(), layout=layout):
            call = subject.build_call(problem)
            _fill_freed_memory(subject, problem, value)
            evaluation = subject.judged(problem, subject.invoke(call), subject.describe(call))
            yield judge.within_tolerance(evaluation, "the answer depends on memory outside the inputs")


def _fill_freed_memory(subject: Subject, problem: Problem, value: float) -> None:
    """Fill memory with a value and free it: blocks of the size of an operand, a row and an answer."""
    shapes = [problem.shape, problem.shape[:-1], ()]
    for _ in range(8):
        blocks = [
            subject.framework.tensor(
                subject.modules,
                Operand(np.full(shape, value, subject.dtype.carrier), Space.LOG, subject.dtype),
                subject.column.device,
                "contiguous",
            )
            for shape in shapes
        ]
        del blocks


def threads(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Make a different call in each thread, all at the same time, three times."""
    for problem in subject.problems(pair):
        problems = [subject.with_pair(problem, each) for each in _rotations(pair, THREADS)]
        alone = [subject.evaluate(problem) for problem in problems]
        for answers in _concurrent(subject, problems):
            for serial, got in zip(alone, answers, strict=True):
                call = serial.call.varied(f", among {THREADS} threads")
                concurrent = replace(serial, returned=got.values, call=call)
                yield judge.same_answer(concurrent, serial, "the answer differs from that of the same call alone")


def _concurrent(subject: Subject, problems: Sequence[Problem]) -> list[list[Output]]:
    """Return the answer of each thread in each of three rounds; all threads start a round together."""
    calls = [subject.build_call(problem) for problem in problems]
    barrier = threading.Barrier(len(calls))

    def run(index: int) -> Output:
        barrier.wait()
        return subject.invoke(calls[index])

    # Warning filters belong to the process: changes that the threads leave behind are restored.
    with warnings.catch_warnings(), ThreadPoolExecutor(len(calls)) as pool:
        return [list(pool.map(run, range(len(calls)))) for _ in range(3)]


class _SharedBuffer:
    """Return the same buffer for every answer of a shape."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[Any, ...], Array] = {}

    def __call__(self, answer: Array) -> Array:
        buffer = self.buffers.setdefault((answer.shape, answer.dtype), np.empty_like(answer))
        buffer[...] = answer
        return buffer


def _reads_past_end(target: Array, model: Array) -> tuple[Array, Array]:
    """Read the element after the last one as well, and multiply it by 0."""
    base = model.base
    if not isinstance(base, np.ndarray) or base.ndim != model.ndim:
        return target, model
    beyond = base.ravel(order="K")[-1:]
    return target, model + 0 * beyond


class _SharedScratch:
    """Store the model in a buffer that all threads share, and read it back."""

    def __init__(self) -> None:
        self.buffer: Array | None = None

    def __call__(self, target: Array, model: Array) -> tuple[Array, Array]:
        self.buffer = model
        time.sleep(0.002)
        return target, self.buffer


REQUIREMENTS = (
    Requirement(
        id="state/fresh",
        sentence="An answer does not depend on earlier calls, and later calls do not change it.",
        formula="f(P₂, Q₂) after f(P₁, Q₁) = f(P₂, Q₂); f(P₁, Q₁) kept = f(P₁, Q₁)",
        reason="A cache keyed by address or shape, or one buffer for all results, passes every test of a single call.",
        check=fresh,
        fault_source=FaultSource.CALL,
        families=FAMILIES,
        shapes=((3, 5),),
        miniature=Miniature(after=_SharedBuffer()),
    ),
    Requirement(
        id="state/memory",
        sentence="Values in memory around the inputs, or earlier in the answer's memory, do not affect the answer.",
        formula="f(view amid NaN) = f(copy)",
        reason="A load past the end of a row is harmless only as long as the allocator returns zeros.",
        check=memory,
        fault_source=FaultSource.CALL,
        families=FAMILIES,
        shapes=((1, 4), (3, 5), (8, 31)),
        miniature=Miniature(before=_reads_past_end),
    ),
    Requirement(
        id="state/threads",
        level=Level.SHOULD,
        sentence="Concurrent calls return the same answers as serial ones.",
        formula="f(P, Q) in thread i = f(P, Q)",
        reason="Data loaders and servers call from several threads; they share a module's scratch buffer.",
        check=threads,
        fault_source=FaultSource.CALL,
        families=FAMILIES,
        shapes=((3, 5),),
        miniature=Miniature(before=_SharedScratch()),
    ),
)
