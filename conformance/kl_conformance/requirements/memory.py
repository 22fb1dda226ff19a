"""Memory: what earlier calls, other threads and the bytes around the inputs leave behind, and must not."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np

from kl_cases.pair import Pair
from kl_conformance import judge
from kl_conformance.framework import Output
from kl_conformance.judgement import Judgement
from kl_conformance.requirement import HOW, Level, Requirement
from kl_conformance.sketch import Array, Sketch
from kl_conformance.subject import Subject
from kl_reference.convention import Space
from kl_reference.problem import Operand, Problem

FAMILIES = ("dirichlet-flat", "power-law")
CALLS = 12  # one more than ten, and one more: caches are often ten deep
THREADS = 4
SURROUNDED = ("among-nan", "among-largest")


def fresh(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask a dozen questions in a row, of two shapes, and look at every answer again at the end."""
    for problem in subject.problems(pair):
        others = [subject.alike(problem, each) for each in _turned(pair, CALLS)]
        others.insert(CALLS // 2, subject.alike(problem, pair.take_rows(np.arange(max(pair.rows // 2, 1)))))
        yield from _one_after_the_other(subject, others)
        yield from _in_the_same_memory(subject, others[0], others[1])


def _turned(pair: Pair, count: int) -> list[Pair]:
    """Return the pair with its classes turned by 0, 1, 2, …: other questions of the same shape."""
    return [pair.take(np.roll(np.arange(pair.classes), shift)) for shift in range(count)]


def _one_after_the_other(subject: Subject, problems: Sequence[Problem]) -> Iterator[Judgement]:
    note = "not the answer to this question, but hanging on those before it"
    kept = [_raw(subject, problem) for problem in problems]
    for problem, (tensor, first) in zip(problems, kept, strict=True):
        asked = subject.judged(problem, first, subject.describe(subject.call(problem)))
        yield judge.lies(asked, note, decisive=False)
        again = subject.framework.output(subject.modules, tensor).values
        same = (again == first.values) | (np.isnan(again) & np.isnan(first.values))
        yield judge.holds(asked, same, "a later call changed the answer that was kept")


def _in_the_same_memory(subject: Subject, first: Problem, second: Problem) -> Iterator[Judgement]:
    """Ask, write other numbers into the same two tensors, and ask again."""
    call, other = subject.call(first), subject.call(second)
    subject.ask(call)
    try:
        for tensor, numbers in ((call.target, other.target), (call.model, other.model)):
            subject.framework.overwrite(subject.modules, tensor, numbers)
    except NotImplementedError:
        return
    asked = subject.judged(second, subject.ask(call), subject.describe(call))
    yield judge.lies(
        asked, "other numbers in the same memory, and the answer to the old ones", decisive=False
    )


def _raw(subject: Subject, problem: Problem) -> tuple[Any, Output]:
    """Return an answer as the framework's own tensor, and taken back."""
    kept: list[Any] = []

    def make() -> Any:
        kept.append(subject.implementation.call(subject.modules, subject.call(problem)))
        return kept[0]

    output = subject.attempt(make)
    return kept[0], output


def memory(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask amid NaN and amid the largest numbers, and where memory just freed is full of them."""
    for layout in SURROUNDED if subject.framework.strided else ("contiguous",):
        poison = np.nan if layout != "among-largest" else subject.dtype.largest
        for problem in subject.problems(pair, *subject.offers(), layout=layout):
            call = subject.call(problem)
            _litter(subject, problem, poison)
            asked = subject.judged(problem, subject.ask(call), subject.describe(call))
            yield judge.lies(asked, "what lies in other memory shows in the answer")


def _litter(subject: Subject, problem: Problem, poison: float) -> None:
    """Fill memory with poison and free it: blocks as large as an operand, a row and an answer."""
    shapes = [problem.shape, problem.shape[:-1], ()]
    for _ in range(8):
        blocks = [
            subject.framework.tensor(
                subject.modules,
                Operand(np.full(shape, poison, subject.dtype.carrier), Space.LOG, subject.dtype),
                subject.column.device,
                "contiguous",
            )
            for shape in shapes
        ]
        del blocks


def threads(subject: Subject, pair: Pair) -> Iterator[Judgement]:
    """Ask another question in every thread, all at the same moment, a few times over."""
    for problem in subject.problems(pair):
        problems = [subject.alike(problem, each) for each in _turned(pair, THREADS)]
        alone = [subject.evaluate(problem) for problem in problems]
        for answers in _at_once(subject, problems):
            for serial, got in zip(alone, answers, strict=True):
                at_once = replace(
                    serial, got=got.values, call=serial.call.varied(f", among {THREADS} threads")
                )
                yield judge.agrees(at_once, serial, "another answer than when asked alone")


def _at_once(subject: Subject, problems: Sequence[Problem]) -> list[list[Output]]:
    """Return what each thread was given in each of a few rounds; all threads start a round together."""
    calls = [subject.call(problem) for problem in problems]
    gate = threading.Barrier(len(calls))

    def ask(place: int) -> Output:
        gate.wait()
        return subject.ask(calls[place])

    # Filters of warnings belong to the process: whatever the threads leave of them is put back.
    with warnings.catch_warnings(), ThreadPoolExecutor(len(calls)) as pool:
        return [list(pool.map(ask, range(len(calls)))) for _ in range(3)]


class _OneBuffer:
    """Hands out the same buffer for every answer of a shape."""

    def __init__(self) -> None:
        self.buffers: dict[tuple[Any, ...], Array] = {}

    def __call__(self, answer: Array) -> Array:
        buffer = self.buffers.setdefault((answer.shape, answer.dtype), np.empty_like(answer))
        buffer[...] = answer
        return buffer


def _reads_on(target: Array, model: Array) -> tuple[Array, Array]:
    """Reads the element behind the last one as well, and multiplies it by 0."""
    base = model.base
    if not isinstance(base, np.ndarray) or base.ndim != model.ndim:
        return target, model
    beyond = base.ravel(order="K")[-1:]
    return target, model + 0 * beyond


class _Scratch:
    """Puts its model into a place all threads share, and takes it up again."""

    def __init__(self) -> None:
        self.place: Array | None = None

    def __call__(self, target: Array, model: Array) -> tuple[Array, Array]:
        self.place = model
        time.sleep(0.002)
        return target, self.place


REQUIREMENTS = (
    Requirement(
        id="state/fresh",
        sentence="An answer does not depend on earlier calls, and is not changed by later ones.",
        formula="f(P₂, Q₂) after f(P₁, Q₁) = f(P₂, Q₂); f(P₁, Q₁) kept = f(P₁, Q₁)",
        reason="A cache keyed by address or shape, or one buffer for all results, is right in every test of one call.",
        check=fresh,
        draws=HOW,
        families=FAMILIES,
        shapes=((3, 5),),
        miniature=Sketch(after=_OneBuffer()),
    ),
    Requirement(
        id="state/memory",
        sentence="What lies in memory around the inputs, or lay where the answer goes, never shows in the answer.",
        formula="f(view amid NaN) = f(copy)",
        reason="A load past the end of a row is harmless as long as the allocator hands out zeros.",
        check=memory,
        draws=HOW,
        families=FAMILIES,
        shapes=((1, 4), (3, 5), (8, 31)),
        miniature=Sketch(before=_reads_on),
    ),
    Requirement(
        id="state/threads",
        level=Level.SHOULD,
        sentence="Concurrent calls give what serial ones give.",
        formula="f(P, Q) in thread i = f(P, Q)",
        reason="Data loaders and servers call from several threads; a scratch buffer of the module's is shared by all.",
        check=threads,
        draws=HOW,
        families=FAMILIES,
        shapes=((3, 5),),
        miniature=Sketch(before=_Scratch()),
    ),
)
